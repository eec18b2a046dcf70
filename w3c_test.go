package forkspan

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	validID   = "0af7651916cd43dd8448eb211c80319c"
	validSpan = "b7ad6b7169203331"
	valid     = "00-" + validID + "-" + validSpan + "-01"
)

func members(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("k%d=v", i))
	}
	return strings.Join(list, ",")
}

// The column otel is what OpenTelemetry's own propagator makes of the same headers: where it differs from want is why
// this package has a parser of its own. "-" stands for no parent, else the flags and the tracestate follow.
func TestStrictTraceContext(t *testing.T) {
	long := strings.Repeat("a", 256)
	tests := []struct {
		name       string
		parents    []string
		states     []string
		want, otel string
	}{
		{"valid", []string{valid}, nil, "01", "01"},
		{"flags 03 of SDKs that set the random bit", []string{valid[:53] + "03"}, nil, "03", "03"},
		{"unsampled", []string{valid[:53] + "00"}, nil, "00", "00"},
		{"upper-case hex", []string{strings.ToUpper(valid)}, nil, "-", "-"},
		{"version ff", []string{"ff" + valid[2:]}, nil, "-", "-"},
		{"version 00 with more", []string{valid + "-x"}, nil, "-", "-"},
		{"version 01 with more", []string{"01" + valid[2:] + "-x"}, nil, "01", "01"},
		{"version cc, as long as 00", []string{"cc" + valid[2:]}, nil, "01", "01"},
		{"version cc with no dash", []string{"cc" + valid[2:] + ".x"}, nil, "-", "-"},
		{"zero trace id", []string{"00-" + strings.Repeat("0", 32) + valid[35:]}, nil, "-", "-"},
		{"zero span id", []string{valid[:36] + strings.Repeat("0", 16) + "-01"}, nil, "-", "-"},
		{"cut off", []string{valid[:54]}, nil, "-", "-"},
		{"empty", []string{""}, nil, "-", "-"},
		{"none", nil, []string{"a=1"}, "-", "-"},

		{"traceparent twice", []string{valid, valid}, nil, "-", "01"},
		{"unknown flags are not for us", []string{valid[:53] + "ff"}, nil, "03", "-"},
		{"version 00 with a dash at the end", []string{valid + "-"}, nil, "-", "01"},
		{"blanks around", []string{" " + valid + "\t"}, nil, "01", "-"},

		{"tracestate", []string{valid}, []string{"a=1,b=2"}, "01 a=1,b=2", "01 a=1,b=2"},
		{"a tracestate is no reason to lose the parent", []string{valid}, []string{"a"}, "01", "01"},
		{"value with an equals sign", []string{valid}, []string{"a=1=2"}, "01", "01"},
		{"key with a capital", []string{valid}, []string{"A=1"}, "01", "01"},
		{"tenant key", []string{valid}, []string{"t@s=1"}, "01 t@s=1", "01 t@s=1"},
		{"duplicate key", []string{valid}, []string{"a=1,a=2"}, "01", "01"},
		{"empty members", []string{valid}, []string{"a=1,,b=2"}, "01 a=1,b=2", "01 a=1,b=2"},
		{"32 members", []string{valid}, []string{members(32)}, "01 " + members(32), "01 " + members(32)},
		{"33 members", []string{valid}, []string{members(33)}, "01", "01"},
		{"longest key", []string{valid}, []string{long + "=1"}, "01 " + long + "=1", "01 " + long + "=1"},
		{"too long a key", []string{valid}, []string{long + "a=1"}, "01", "01"},
		{"longest value", []string{valid}, []string{"a=" + long}, "01 a=" + long, "01 a=" + long},
		{"too long a value", []string{valid}, []string{"a=" + long + "a"}, "01", "01"},

		{"several headers", []string{valid}, []string{"a=1", "b=2"}, "01 a=1,b=2", "01 a=1"},
		{"too many in several headers", []string{valid}, []string{members(20), "x=1," + strings.ReplaceAll(members(20), "k", "l")},
			"01", "01 " + members(20)},
		{"members of blanks", []string{valid}, []string{"a=1, \t,b=2"}, "01 a=1,b=2", "01"},
		{"an empty header first", []string{valid}, []string{"", "b=2"}, "01 b=2", "01"},
		{"blanks around members", []string{valid}, []string{"a=1 , b=2"}, "01 a=1,b=2", "01 a=1,b=2"},
		{"a key of level 2", []string{valid}, []string{"1a=1,b=2"}, "01 b=2", "01"},
		{"an @ of level 2", []string{valid}, []string{"a@b@c=1,b=2"}, "01 b=2", "01"},
	}
	for _, test := range tests {
		h := http.Header{"Traceparent": test.parents, "Tracestate": test.states}
		if got := extracted(strictTraceContext{}, h); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if got := extracted(propagation.TraceContext{}, h); got != test.otel {
			t.Errorf("%s: OpenTelemetry's has %q, the table says %q", test.name, got, test.otel)
		}
	}
}

