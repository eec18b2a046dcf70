package genaihttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	fst "forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/genai/genaihttp"
)

// ending is a way in which a request ends.
type ending struct {
	name     string
	reply    fst.Reply
	until    string // the client leaves when it has read this; "-": before the header
	status   string // of the HTTP answer, as the LLM span has it
	kind     string // error.type; empty: no error
	token    bool   // a first token was seen
	complete bool   // the answer reaches the client whole
}

var endings = []ending{
	{name: "stream", reply: fst.ChatStream("a", "b"), status: "200", token: true, complete: true},
	{name: "one piece", reply: fst.Chat("a", "b"), status: "200", complete: true},
	{name: "client gone before the header", reply: fst.Reply{Steps: []fst.Step{fst.Hang()}}, until: "-",
		kind: genai.ErrorTypeClientGone},
	{name: "client gone before the first token", until: "assistant", status: "200", kind: genai.ErrorTypeClientGone,
		reply: fst.Reply{Steps: []fst.Step{fst.Role(), fst.Hang()}}},
	{name: "client gone in the middle", until: "abc", status: "200", kind: genai.ErrorTypeClientGone, token: true,
		reply: fst.Reply{Steps: []fst.Step{fst.Role(), fst.Token("abc"), fst.Hang()}}},
	{name: "client gone after the last event", until: "[DONE]", status: "200", token: true,
		reply: fst.Reply{Steps: []fst.Step{fst.Role(), fst.Token("abc"), fst.Finish("stop"), fst.Done(), fst.Hang()}}},
	{name: "upstream cut before the header", reply: fst.Reply{Steps: []fst.Step{fst.Cut()}},
		kind: genai.ErrorTypeUpstreamUnreachable},
	{name: "upstream cut in the middle", status: "200", kind: genai.ErrorTypeUpstreamCut, token: true,
		reply: fst.Reply{Steps: []fst.Step{fst.Role(), fst.Token("abc"), fst.Cut()}}},
	{name: "500", reply: fst.ErrorReply(500, "no"), status: "500", kind: "fake_error", complete: true},
	{name: "429", reply: fst.ErrorReply(429, "no"), status: "429", kind: "fake_error", complete: true},
	{name: "404", reply: fst.ErrorReply(404, "no"), status: "404", kind: "fake_error", complete: true},
}

