package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	fst "forkspan.dev/forkspan/forkspantest"
)

func TestAddUsage(t *testing.T) {
	const ask = `"stream_options":{"include_usage":true}`
	for _, tt := range []struct{ in, want string }{ // an empty want: left alone
		{`{"stream":true}`, `{"stream":true,` + ask + `}`},
		{"{ \"stream\" : true ,\n \"a\":\"}\" } \n", "{ \"stream\" : true ,\n \"a\":\"}\" ," + ask + "} \n"},
		{`{"stream":true,"stream_options":null}`, `{"stream":true,` + ask + `}`},
		{`{"stream":true,"stream_options":{}}`, `{"stream":true,` + ask + `}`},
		{`{"stream":true,"stream_options":{"x":[1]}}`, `{"stream":true,"stream_options":{"x":[1],"include_usage":true}}`},
		{`{"stream_options":{"include_usage":false,"x":1},"stream":true}`, `{"stream_options":{"include_usage":true,"x":1},"stream":true}`},
		{`{"stream":true,"stream_options":{"include_usage":true}}`, ""},
		{`{"stream":false}`, ""},
		{`{}`, ""},
		{``, ""},
		{`[1]`, ""},
		{`{"stream":true`, ""},
		{`{"stream":true} x`, ""},
		{`{"stream":true,"stream_options":"x"}`, ""},
		{`{"messages":[{"stream":true}]}`, ""},
	} {
		got, ok := addUsage([]byte(tt.in))
		if ok != (tt.want != "") || string(got) != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

const usageEvent = `data: {"choices":[],"usage":{"prompt_tokens":1}}`

// filterReference is the filter over a whole stream.
func filterReference(in string) string {
	var out strings.Builder
	for in != "" {
		end := eventEnd([]byte(in), 0)
		if end < 0 {
			end = len(in)
			out.WriteString(in)
		} else if !onlyUsage([]byte(in[:end])) {
			out.WriteString(in[:end])
		}
		in = in[end:]
	}
	return out.String()
}

func TestUsageFilter(t *testing.T) {
	large := "data: " + strings.Repeat("x", 2*maxFiltered) + "\n\n"
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"data: a\n\n" + usageEvent + "\n\ndata: [DONE]\n\n", "data: a\n\ndata: [DONE]\n\n"},
		{"data: a\r\n\r\n" + usageEvent + "\r\n\r\ndata: [DONE]\r\n\r\n", "data: a\r\n\r\ndata: [DONE]\r\n\r\n"},
		{"data: a\r\r" + usageEvent + "\r\rdata: b", "data: a\r\rdata: b"},
		{usageEvent, usageEvent}, // cut off
		{large + usageEvent + "\n\n" + large, large + large},
		{`data: {"choices":[{}],"usage":{"a":1}}` + "\n\n", `data: {"choices":[{}],"usage":{"a":1}}` + "\n\n"},
		{`data: {"choices":[],"usage":null}` + "\n\n", `data: {"choices":[],"usage":null}` + "\n\n"},
	} {
		for _, wrap := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader, iotest.OneByteReader,
		} {
			got, err := io.ReadAll(&usageFilter{src: io.NopCloser(wrap(strings.NewReader(tt.in)))})
			if err != nil || string(got) != tt.want {
				t.Errorf("%.80q: got %d bytes %.80q, want %d, %v", tt.in, len(got), got, len(tt.want), err)
			}
		}
	}
}

// FuzzUsageFilter splits a stream anyhow: what goes out is the same, but for a LF that belongs to a CR before it.
func FuzzUsageFilter(f *testing.F) {
	f.Add("data: a\n\n"+usageEvent+"\n\ndata: [DONE]\n\n", 3)
	f.Add("data: a\r\n\r\n"+usageEvent+"\r\n\r\n", 1)
	f.Add(usageEvent+"\r\r\n"+usageEvent+"\n\r\n", 2)
	f.Fuzz(func(t *testing.T, in string, size int) {
		size = 1 + max(size, -size)&0xff
		var pieces []io.Reader
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			pieces = append(pieces, strings.NewReader(rest[:n]))
			rest = rest[n:]
		}
		got, err := io.ReadAll(&usageFilter{src: io.NopCloser(io.MultiReader(pieces...))})
		if err != nil {
			t.Fatal(err)
		}
		fold := func(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }
		if want := filterReference(in); fold(string(got)) != fold(want) {
			t.Fatalf("%q in pieces of %d: got %q, want %q", in, size, got, want)
		}
	})
}

func TestAskUsage(t *testing.T) {
	f := newFixture(t, true)
	_, got := f.do(t, http.MethodPost, chatPath, streamBody, nil)
	if strings.Contains(got, "usage") || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the client got %s", got)
	}
	if sent := f.upstream.Requests()[0].Body; !bytes.Contains(sent, []byte(`"include_usage":true`)) {
		t.Errorf("the server got %s", sent)
	}
	asking := strings.TrimSuffix(streamBody, "}") + `,"stream_options":{"include_usage":true}}`
	if _, got := f.do(t, http.MethodPost, chatPath, asking, nil); !strings.Contains(got, `"choices":[],"usage":{`) {
		t.Errorf("the client asked and got %s", got)
	}
	f.end(t)
	counted := 0
	for _, s := range f.sink.spans(t) {
		if n, _ := s.Attribute("gen_ai.usage.output_tokens"); n == int64(4) {
			counted++
		}
	}
	if counted != 2 {
		t.Errorf("%d requests have their usage", counted)
	}
}

// TestStrictServer answers 400 to what it does not know; it is asked once.
func TestStrictServer(t *testing.T) {
	f := newFixture(t, true, fst.WithStrict())
	for range 3 {
		if res, got := f.do(t, http.MethodPost, chatPath, streamBody, nil); res.StatusCode != 200 || !strings.Contains(got, "[DONE]") {
			t.Errorf("the client got %d %s", res.StatusCode, got)
		}
	}
	sent := f.upstream.Requests()
	if len(sent) != 4 {
		t.Fatalf("%d requests", len(sent))
	}
	for i, r := range sent {
		if asked := bytes.Contains(r.Body, []byte("stream_options")); asked != (i == 0) {
			t.Errorf("request %d: %s", i, r.Body)
		}
	}
	// A request that is wrong by itself says nothing about the server.
	f.upstream.Reply(fst.ErrorReply(400, "no"), fst.ErrorReply(400, "no"))
	if res, _ := f.do(t, http.MethodPost, "/v1/completions", streamBody, nil); res.StatusCode != 400 {
		t.Errorf("status %d", res.StatusCode)
	}
}
