package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
)

// message is what the processes say to each other, a line of JSON each, over standard input and output; the API server and its
// users over a connection.
type message struct {
	Op      string            `json:"op"`                // ready, generate, token, done, fail
	Address string            `json:"address,omitempty"` // of the API server, with ready
	ID      int               `json:"id,omitempty"`      // of a request
	Headers map[string]string `json:"headers,omitempty"` // trace context of a request
	Text    string            `json:"text,omitempty"`    // of a token
	Tokens  int               `json:"tokens,omitempty"`  // how many, with done
}

// link is a connection to another process.
type link struct {
	enc *json.Encoder
	dec *json.Decoder
	in  io.Closer // the other's standard input
	cmd *exec.Cmd // nil towards the parent
}

func newLink(in io.Reader, out io.Writer) *link {
	return &link{enc: json.NewEncoder(out), dec: json.NewDecoder(in)}
}

// start starts cmd with a link to it.
func start(cmd *exec.Cmd) (*link, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := newLink(out, in)
	l.in, l.cmd = in, cmd
	return l, nil
}

func (l *link) send(m message) error { return l.enc.Encode(m) }

// receive returns the next message; io.EOF when the other has gone.
func (l *link) receive() (m message, err error) { return m, l.dec.Decode(&m) }

// expect waits for the message op.
func (l *link) expect(op string) error {
	m, err := l.receive()
	if err == nil && m.Op != op {
		err = fmt.Errorf("got %q", m.Op)
	}
	if err != nil {
		return fmt.Errorf("wait for %s: %w", op, err)
	}
	return nil
}

// finish asks the other to end and waits for it.
func (l *link) finish() error {
	if err := l.in.Close(); err != nil {
		return err
	}
	return l.cmd.Wait()
}