func extracted(p propagation.TextMapPropagator, h http.Header) string {
	sc := trace.SpanContextFromContext(p.Extract(context.Background(), propagation.HeaderCarrier(h)))
	if !sc.IsValid() {
		return "-"
	}
	return strings.TrimSpace(sc.TraceFlags().String() + " " + sc.TraceState().String())
}

func TestFormatTraceparentReadsBack(t *testing.T) {
	for _, flags := range []string{"00", "01", "02", "03"} {
		in := valid[:53] + flags
		c, ok := parseTraceparent(in)
		if !ok {
			t.Fatalf("%s is invalid", in)
		}
		if got := formatTraceparent(trace.NewSpanContext(c)); got != in {
			t.Errorf("%s comes back as %s", in, got)
		}
	}
}

// FuzzTraceparent compares with OpenTelemetry's propagator wherever the two have the same rules: a header without blanks
// around it, without flags that version 00 does not know, and without a dash after them. What was read has to survive
// being written and read.
func FuzzTraceparent(f *testing.F) {
	for _, parent := range []string{
		valid, "01" + valid[2:] + "-x", "ff" + valid[2:], valid[:54], strings.ToUpper(valid), valid + "-",
	} {
		f.Add(parent, "a=1,b=2")
	}
	f.Add(valid, "t@s=1,,x= y ")
	f.Add(valid, "1a=1,b=2")
	f.Fuzz(func(t *testing.T, parent, state string) {
		c, ok := parseTraceparent(parent)
		carrier := propagation.MapCarrier{"traceparent": parent, "tracestate": state}
		theirs := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
		version00 := strings.HasPrefix(parent, "00")
		otherRules := strings.Trim(parent, " \t") != parent ||
			ok && version00 && (parent[53] != '0' || parent[54] > '3') ||
			version00 && len(parent) == traceparentLen+1 && parent[traceparentLen] == '-'
		if !otherRules && ok != theirs.IsValid() {
			t.Fatalf("%q: valid %v, OpenTelemetry says %v", parent, ok, theirs.IsValid())
		}
		states := parseTracestate(state)
		if ok && theirs.IsValid() {
			if c.TraceID != theirs.TraceID() || c.SpanID != theirs.SpanID() || c.TraceFlags != theirs.TraceFlags() {
				t.Errorf("%q: %+v, OpenTelemetry has %+v", parent, c, theirs)
			}
			// Whatever OpenTelemetry can make of the tracestate, so can we; not the other way round.
			if s := theirs.TraceState().String(); s != "" && s != states.String() {
				t.Errorf("%q: %q, OpenTelemetry has %q", state, states, s)
			}
		}
		if again := parseTracestate(states.String()); again.String() != states.String() {
			t.Errorf("%q: %q reads back as %q", state, states, again)
		}
		if ok {
			again, ok := parseTraceparent(formatTraceparent(trace.NewSpanContext(c)))
			if !ok || again.TraceID != c.TraceID || again.SpanID != c.SpanID || again.TraceFlags != c.TraceFlags {
				t.Errorf("%q does not survive being written", parent)
			}
		}
	})
}
