package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// requestCount is how many requests the users send, two at a time.
const requestCount = 6

// callersTrace stands for a gateway in front of the server that traces by itself.
const callersTrace = "00-5f0e3a1c9b7d48264f1e2d3c4b5a6978-00f067aa0ba902b7-01"

// Users are who sends requests to the demo's server. They are no part of it: they wait in the process that starts it.
type Users struct {
	listener net.Listener
}

// NewUsers returns users. Close must be called.
func NewUsers() (*Users, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wait for the server: %w", err)
	}
	return &Users{l}, nil
}

// Server is the command line of the server that the users wait for.
func (u *Users) Server(program string) []string {
	return []string{program, Command, apiServer, u.listener.Addr().String()}
}

// Close lets the users go. Use returns an error when its server was not ready before.
func (u *Users) Close() error { return u.listener.Close() }

// Use waits until the server is ready and sends all requests. via is given the server's address; it returns the one that
// the requests go to, and what is called after them.
func (u *Users) Use(ctx context.Context, via func(server string) (address string, done func(), err error)) error {
	conn, err := u.listener.Accept()
	if err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	defer conn.Close() // which tells the server that this was all
	m, err := newLink(conn, conn).receive()
	if err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	address, done, err := via(m.Address)
	if err != nil {
		return err
	}
	defer done()
	return request(ctx, "http://"+address+completionsPath)
}

// tellUsers says that the server is ready at an address, and returns when the users have done with it.
func tellUsers(users, address string) error {
	conn, err := net.Dial("tcp", users)
	if err != nil {
		return fmt.Errorf("tell the users: %w", err)
	}
	defer conn.Close()
	if err := newLink(conn, conn).send(message{Op: "ready", Address: address}); err != nil {
		return fmt.Errorf("tell the users: %w", err)
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// request sends the requests: one of them brings a trace context, one wants its answer in one piece.
func request(ctx context.Context, url string) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	errs := make(chan error, requestCount)
	var both sync.WaitGroup
	for offset := range 2 {
		both.Go(func() {
			for i := offset; i < requestCount; i += 2 {
				errs <- post(ctx, client, url, i != 3, i == 0)
			}
		})
	}
	both.Wait()
	for range requestCount {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func post(ctx context.Context, client *http.Client, url string, streamed, traced bool) error {
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":"…"}]}`, modelName, streamed)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if traced {
		req.Header.Set("traceparent", callersTrace)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
