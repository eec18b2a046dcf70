package forkspan

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The header names of W3C Trace Context, section 3.
const (
	traceparentName = "traceparent"
	tracestateName  = "tracestate"
	baggageName     = "baggage"
)

// traceparentLen is the length of version 00: four fields of 2, 32, 16 and 2 hex digits and three dashes.
const traceparentLen = 55

// parseTraceparent reads a traceparent as W3C Trace Context, level 2, section 3.2 asks of receivers. Blanks around it are
// allowed, as HTTP does. Flags that have no meaning yet are dropped, in any version.
func parseTraceparent(s string) (trace.SpanContextConfig, bool) {
	var c trace.SpanContextConfig
	s = strings.Trim(s, " \t")
	if len(s) < traceparentLen || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return c, false
	}
	var version, flags [1]byte
	if !parseHex(version[:], s[:2]) || !parseHex(c.TraceID[:], s[3:35]) ||
		!parseHex(c.SpanID[:], s[36:52]) || !parseHex(flags[:], s[53:55]) {
		return c, false
	}
	switch {
	case version[0] == 0xff:
		return c, false
	case version[0] == 0 && len(s) != traceparentLen:
		return c, false
	case len(s) > traceparentLen && s[traceparentLen] != '-':
		return c, false
	}
	c.TraceFlags = trace.TraceFlags(flags[0]) & (trace.FlagsSampled | trace.FlagsRandom)
	c.Remote = true
	return c, c.TraceID.IsValid() && c.SpanID.IsValid()
}

// parseHex decodes lower-case hex digits; src is twice as long as dst.
func parseHex(dst []byte, src string) bool {
	for i := range dst {
		hi, lo := hexValue(src[2*i]), hexValue(src[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// formatTraceparent writes sc as version 00, with the flags that have a meaning.
func formatTraceparent(sc trace.SpanContext) string {
	id, span := sc.TraceID(), sc.SpanID()
	b := make([]byte, 0, traceparentLen)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(sc.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom))})
	return string(b)
}

// maxMembers is the most that a tracestate may have (section 3.3.1.1). With more, it is discarded as a whole.
const maxMembers = 32

// parseTracestate reads the values of all tracestate headers as one list, in their order (section 3.3.1). Members without
// content are allowed. A list that breaks a rule is discarded as a whole. Keys that are valid in level 2 and cannot be
// held by OpenTelemetry's TraceState, which follows level 1, are left out: they begin with a digit or have an @ elsewhere
// than before a short system id.
func parseTracestate(values ...string) trace.TraceState {
	var list []string
	seen := make(map[string]bool)
	for _, value := range values {
		for member := range strings.SplitSeq(value, ",") {
			member = strings.Trim(member, " \t")
			if member == "" {
				continue
			}
			key, val, _ := strings.Cut(member, "=")
			if !validKey(key) || !validValue(val) || seen[key] {
				return trace.TraceState{}
			}
			seen[key] = true
			list = append(list, member)
		}
	}
	if len(list) == 0 || len(list) > maxMembers {
		return trace.TraceState{}
	}
	if ts, err := trace.ParseTraceState(strings.Join(list, ",")); err == nil {
		return ts
	}
	kept := list[:0]
	for _, member := range list {
		if _, err := trace.ParseTraceState(member); err == nil {
			kept = append(kept, member)
		}
	}
	ts, _ := trace.ParseTraceState(strings.Join(kept, ",")) // each member has just been parsed
	return ts
}

// validKey checks a key by the grammar of level 2, section 3.3.1.3.1.
func validKey(s string) bool {
	if len(s) == 0 || len(s) > 256 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("_-*/@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// validValue checks a value by section 3.3.1.3.2; blanks at its end have been cut off.
func validValue(s string) bool {
	if len(s) == 0 || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}

// strictTraceContext is the W3C propagator that Init installs. It differs from OpenTelemetry's in what it reads: see
// [Extract].
type strictTraceContext struct{ propagation.TraceContext }

// Extract returns ctx with the carrier's trace context, or ctx itself when it has no valid one.
func (strictTraceContext) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	parents := carrierValues(carrier, traceparentName)
	if len(parents) != 1 {
		return ctx
	}
	c, ok := parseTraceparent(parents[0])
	if !ok {
		return ctx
	}
	c.TraceState = parseTracestate(carrierValues(carrier, tracestateName)...)
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(c))
}

// carrierValues returns all values of a key, where the carrier can tell.
func carrierValues(carrier propagation.TextMapCarrier, key string) []string {
	if many, ok := carrier.(propagation.ValuesGetter); ok {
		return many.Values(key)
	}
	if v := carrier.Get(key); v != "" {
		return []string{v}
	}
	return nil
}
