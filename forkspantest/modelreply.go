package forkspantest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Reply is what a [ModelServer] does with one request. The zero value is an empty answer with status 200.
type Reply struct {
	Status int         // 0 means 200
	Header http.Header // a Content-Type that is missing follows from the first step
	Steps  []Step      // played in order; the answer ends after the last
}

// Step is one step of a [Reply]. The zero value does nothing.
type Step struct {
	data  string
	event bool // data is a part of an event stream
	run   func(*performance) error
}

// performance is a reply under way.
type performance struct {
	w       http.ResponseWriter
	r       *http.Request
	closing <-chan struct{}
}

var (
	errClientLeft = errors.New("the client has left")
	errCut        = errors.New("the answer is cut")
)

// Send sends data as it is, and flushes it.
func Send(data string) Step { return Step{data: data} }

// Event sends one server-sent event with that data, which must be one line.
func Event(data string) Step { return Step{data: "data: " + data + "\n\n", event: true} }

// Headers sends status and headers now, before any data.
func Headers() Step {
	return Step{run: func(p *performance) error { return http.NewResponseController(p.w).Flush() }}
}

// Wait waits until gate is closed or yields a value, or until the client leaves.
func Wait(gate <-chan struct{}) Step {
	return Step{run: func(p *performance) error {
		select {
		case <-gate:
			return nil
		case <-p.r.Context().Done():
			return errClientLeft
		case <-p.closing:
			return errCut
		}
	}}
}

// Run calls f, for example to move a scripted clock on.
func Run(f func()) Step {
	return Step{run: func(*performance) error { f(); return nil }}
}

// Hang waits until the client leaves.
func Hang() Step { return Wait(nil) }

// Cut closes the connection in the middle of the answer.
func Cut() Step { return Step{run: func(*performance) error { return errCut }} }

// play answers a request. The error is errClientLeft, errCut or nil.
func (reply Reply) play(w http.ResponseWriter, r *http.Request, closing <-chan struct{}) error {
	p := &performance{w: w, r: r, closing: closing}
	header := w.Header()
	for name, values := range reply.Header {
		header[name] = values
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", reply.contentType())
	}
	if reply.Status != 0 {
		w.WriteHeader(reply.Status)
	}
	flusher := http.NewResponseController(w)
	for _, step := range reply.Steps {
		if step.run != nil {
			if err := step.run(p); err != nil {
				return err
			}
			continue
		}
		if _, err := w.Write([]byte(step.data)); err != nil {
			return errClientLeft
		}
		if err := flusher.Flush(); err != nil {
			return errClientLeft
		}
	}
	return nil
}

func (reply Reply) contentType() string {
	for _, step := range reply.Steps {
		switch {
		case step.event:
			return "text/event-stream; charset=utf-8"
		case step.data != "":
			return "application/json"
		}
	}
	return "application/json"
}

// ErrorReply is an error in the form of OpenAI's API.
func ErrorReply(status int, message string) Reply {
	return Reply{Status: status, Steps: []Step{
		Send(fmt.Sprintf(`{"error":{"message":%q,"type":"fake_error","param":null,"code":%d}}`, message, status)),
	}}
}

// RawReply is a captured answer: status line, headers, an empty line and the body without its transfer encoding. The body
// is sent in pieces of size bytes each; 0 means one piece for each event.
func RawReply(captured []byte, size int) (Reply, error) {
	reader := bufio.NewReader(bytes.NewReader(captured))
	status, err := reader.ReadString('\n')
	if err != nil {
		return Reply{}, fmt.Errorf("read status line: %w", err)
	}
	fields := strings.Fields(status)
	if len(fields) < 2 {
		return Reply{}, fmt.Errorf("read status line: %q", status)
	}
	code, err := strconv.Atoi(fields[1])
	if err != nil {
		return Reply{}, fmt.Errorf("read status: %w", err)
	}
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	if err != nil {
		return Reply{}, fmt.Errorf("read headers: %w", err)
	}
	for _, hop := range []string{"Transfer-Encoding", "Content-Length", "Connection", "Keep-Alive"} {
		header.Del(hop)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(reader); err != nil {
		return Reply{}, fmt.Errorf("read body: %w", err)
	}
	return Reply{Status: code, Header: http.Header(header), Steps: pieces(body.String(), size)}, nil
}

func pieces(body string, size int) []Step {
	var steps []Step
	if size == 0 {
		for event := range strings.SplitAfterSeq(body, "\n\n") {
			steps = append(steps, Send(event))
		}
		return steps
	}
	for len(body) > 0 {
		n := min(size, len(body))
		steps = append(steps, Send(body[:n]))
		body = body[n:]
	}
	return steps
}
