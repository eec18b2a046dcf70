package timeline

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// manySpans is a made-up run: a deep start-up in eight ranks and spans in batches below it.
func manySpans(n int) []otlp.Span {
	var processes []*otlp.Process
	for i := range 8 {
		processes = append(processes, &otlp.Process{Name: fmt.Sprintf("Worker_%d", i), PID: 100 + i})
	}
	spans := make([]otlp.Span, n)
	for i := range spans {
		s := &spans[i]
		binary.BigEndian.PutUint64(s.TraceID[:], 1)
		binary.BigEndian.PutUint64(s.SpanID[:], uint64(i+1))
		if i > 0 {
			binary.BigEndian.PutUint64(s.ParentID[:], uint64(i/4+1))
		}
		s.Name = fmt.Sprintf("step %d", i%50)
		s.Process = processes[i%len(processes)]
		s.Start = 1_700_000_000_000_000_000 + int64(i)*100_000
		s.End = s.Start + int64(n-i)*100_000
	}
	return spans
}

func BenchmarkDraw(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		spans := manySpans(n)
		for name, opts := range map[string]Options{"screenful": {MaxRows: 50}, "all": {All: true}} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := Build(spans, opts).WriteText(io.Discard, TextOptions{Unicode: true, Color: true}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
