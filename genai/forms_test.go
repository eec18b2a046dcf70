package genai

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const ollamaChat = `{"model":"llama3.2","created_at":"x","message":{"role":"assistant","content":"Hi"},"done":false}
{"model":"llama3.2","created_at":"x","message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}
{"model":"llama3.2","created_at":"x","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"done":false}
{"model":"llama3.2","created_at":"x","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":90000000,"load_duration":5000000,"prompt_eval_count":26,"prompt_eval_duration":10000000,"eval_count":3,"eval_duration":20000000}
`

func TestOllamaChat(t *testing.T) {
	rec := newRecording(t)
	x := exchange{path: "/api/chat", request: []byte(`{"model":"llama3.2","options":{"num_predict":9}}`), status: 200,
		header: http.Header{"Content-Type": {"application/x-ndjson"}}}
	r := rec.play(x, bytes.SplitAfter([]byte(ollamaChat), []byte("\n")), nil)
	m, c := r.Marks(), r.Call()
	if index(m.FirstToken) != 0 || index(m.FirstText) != 0 || index(m.LastToken) != 2 || m.Gaps.Len() != 2 {
		t.Errorf("marks %+v", m)
	}
	if !c.Stream.Or(false) || c.Provider != "ollama" || c.MaxTokens.Or(0) != 9 || c.ErrorType != "" {
		t.Errorf("call %+v", c)
	}
	if c.Usage.Input.Or(0) != 26 || c.Usage.Output.Or(0) != 3 || c.FinishReasons[0] != "stop" {
		t.Errorf("call %+v", c)
	}
	if d, ok := c.Latency.PerOutputToken.Get(); !ok || d != step {
		t.Errorf("time per output token %v, %v", d, ok)
	}
	l := c.Latency
	if l.Load.Value != 5*time.Millisecond || l.Prefill.Value != 10*time.Millisecond ||
		l.Decode.Value != 20*time.Millisecond {
		t.Errorf("latency %+v", l)
	}
}

func TestOllamaGenerate(t *testing.T) {
	for _, mediaType := range []string{"application/x-ndjson", "", "text/plain; charset=utf-8"} {
		x := exchange{path: "/api/generate", request: []byte(`{"model":"m","prompt":"secret"}`), status: 200,
			header: http.Header{"Content-Type": {mediaType}}}
		body := `{"model":"m","response":"Hi","done":false}` + "\n" +
			`{"model":"m","response":"","done":true,"done_reason":"length","eval_count":1}`
		r := newRecording(t).play(x, [][]byte{[]byte(body)}, nil)
		c := r.Call()
		if index(r.Marks().FirstText) != 0 || c.ErrorType != "" || c.FinishReasons[0] != "length" ||
			c.Usage.Output.Or(0) != 1 {
			t.Errorf("%q: %+v", mediaType, c)
		}
		if c.Operation != OperationTextCompletion {
			t.Errorf("operation %q", c.Operation)
		}
	}
}

func TestOllamaError(t *testing.T) {
	x := exchange{path: "/api/chat", request: []byte(`{"model":"m"}`), status: 200,
		header: http.Header{"Content-Type": {"application/x-ndjson"}}}
	r := newRecording(t).play(x, [][]byte{[]byte(`{"error":"an unexpected secret"}` + "\n")}, nil)
	if c := r.Call(); c.ErrorType != "_OTHER" {
		t.Errorf("error %q", c.ErrorType)
	}
}

func TestEmbeddings(t *testing.T) {
	x := exchange{path: "/v1/embeddings", request: []byte(`{"model":"e","input":["secret"],"dimensions":2}`), status: 200,
		header: http.Header{"Content-Type": {"application/json"}}}
	body := `{"object":"list","model":"e-1","data":[{"index":0,"embedding":[0.5,-1e-3]}],"usage":{"prompt_tokens":4,"total_tokens":4}}`
	rec := newRecording(t)
	c := rec.play(x, [][]byte{[]byte(body[:20]), []byte(body[20:])}, nil).Call()
	if c.Operation != OperationEmbeddings || c.ResponseModel != "e-1" || c.Usage.Input.Or(0) != 4 || c.Usage.Output.Set {
		t.Errorf("call %+v", c)
	}
	if n := rec.span(t).Name; n != "embeddings e" {
		t.Errorf("span %q", n)
	}
}

