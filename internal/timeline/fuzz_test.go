package timeline

import (
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// spansFrom makes spans of any shape from bytes, eight a span: few ids, so that they collide, miss and form cycles.
func spansFrom(data []byte) []otlp.Span {
	var processes []*otlp.Process
	for _, name := range []string{"W_0", "W_1", "W_2", "", "A"} {
		processes = append(processes, &otlp.Process{Name: name})
	}
	kinds := []otlp.Kind{otlp.KindInternal, otlp.KindServer, otlp.KindConsumer}
	scopes := []*otlp.Scope{nil, {Name: "x"}, {Name: runScope}, {Name: pythonScope}}
	var spans []otlp.Span
	for ; len(data) >= 8; data = data[8:] {
		s := otlp.Span{
			TraceID: otlp.TraceID{15: data[0] % 3}, SpanID: otlp.SpanID{7: data[1] % 16}, ParentID: otlp.SpanID{7: data[2] % 16},
			Process: processes[int(data[3])%len(processes)], Kind: kinds[int(data[4])%len(kinds)], Scope: scopes[int(data[4]/16)%len(scopes)],
			Status: otlp.StatusCode(data[4]%5) % 3, Name: string(rune('a' + data[5]%4)),
			Start: epoch*1e9 + int64(data[6])*1e9, End: epoch*1e9 + int64(data[7])*1e9,
		}
		if s.Scope == scopes[3] {
			s.Name = importPrefix + s.Name
		}
		switch data[7] {
		case 0:
			s.End = 0
		case 1:
			s.End = -1 << 63
		case 2:
			s.End = 1<<63 - 1
		}
		if data[6] == 255 {
			s.Start = -1 << 63
		}
		if data[3] == 255 {
			s.Process = nil
		}
		spans = append(spans, s)
	}
	return spans
}

// FuzzBuild checks what must hold for any spans against a count of distinct spans made in another way.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x00\x01\x05\x00\x02\x01\x01\x00\x01\x02\x04"))
	f.Add([]byte("\x00\x01\x02\x00\x00\x00\x01\x05\x00\x02\x01\x00\x00\x00\x02\x04\x00\x03\x03\x00\x00\x00\x02\x04"))
	f.Add([]byte("\x00\x01\x00\x04\x00\x00\x01\x09\x00\x02\x01\x00\x00\x01\x02\x04\x00\x03\x01\x01\x00\x01\x02\x04\x00\x04\x01\x02\x01\x01\x02\x00"))
	f.Add([]byte("\x00\x01\x00\x04\x00\x00\x01\x09\x00\x02\x01\x00\x00\x01\x02\x04\x00\x03\x01\x01\x00\x01\x02\x04\x00\x04\x03\x01\x30\x02\x02\x03\x00\x05\x04\x01\x30\x02\x02\x03"))
	f.Fuzz(func(t *testing.T, data []byte) {
		spans := spansFrom(data[:min(len(data), 8*200)])
		for _, opts := range []Options{{All: true}, {ListRequests: true}, {}, {MaxRows: 3}, {ErrorsOnly: true}, {CriticalPath: true}, {MaxDepth: 2}} {
			tl := Build(spans, opts)
			checkRows(t, tl)
			if opts.All || opts.ListRequests {
				checkEverySpanOnce(t, spans, tl, !opts.All)
			}
			var out strings.Builder
			if err := tl.WriteText(&out, TextOptions{Width: 80, Unicode: true}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if n := Columns(strings.TrimSuffix(line, "\n")); n > 80 {
					t.Fatalf("a line of %d columns: %q", n, line)
				}
			}
		}
	})
}

// checkRows checks that the rows are trees: a row is at most one deeper than the one before, so parents precede, and Last is right.
func checkRows(t *testing.T, tl *Timeline) {
	depth := -1
	for i, r := range tl.Rows {
		if r.Depth > depth+1 || r.Depth < 0 {
			t.Fatalf("row %d has depth %d after %d", i, r.Depth, depth)
		}
		depth = r.Depth
		last := true
		for _, later := range tl.Rows[i+1:] {
			if later.Depth <= r.Depth {
				last = later.Depth < r.Depth
				break
			}
		}
		if r.Last != last {
			t.Fatalf("row %d: Last is %v", i, r.Last)
		}
		if r.Self < 0 || r.Shortest > r.Duration {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
}

// checkEverySpanOnce compares the rows, and how many are said to be hidden, with the distinct keys of the spans. Of ranks that are
// grouped, imports may be hidden.
func checkEverySpanOnce(t *testing.T, spans []otlp.Span, tl *Timeline, grouped bool) {
	type key struct {
		trace   otlp.TraceID
		span    otlp.SpanID
		process string
	}
	keyOf := func(s *otlp.Span) key {
		k := key{trace: s.TraceID, span: s.SpanID}
		if s.Process != nil {
			k.process = s.Process.Name
		}
		return k
	}
	want := map[key]int{}
	imports := map[key]bool{}
	hidden := 0
	for i := range spans {
		k := keyOf(&spans[i])
		imports[k] = imports[k] || grouped && ofImport(&spans[i])
		if k.span == (otlp.SpanID{}) {
			want[k]++ // identifies nothing, so each is a span
		} else {
			want[k] = 1
		}
	}
	got := map[key]int{}
	for _, r := range tl.Rows {
		switch r.Kind {
		case SpanRow:
			got[keyOf(r.Span)]++
		case GroupRow:
			for _, s := range r.Members {
				got[keyOf(s)]++
			}
		}
	}
	for k, n := range want {
		if imports[k] && got[k] < n {
			hidden += n - got[k]
			got[k] = n
		}
		if got[k] != n {
			t.Fatalf("span %x of %q is drawn %d times, want %d", k.span, k.process, got[k], n)
		}
	}
	if hidden != tl.Hidden {
		t.Fatalf("%d spans are hidden, not %d", hidden, tl.Hidden)
	}
	if len(got) != len(want) {
		t.Fatalf("%d distinct spans drawn, want %d", len(got), len(want))
	}
}
