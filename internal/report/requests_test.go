package report

import (
	"bytes"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/timeline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The 13 requests of a real vLLM.
func TestRealRequests(t *testing.T) {
	var s Source
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "captures", "vllm-serve.otlp.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		body, err := otlp.FromJSON(line)
		if err == nil {
			err = s.AddRequest(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		file  string
		opts  Options
		width int
	}{
		{"real.txt", Options{By: []Key{ByModel, ByRoute}, Slowest: 5}, 100},
		{"real-one-group.txt", Options{Slowest: 2, Warmup: Warmup{fixed: true, count: 2}}, 80},
	} {
		got := Build([]*Source{&s}, test.opts).Text(timeline.TextOptions{Width: test.width}, test.opts.Warmup)
		golden := filepath.Join("testdata", test.file)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s", test.file, got)
		}
		for line := range strings.Lines(string(got)) {
			if timeline.Columns(strings.TrimSuffix(line, "\n")) > test.width {
				t.Errorf("%s: wider than %d: %s", test.file, test.width, line)
			}
		}
	}
}

// attrs are a span's attributes.
type attrs = map[string]any

// testSpan is a span of a test: times are milliseconds after second 1000, ids single numbers.
type testSpan struct {
	trace, id, parent uint64
	start, end        int64
	kind              otlp.Kind
	failed            bool
	attrs             attrs
}

func source(t *testing.T, spans ...testSpan) *Source {
	t.Helper()
	var b []byte
	for _, s := range spans {
		f := spanFields{start: at(s.start), end: at(s.end), kind: s.kind, name: "span"}
		if s.end == 0 {
			f.end = 0
		}
		if s.failed {
			f.status = otlp.StatusError
		}
		f.trace[0] = byte(s.trace)
		binary.BigEndian.PutUint64(f.span[:], s.id)
		binary.BigEndian.PutUint64(f.parent[:], s.parent)
		b = f.append(b, s.attrs)
	}
	source := &Source{Name: "test"}
	if err := source.AddRequest(envelope(b)); err != nil {
		t.Fatal(err)
	}
	return source
}

func at(ms int64) int64 { return 1_000_000_000_000 + ms*1_000_000 }

func chat(more attrs) attrs {
	a := attrs{"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "url.path": "/v1/chat/completions"}
	for k, v := range more {
		a[k] = v
	}
	return a
}

// engine is vLLM's span, of latencies in milliseconds.
func engine(ttft, e2e float64, more attrs) attrs {
	a := attrs{
		"gen_ai.latency.time_to_first_token": ttft / 1e3, "gen_ai.latency.e2e": e2e / 1e3, "gen_ai.latency.time_in_queue": 0.001,
		"gen_ai.usage.prompt_tokens": int64(10), "gen_ai.usage.completion_tokens": int64(5), "gen_ai.request.id": "chatcmpl-1",
		"gen_ai.latency.time_in_model_prefill": (ttft - 1) / 1e3, "gen_ai.latency.time_in_model_decode": (e2e - ttft) / 1e3,
	}
	for k, v := range more {
		a[k] = v
	}
	return a
}

// figures are a group's medians in milliseconds, as "client first token=12".
func figures(g *Group) string {
	var all []string
	for _, v := range g.Views {
		for _, m := range v.Measures {
			if m.Name != TokensPerSecond {
				all = append(all, v.Side+" "+m.Name+"="+strings.TrimSuffix(time.Duration(m.All.P50).String(), "ms"))
			}
		}
	}
	return strings.Join(all, ", ")
}

func TestSides(t *testing.T) {
	const server, client = otlp.KindServer, otlp.KindClient
	ttft := chat(attrs{"forkspan.gen_ai.time_to_first_token": 0.030})
	for _, test := range []struct {
		name     string
		spans    []testSpan
		requests int
		want     string
	}{
		{"the server's alone", []testSpan{{1, 1, 9, 0, 101, server, false, engine(20, 100, nil)}}, 1,
			"server first token=20, server inter-token=20, server end to end=100, server queue=1, server prefill=19, server decode=80"},
		{"the client's alone", []testSpan{{1, 1, 0, 0, 110, client, false, ttft}}, 1,
			"client first token=30, client end to end=110"},
		{"joined directly", []testSpan{
			{1, 1, 0, 0, 110, client, false, ttft},
			{1, 2, 1, 5, 105, server, false, engine(20, 100, nil)},
		}, 1, "client first token=30, client end to end=110, server first token=20, server inter-token=20, server end to end=100, " +
			"server queue=1, server prefill=19, server decode=80, difference first token=10, difference end to end=10"},
		{"joined across spans that are no requests, the server's first", []testSpan{
			{1, 4, 3, 5, 105, server, false, engine(20, 100, nil)},
			{1, 3, 2, 3, 106, server, false, nil},
			{1, 2, 1, 2, 107, client, false, nil},
			{1, 1, 0, 0, 110, client, false, ttft},
		}, 1, "client first token=30, client end to end=110, server first token=20, server inter-token=20, server end to end=100, " +
			"server queue=1, server prefill=19, server decode=80, difference first token=10, difference end to end=10"},
		{"several gateways: the outermost, completed from those below", []testSpan{
			{1, 1, 0, 0, 120, client, false, chat(nil)},
			{1, 2, 1, 3, 117, server, false, nil},
			{1, 3, 2, 4, 116, client, false, ttft},
			{1, 4, 3, 5, 105, server, false, engine(20, 100, attrs{"gen_ai.latency.time_in_model_decode": -1.0})},
		}, 1, "client first token=30, client end to end=120, server first token=20, server end to end=100, " +
			"server queue=1, server prefill=19, difference first token=10, difference end to end=20"},
		{"several choices", []testSpan{
			{1, 1, 0, 0, 150, client, false, ttft},
			{1, 2, 1, 5, 105, server, false, engine(20, 100, attrs{"gen_ai.latency.time_in_model_decode": -1.0})},
			{1, 3, 1, 5, 105, server, false, engine(25, 140, attrs{"gen_ai.latency.time_in_model_decode": -1.0})},
		}, 1, "client first token=30, client end to end=150, server first token=20, server end to end=100, server queue=1, " +
			"server prefill=19, difference first token=10, difference end to end=10"},
		{"another server's middleware", []testSpan{
			{1, 1, 0, 0, 110, client, false, ttft},
			{1, 2, 1, 5, 105, server, false, chat(attrs{"forkspan.gen_ai.time_to_first_token": 0.018})},
		}, 1, "client first token=30, client end to end=110, server first token=18, server end to end=100, " +
			"difference first token=12, difference end to end=10"},
		{"times that the server told its client", []testSpan{
			{1, 1, 0, 0, 110, client, false, chat(attrs{"forkspan.gen_ai.server.prefill": 0.007, "forkspan.gen_ai.server.decode": 0.09})},
		}, 1, "client end to end=110, server prefill=7, server decode=90"},
		{"never scheduled", []testSpan{{1, 1, 9, 0, 101, server, false, engine(0, 100, attrs{
			"gen_ai.latency.time_in_queue": -5000.0, "gen_ai.latency.time_in_model_prefill": 5000.0,
			"gen_ai.latency.time_in_model_decode": 0.0, "gen_ai.usage.completion_tokens": int64(0),
		})}}, 1, "server end to end=100, server decode=0s"},
		{"same span id in two traces", []testSpan{
			{1, 1, 0, 0, 110, client, false, ttft},
			{2, 2, 1, 5, 105, server, false, engine(20, 100, attrs{"gen_ai.latency.time_in_model_decode": -1.0})},
		}, 2, "client first token=30, client end to end=110, server first token=20, server end to end=100, server queue=1, server prefill=19"},
		{"delivered twice, and once before its end", []testSpan{
			{1, 1, 0, 0, 0, client, false, chat(nil)},
			{1, 1, 0, 0, 110, client, false, ttft},
			{1, 1, 0, 0, 110, client, false, ttft},
		}, 1, "client first token=30, client end to end=110"},
		{"parents in a circle", []testSpan{
			{1, 1, 2, 0, 110, client, false, ttft},
			{1, 2, 1, 0, 110, client, false, ttft},
		}, 2, "client first token=30, client end to end=110"},
		{"failed ones have no times", []testSpan{
			{1, 1, 0, 0, 110, client, false, ttft},
			{2, 1, 0, 0, 990, client, true, chat(attrs{"error.type": "client_gone", "forkspan.gen_ai.time_to_first_token": 0.9})},
		}, 2, "client first token=30, client end to end=110"},
		{"no request at all", []testSpan{{1, 1, 0, 0, 110, server, false, attrs{"url.path": "/health"}}}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Build([]*Source{source(t, test.spans...)}, Options{})
			got := ""
			if len(r.Groups) > 0 {
				got = figures(&r.Groups[0])
			}
			if r.Requests != test.requests || got != test.want {
				t.Errorf("%d requests, %s\nwant %d, %s", r.Requests, got, test.requests, test.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	spans := []testSpan{
		{1, 1, 0, 0, 100, otlp.KindClient, false, chat(attrs{"gen_ai.usage.input_tokens": int64(7), "gen_ai.usage.output_tokens": int64(3)})},
		{2, 1, 0, 50, 150, otlp.KindClient, true, chat(attrs{"error.type": "client_gone"})},
		{3, 1, 0, 60, 160, otlp.KindClient, true, chat(attrs{"error.type": "client_gone"})},
		{4, 1, 0, 70, 170, otlp.KindClient, true, chat(attrs{"http.response.status_code": int64(503)})},
		{5, 1, 0, 80, 0, otlp.KindClient, false, chat(nil)},
		{6, 1, 0, 200, 300, otlp.KindClient, false, chat(attrs{"gen_ai.request.model": "other"})},
		// Of a call with two choices the prompt counts once.
		{7, 1, 0, 300, 400, otlp.KindClient, false, chat(attrs{"gen_ai.request.model": "other"})},
		{7, 2, 1, 300, 400, otlp.KindServer, false, engine(20, 80, nil)},
		{7, 3, 1, 300, 400, otlp.KindServer, false, engine(20, 90, nil)},
	}
	r := Build([]*Source{source(t, spans...)}, Options{By: []Key{ByModel}, Slowest: 2})
	if r.Requests != 7 || r.Failed != 3 || r.Unfinished != 1 || r.Input != 17 || r.Output != 13 || r.Start != at(0) || r.End != at(400) {
		t.Errorf("%+v", r.Group)
	}
	if want := []Failure{{"client_gone", 2}, {"503", 1}}; !slices.Equal(r.Failures, want) {
		t.Errorf("failures %v, want %v", r.Failures, want)
	}
	if len(r.Groups) != 2 || r.Groups[0].Model != "m" || r.Groups[0].Requests != 5 || r.Groups[1].Requests != 2 {
		t.Errorf("groups %+v", r.Groups)
	}
	if len(r.Slow) != 2 || r.Slow[0].TraceID[0] != 1 || r.Slow[1].TraceID[0] != 6 || r.Slow[0].FirstToken != unset {
		t.Errorf("slowest %+v", r.Slow)
	}
	for _, test := range []struct {
		opts Options
		want int
	}{
		{Options{Model: "OTH"}, 2},
		{Options{Route: "chat/"}, 7},
		{Options{Route: "embeddings"}, 0},
		{Options{Failed: true}, 3},
		{Options{Since: time.Unix(0, at(200))}, 2},
	} {
		if r := Build([]*Source{source(t, spans...)}, test.opts); r.Requests != test.want {
			t.Errorf("%+v: %d requests, want %d", test.opts, r.Requests, test.want)
		}
	}
	failed := Build([]*Source{source(t, spans...)}, Options{Failed: true, Slowest: 9})
	if got := figures(&failed.Groups[0]); got != "client end to end=100" || len(failed.Slow) != 3 || failed.Slow[0].Failure != "client_gone" {
		t.Errorf("failed ones: %s, %+v", got, failed.Slow)
	}
}

func TestManyFailures(t *testing.T) {
	var spans []testSpan
	for i, kind := range []string{"client_gone", "upstream_cut", "upstream_unreachable", "timeout", "server_overloaded", "503", "x"} {
		spans = append(spans, testSpan{uint64(i + 1), 1, 0, 50, 150, otlp.KindClient, true, chat(attrs{"error.type": kind})})
	}
	r := Build([]*Source{source(t, spans...)}, Options{})
	got := string(r.Text(timeline.TextOptions{Width: 80}, Warmup{}))
	want := "7 requests\n7 failed: 1 HTTP 503, 1 client gone, 1 server overloaded, 1 timeout, 1 upstream cut, ..\n" +
		"warm-up: 7, begun before the first answer of their model and route\n\nno times: no request finished well\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestWarmup(t *testing.T) {
	// Two began before the first answer, of which one was a failure; the other model has its own warm-up.
	spans := []testSpan{
		{1, 1, 0, 0, 1000, otlp.KindClient, false, chat(nil)},
		{2, 1, 0, 10, 20, otlp.KindClient, true, chat(attrs{"error.type": "500"})},
		{3, 1, 0, 999, 1200, otlp.KindClient, false, chat(nil)},
		{4, 1, 0, 1000, 1100, otlp.KindClient, false, chat(nil)},
		{5, 1, 0, 5000, 5100, otlp.KindClient, false, chat(attrs{"gen_ai.request.model": "other"})},
		{6, 1, 0, 6000, 6100, otlp.KindClient, false, chat(attrs{"gen_ai.request.model": "other"})},
	}
	for _, test := range []struct {
		rule  string
		ready int64 // ms; 0: unknown
		want  int
	}{
		{"auto", 0, 4}, {"0", 0, 0}, {"1", 0, 1}, {"3", 0, 3}, {"9", 0, 6}, {"1s", 0, 3}, {"1s", 500, 4}, {"0s", 0, 0},
	} {
		w, err := ParseWarmup(test.rule)
		if err != nil {
			t.Fatal(err)
		}
		s := source(t, spans...)
		if test.ready != 0 {
			s.Ready = time.Unix(0, at(test.ready))
		}
		r := Build([]*Source{s}, Options{Warmup: w})
		m := r.Groups[0].Views[0].Measures[0]
		if r.Warmup != test.want || m.All.Count != 5 {
			t.Errorf("%s, ready %d: %d are warm-up, want %d; %+v", test.rule, test.ready, r.Warmup, test.want, m)
		}
	}
	r := Build([]*Source{source(t, spans...)}, Options{})
	m := r.Groups[0].Views[0].Measures[0]
	if want := (Distribution{2, 100e6, 100e6, 100e6, 100e6}); m.Name != "end to end" || m.Warm != want || m.All.Slowest != 1000e6 {
		t.Errorf("%+v", m)
	}
	for _, bad := range []string{"", "-1", "-1s", "some"} {
		if _, err := ParseWarmup(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSeveralSources(t *testing.T) {
	a := source(t, testSpan{1, 1, 0, 0, 100, otlp.KindClient, false, chat(nil)})
	b := source(t, testSpan{1, 1, 0, 0, 200, otlp.KindClient, false, chat(nil)})
	b.Name = "b"
	r := Build([]*Source{a, b}, Options{By: []Key{ByRun, ByRoute}})
	if len(r.Groups) != 2 || r.Groups[0].Run != "b" || r.Groups[1].Run != "test" || figures(&r.Groups[0]) != "client end to end=200" {
		t.Errorf("%+v", r.Groups)
	}
	a = source(t, testSpan{1, 1, 0, 0, 100, otlp.KindClient, false, chat(nil)})
	b = source(t, testSpan{1, 1, 0, 0, 200, otlp.KindClient, false, chat(nil)})
	r = Build([]*Source{a, b}, Options{By: []Key{ByRoute}})
	if len(r.Groups) != 1 || r.Groups[0].Requests != 2 || r.Groups[0].Views[0].Measures[0].All.Slowest != 200e6 {
		t.Errorf("%+v", r.Groups)
	}
}