// frames compresses each text so that it can be read when its frame has come, as servers do.
func frames(t *testing.T, texts [][]byte) [][]byte {
	t.Helper()
	var out [][]byte
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for i, p := range texts {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		flush := w.Flush
		if i == len(texts)-1 {
			flush = w.Close
		}
		if err := flush(); err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	return out
}

func TestGzip(t *testing.T) {
	for _, file := range []string{"vllm-http/chat-stream-usage", "vllm-http/chat",
		"llamacpp-http/completion-native-stream"} {
		x := capture(t, file)
		plain := newRecording(t).play(x, events(x.body), nil)
		x.header.Set("Content-Encoding", "gzip")
		coded := newRecording(t).play(x, frames(t, events(x.body)), nil)
		sameResult(t, plain, coded)
	}
}

func TestGzipThatBreaksOff(t *testing.T) {
	x := capture(t, "vllm-http/chat-stream")
	x.header.Set("Content-Encoding", "GZIP")
	f := frames(t, events(x.body))
	r := newRecording(t).play(x, f[:3], ErrUpstreamCut)
	if m, c := r.Marks(), r.Call(); index(m.LastToken) != 2 || c.ErrorType != ErrorTypeUpstreamCut {
		t.Errorf("marks %+v, error %q", m, c.ErrorType)
	}
	for _, bad := range []string{"not gzip at all", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff", ""} {
		c := newRecording(t).play(x, [][]byte{[]byte(bad), []byte("more")}, nil).Call()
		if c.Unparsed != 1 || c.ErrorType != "" {
			t.Errorf("%q: unparsed %d, error %q", bad, c.Unparsed, c.ErrorType)
		}
	}
}

// reversed is a decoder whose text is the bytes with their bits turned around.
type reversed struct {
	r      io.Reader
	closed *bool
}

func (d reversed) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	for i := range p[:n] {
		p[i] = ^p[i]
	}
	return n, err
}

func (d reversed) Close() error {
	*d.closed = true
	return nil
}

func TestDecoderOfTheUser(t *testing.T) {
	var closed bool
	x := capture(t, "vllm-http/chat-stream-usage")
	plain := newRecording(t).play(x, events(x.body), nil)

	x.header.Set("Content-Encoding", "br")
	chunks := events(x.body)
	for _, c := range chunks {
		for i := range c {
			c[i] = ^c[i]
		}
	}
	withBr := newRecording(t, WithDecoder("br", func(r io.Reader) (io.Reader, error) {
		return reversed{r, &closed},
			nil
	}))
	sameResult(t, plain, withBr.play(x, chunks, nil))
	if !closed {
		t.Error("the decoder was not closed")
	}
	if c := newRecording(t).play(x, chunks, nil).Call(); c.Unparsed != 1 || c.ErrorType != "" || c.StatusCode != 200 {
		t.Errorf("without a decoder: %+v", c)
	}
	for name, open := range map[string]Decoder{
		"fails":  func(io.Reader) (io.Reader, error) { return nil, errors.New("no") },
		"panics": func(io.Reader) (io.Reader, error) { panic("no") },
		"ends":   func(io.Reader) (io.Reader, error) { return strings.NewReader(""), nil },
	} {
		c := newRecording(t, WithDecoder("br", open)).play(x, chunks, nil).Call()
		if c.ErrorType != "" && name != "ends" {
			t.Errorf("decoder that %s: error %q", name, c.ErrorType)
		}
	}
}

// sameResult compares what two recordings of the same exchange found.
func sameResult(t *testing.T, a, b *Request) {
	t.Helper()
	if sa, sb := summary(a), summary(b); sa != sb {
		t.Errorf("recordings differ:\n%s\n%s", sa, sb)
	}
}
