package genai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"go.opentelemetry.io/otel/codes"
)

// timeoutError is an error like those of package net.
type timeoutError struct{}

func (timeoutError) Error() string { return "i/o timeout to secret" }
func (timeoutError) Timeout() bool { return true }

func TestWaysToEnd(t *testing.T) {
	full := stream(chatPath, `{"model":"m","stream":true}`, sseBody(
		chatDelta("0", `{"role":"assistant","content":""}`, "null"), chatDelta("0", `{"content":"a"}`, "null"),
		chatDelta("0", `{"content":"b"}`, `"stop"`), "[DONE]"))
	unanswered := full
	unanswered.status = 0
	failing := func(status int, body string) exchange {
		x := full
		x.status, x.header, x.body = status, http.Header{"Content-Type": {"application/json"}}, []byte(body)
		return x
	}
	answer := failing(200, `{"id":"c","choices":[{"index":0,"finish_reason":"stop","message":{"content":"a"}}]}`)

	for _, c := range []struct {
		name    string
		x       exchange
		events  int // that came before the end
		err     error
		want    string // error.type
		reasons []string
		token   bool // whether there was a first one
	}{
		{"finished", full, 4, nil, "", []string{"stop"}, true},
		{"finished, EOF", full, 4, io.EOF, "", []string{"stop"}, true},
		{"client gone before the answer", unanswered, 0, ErrClientGone, ErrorTypeClientGone, nil, false},
		{"client gone before the first event", full, 0, ErrClientGone, ErrorTypeClientGone, nil, false},
		{"client gone before the first token", full, 1, context.Canceled, ErrorTypeClientGone, []string{"error"}, false},
		{"client gone in the middle", full, 2, fmt.Errorf("write: %w", ErrClientGone), ErrorTypeClientGone,
			[]string{"error"}, true},
		{"client gone after the last token", full, 3, ErrClientGone, "", []string{"stop"}, true},
		{"client gone after the last event", full, 4, ErrClientGone, "", []string{"stop"}, true},
		{"cut before the first token", full, 1, io.ErrUnexpectedEOF, ErrorTypeUpstreamCut, []string{"error"}, false},
		{"cut in the middle", full, 2, ErrUpstreamCut, ErrorTypeUpstreamCut, []string{"error"}, true},
		{"cut in the middle, connection reset", full, 2, syscall.ECONNRESET, ErrorTypeUpstreamCut, []string{"error"},
			true},
		{"cut after the last token", full, 3, ErrUpstreamCut, "", []string{"stop"}, true},
		{"ended too early without an error", full, 2, nil, ErrorTypeUpstreamCut, []string{"error"}, true},
		{"empty stream", full, 0, nil, ErrorTypeUpstreamCut, nil, false},
		{"unreachable", unanswered, 0, syscall.ECONNREFUSED, ErrorTypeUpstreamUnreachable, nil, false},
		{"unreachable, told", unanswered, 0, ErrUpstreamUnreachable, ErrorTypeUpstreamUnreachable, nil, false},
		{"timeout before the answer", unanswered, 0, context.DeadlineExceeded, ErrorTypeTimeout, nil, false},
		{"timeout in the middle", full, 2, timeoutError{}, ErrorTypeTimeout, []string{"error"}, true},
		{"timeout of a file", full, 2, os.ErrDeadlineExceeded, ErrorTypeTimeout, []string{"error"}, true},
		{"timeout, told", full, 2, errors.Join(ErrTimeout, context.Canceled), ErrorTypeTimeout, []string{"error"}, true},
		{"never answered, no error", unanswered, 0, nil, "", nil, false},
		{"500", failing(500, `{"error":{"message":"secret","type":"server_error","code":null}}`), 1, nil,
			"server_error", nil, false},
		{"500 of a proxy", failing(502, `<html>secret</html>`), 1, nil, "502", nil, false},
		{"500 that breaks off", failing(500, `{"error":`), 1, ErrUpstreamCut, "500", nil, false},
		{"429", failing(429, `{"error":{"message":"secret","type":"requests","code":"rate_limit_exceeded"}}`), 1, nil,
			"rate_limit_exceeded", nil, false},
		{"404 without a body", failing(404, ""), 0, nil, "404", nil, false},
		{"404 of Ollama", failing(404, `{"error":"model 'secret' not found"}`), 1, nil, "404", nil, false},
		{"plain answer", answer, 1, nil, "", []string{"stop"}, false},
		{"plain answer, client gone at its end", answer, 1, ErrClientGone, "", []string{"stop"}, false},
		{"plain answer cut off", failing(200, `{"id":"c","choi`), 1, ErrUpstreamCut, ErrorTypeUpstreamCut, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := newRecording(t)
			r := rec.play(c.x, events(c.x.body)[:min(c.events, len(events(c.x.body)))], c.err)
			r.End(errors.New("a second end"))
			r.Chunk([]byte("data: late\n\n"), at(99))
			r.ResponseHeader(500, nil, at(99))
			if n := len(rec.spans.GetSpans()); n != 1 {
				t.Fatalf("%d spans", n)
			}
			s, call := rec.span(t), r.Call()
			if call.ErrorType != c.want || attrs(s)[AttrErrorType].AsString() != c.want {
				t.Errorf("error type %q, on the span %q, want %q", call.ErrorType, attrs(s)[AttrErrorType].AsString(),
					c.want)
			}
			if wantCode := map[bool]codes.Code{true: codes.Unset,
				false: codes.Error}[c.want == ""]; s.Status.Code != wantCode || s.Status.Description != c.want {
				t.Errorf("status %+v", s.Status)
			}
			if !slices.Equal(call.FinishReasons, c.reasons) {
				t.Errorf("finish reasons %q, want %q", call.FinishReasons, c.reasons)
			}
			if m := r.Marks(); m.FirstToken.IsZero() == c.token || m.End.IsZero() || !s.EndTime.Equal(m.End) ||
				!s.StartTime.Equal(epoch) {
				t.Errorf("marks %+v", m)
			}
		})
	}
}

