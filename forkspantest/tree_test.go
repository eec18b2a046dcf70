package forkspantest_test

import (
	"fmt"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"forkspan.dev/forkspan/forkspantest"
)

// wire makes a finished span of trace 1; a parent of 0 means none.
func wire(process string, id, parent byte, name string, start uint64) forkspantest.Span {
	s := &tracepb.Span{
		TraceId: make([]byte, 16), SpanId: []byte{0, 0, 0, 0, 0, 0, 0, id}, Name: name,
		Kind: tracepb.Span_SPAN_KIND_INTERNAL, StartTimeUnixNano: start, EndTimeUnixNano: start + 1,
	}
	s.TraceId[0] = 1
	if parent != 0 {
		s.ParentSpanId = []byte{0, 0, 0, 0, 0, 0, 0, parent}
	}
	return forkspantest.Span{Span: s, Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{
		Key: "process", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: process}},
	}}}}
}

func TestTree(t *testing.T) {
	tests := []struct {
		name  string
		spans []forkspantest.Span
		want  string
	}{
		{"nothing", nil, ""},
		{"children before parents", []forkspantest.Span{wire("a", 2, 1, "child", 2), wire("a", 1, 0, "root", 1)},
			"root process=a\n  child process=a\n"},
		{"equal ids in two processes", []forkspantest.Span{
			wire("main", 9, 0, "start", 0),
			wire("rank 0", 1, 9, "init", 1), wire("rank 1", 1, 9, "init", 2),
			wire("rank 0", 2, 1, "load", 3), wire("rank 1", 2, 1, "load", 4),
		}, "start process=main\n  init process=rank 0\n    load process=rank 0\n  init process=rank 1\n    load process=rank 1\n"},
		{"cycle", []forkspantest.Span{wire("a", 1, 2, "one", 1), wire("a", 2, 1, "two", 2), wire("a", 3, 0, "root", 3)},
			"root process=a\none [cycle] process=a\n  two process=a\n"},
		{"own parent", []forkspantest.Span{wire("a", 1, 1, "self", 1)}, "self [cycle] process=a\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := forkspantest.Tree(tt.spans, "process"); got != tt.want {
				t.Errorf("tree:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestTraceIDs(t *testing.T) {
	other := wire("a", 3, 0, "other", 3)
	other.TraceId[0] = 2
	ids := forkspantest.TraceIDs([]forkspantest.Span{wire("a", 1, 0, "x", 1), wire("a", 2, 1, "y", 2), other})
	want := "[01000000000000000000000000000000 02000000000000000000000000000000]"
	if got := fmt.Sprint(ids); got != want {
		t.Errorf("ids %s, want %s", got, want)
	}
}