func TestEndings(t *testing.T) {
	for _, k := range []kind{both, middlewareOnly, transportOnly} {
		for _, e := range endings {
			t.Run(string(rune('0'+k))+"/"+e.name, func(t *testing.T) {
				c := newChain(t, k)
				c.upstream.Reply(e.reply)
				e.play(t, c)
				want := 1
				if k == both {
					want = 2
				}
				spans := c.wait(t, want)
				e.check(t, k, llmSpan(t, spans))
				if k == both {
					e.checkServer(t, spans)
				}
				if open := c.spans.Unfinished(); len(open) != 0 || len(c.wait(t, want)) != want {
					t.Errorf("%d spans not ended\n%s", len(open), c.spans.Tree())
				}
				if e.until != "" {
					if err := c.upstream.WaitGone(patient(t), 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// play sends the request and takes the answer as the ending says.
func (e ending) play(t *testing.T, c *chain) {
	ctx, leave := context.WithCancel(patient(t))
	defer leave()
	if e.until == "-" {
		go func() {
			if _, err := c.upstream.WaitRequests(ctx, 1); err == nil {
				leave()
			}
		}()
	}
	res, err := c.client.Do(c.request(ctx, t, chatPath, streamBody))
	if e.until == "-" {
		if err == nil {
			t.Error("an answer came that should not")
			res.Body.Close()
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if e.until != "" {
		readUntil(t, res.Body, e.until)
		return
	}
	_, err = io.ReadAll(res.Body)
	if e.complete && err != nil || !e.complete && err == nil && res.StatusCode == http.StatusOK {
		t.Errorf("the client read status %d to its end with %v", res.StatusCode, err)
	}
}

// llmSpan finds the span that package genai has written.
func llmSpan(t *testing.T, spans []sdktrace.ReadOnlySpan) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, s := range spans {
		if attribute(s, genai.AttrOperationName) != "" {
			return s
		}
	}
	t.Fatal("no span of a request to an LLM")
	return nil
}

func (e ending) check(t *testing.T, k kind, s sdktrace.ReadOnlySpan) {
	t.Helper()
	status, kind := e.status, e.kind
	if k == middlewareOnly && kind == genai.ErrorTypeUpstreamUnreachable {
		status, kind = "502", "502" // what the user's ReverseProxy answers
	}
	if got := attribute(s, genai.AttrStatusCode); got != status {
		t.Errorf("status %q, want %q", got, status)
	}
	if got := attribute(s, genai.AttrErrorType); got != kind {
		t.Errorf("error.type %q, want %q", got, kind)
	}
	if failed := s.Status().Code == codes.Error; failed != (kind != "") {
		t.Errorf("span status %v", s.Status())
	}
	if got := attribute(s, genai.AttrTimeToFirstToken) != ""; got != e.token {
		t.Errorf("first token seen: %v, want %v", got, e.token)
	}
}

// checkServer checks the span of the middleware above a transport.
func (e ending) checkServer(t *testing.T, spans []sdktrace.ReadOnlySpan) {
	t.Helper()
	for _, s := range spans {
		if attribute(s, genai.AttrOperationName) != "" {
			continue
		}
		failed := e.kind == genai.ErrorTypeClientGone || e.kind == genai.ErrorTypeUpstreamCut ||
			e.kind == genai.ErrorTypeUpstreamUnreachable || e.status == "500"
		if got := s.Status().Code == codes.Error; got != failed {
			t.Errorf("server span: %v, want an error: %v", s.Status(), failed)
		}
	}
}

// TestTimeouts are the limits that a gateway sets for its requests upstream.
func TestTimeouts(t *testing.T) {
	c := newChain(t, transportOnly)
	for _, reply := range []fst.Reply{
		{Steps: []fst.Step{fst.Hang()}},
		{Steps: []fst.Step{fst.Role(), fst.Token("abc"), fst.Hang()}},
	} {
		c.spans.Reset()
		c.upstream.Reply(reply)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		res, err := c.client.Do(c.request(ctx, t, chatPath, streamBody))
		if err == nil {
			_, _ = io.ReadAll(res.Body)
			res.Body.Close()
		}
		cancel()
		// Through a gateway a client's time-out is its leaving.
		if got := attribute(llmSpan(t, c.wait(t, 1)), genai.AttrErrorType); got != genai.ErrorTypeClientGone {
			t.Errorf("error.type %q", got)
		}
	}
}

// TestLimitsOfTheTransport end a request on this side, before and after the answer's header.
func TestLimitsOfTheTransport(t *testing.T) {
	for _, tt := range []struct {
		reply fst.Reply
		base  *http.Transport
		limit time.Duration // of the request; 0 for none
	}{
		{fst.Reply{Steps: []fst.Step{fst.Hang()}}, &http.Transport{ResponseHeaderTimeout: 30 * time.Millisecond}, 0},
		{fst.Reply{Steps: []fst.Step{fst.Hang()}}, &http.Transport{}, 30 * time.Millisecond},
		{fst.Reply{Steps: []fst.Step{fst.Role(), fst.Hang()}}, &http.Transport{}, 30 * time.Millisecond},
	} {
		server := fst.NewModelServer(t)
		server.Reply(tt.reply)
		spans := fst.NewRecorder()
		client := genaihttp.Transport(tt.base,
			genaihttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))))
		ctx := patient(t)
		if tt.limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, tt.limit)
			defer cancel()
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL()+chatPath, strings.NewReader(streamBody))
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		got := spans.Spans()
		if len(got) != 1 || attribute(got[0], genai.AttrErrorType) != genai.ErrorTypeTimeout {
			t.Errorf("got\n%s", spans.Tree(genai.AttrErrorType))
		}
		tt.base.CloseIdleConnections()
	}
}

// TestTimeToFirstToken asserts the marks against a clock that the fake server moves.
func TestTimeToFirstToken(t *testing.T) {
	for _, k := range []kind{both, middlewareOnly, transportOnly} {
		clock := fst.NewClock(time.Unix(1e9, 0))
		c := newChain(t, k, withClock(clock))
		gate := make(chan struct{})
		move := func(d time.Duration) fst.Step { return fst.Run(func() { clock.Advance(d) }) }
		c.upstream.Reply(fst.Reply{Steps: []fst.Step{
			move(100 * time.Millisecond), fst.Role(), fst.Wait(gate),
			move(200 * time.Millisecond), fst.Reasoning("hm"), fst.Wait(gate),
			move(400 * time.Millisecond), fst.Token("a"), fst.Wait(gate),
			move(800 * time.Millisecond), fst.Finish("stop"), fst.Done(),
		}})
		res, err := c.client.Do(c.request(patient(t), t, chatPath, streamBody))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"assistant", "hm", `"a"`} {
			readUntil(t, res.Body, want)
			gate <- struct{}{}
		}
		_, _ = io.ReadAll(res.Body)
		res.Body.Close()
		spans := c.wait(t, 1)
		if k == both {
			spans = c.wait(t, 2)
		}
		s := llmSpan(t, spans)
		for key, want := range map[string]string{
			genai.AttrResponseFirstChunk: "0.1", genai.AttrTimeToFirstToken: "0.3", genai.AttrTimeToFirstText: "0.7",
			genai.AttrTimeToLastToken: "0.7",
		} {
			if got := attribute(s, key); got != want {
				t.Errorf("%d: %s = %s, want %s", k, key, got, want)
			}
		}
		if d := s.EndTime().Sub(s.StartTime()); d != 1500*time.Millisecond {
			t.Errorf("%d: the span took %v", k, d)
		}
	}
}

// TestSlowClient lets a client read nothing until the server can send no more: the bytes wait in the connections, and the
// request ends well when the client reads on.
func TestSlowClient(t *testing.T) {
	c := newChain(t, both)
	var steps []fst.Step
	for range 200 {
		steps = append(steps, fst.Token(strings.Repeat("x", 64<<10)))
	}
	c.upstream.Reply(fst.Reply{Steps: append(steps, fst.Finish("stop"), fst.Done())})
	conn, err := net.Dial("tcp", c.url[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := c.request(patient(t), t, chatPath, streamBody)
	r.Close = true
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	if _, err := c.upstream.WaitRequests(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.wait(t, 2) {
		if s.Status().Code == codes.Error {
			t.Errorf("span %q: %v", s.Name(), s.Status())
		}
	}
}