// TestEndWhileChunksCome ends requests at any moment of their answer, plain and compressed.
func TestEndWhileChunksCome(t *testing.T) {
	x := capture(t, "vllm-http/chat-stream-usage")
	chunks := events(x.body)
	for _, coded := range []bool{false, true} {
		if coded {
			x.header.Set("Content-Encoding", "gzip")
			chunks = frames(t, chunks)
		}
		for range 50 {
			rec := newRecording(t)
			r := rec.begin(x)
			var wg sync.WaitGroup
			wg.Go(func() {
				for i, c := range chunks {
					r.Chunk(c, at(i+2))
				}
			})
			wg.Go(func() { r.End(ErrClientGone) })
			wg.Go(func() { _, _ = r.Marks(), r.Call() })
			wg.Wait()
			if n := len(rec.spans.GetSpans()); n != 1 {
				t.Fatalf("%d spans", n)
			}
		}
	}
}

func TestRetry(t *testing.T) {
	x := capture(t, "vllm-http/chat-stream-usage")
	x.header.Set("Content-Encoding", "gzip")
	rec := newRecording(t)
	r := rec.begin(x)
	r.ResponseHeader(100, nil, at(1))
	r.Chunk(frames(t, events(x.body))[0], at(2))
	r.ResponseHeader(400, http.Header{"Content-Type": {"application/json"}}, at(2))
	r.Chunk([]byte(`{"error":{"type":"BadRequestError"}}`), at(2))
	x = capture(t, "vllm-http/chat-stream")
	r.ResponseHeader(x.status, x.header, at(3))
	for i, e := range events(x.body) {
		r.Chunk(e, at(4+i))
	}
	r.EndAt(nil, at(99))
	c, m := r.Call(), r.Marks()
	if c.ErrorType != "" || c.ResponseID != "chatcmpl-chat-stream" || c.Usage.Input.Set || !m.Headers.Equal(at(3)) ||
		m.Gaps.Len() != 11 {
		t.Errorf("call %+v, marks %+v", c, m)
	}
}

func TestAnswerWithoutHeader(t *testing.T) {
	x := capture(t, "vllm-http/chat-stream")
	x.status = 0
	for _, body := range [][][]byte{events(x.body), {x.body}} {
		if c := newRecording(t).play(x, body, nil).Call(); c.ResponseID != "chatcmpl-chat-stream" || c.ErrorType != "" {
			t.Errorf("call %+v", c)
		}
	}
	x = capture(t, "vllm-http/chat")
	x.status = 0
	if c := newRecording(t).play(x, [][]byte{x.body}, nil).Call(); c.ResponseID != "chatcmpl-chat" {
		t.Errorf("call %+v", c)
	}
}
