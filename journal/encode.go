package journal

import (
	"math"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// Bits of OTLP's span flags beside those of the W3C.
const (
	flagKnowsRemote = 0x100
	flagIsRemote    = 0x200
)

// The beginnings of a span's first fields: tag and length.
const (
	beginTraceID  = "\x0a\x10"
	beginSpanID   = "\x12\x08"
	beginParentID = "\x22\x08"
)

// appendBeginning appends the first fields of an OTLP Span message. Protobuf's own encoder would want the message in objects first:
// 20 allocations a span.
func appendBeginning(b []byte, kind trace.SpanKind, sc *trace.SpanContext, parent trace.SpanID, name string, start int64) []byte {
	trace, span := sc.TraceID(), sc.SpanID()
	b = append(append(b, beginTraceID...), trace[:]...)
	b = append(append(b, beginSpanID...), span[:]...)
	if state := sc.TraceState(); state.Len() > 0 {
		b = appendText(b, 3, state.String())
	}
	if parent.IsValid() {
		b = append(append(b, beginParentID...), parent[:]...)
	}
	b = appendText(b, 5, name)
	b = appendNumber(b, 6, uint64(kind))
	return appendFixed64(b, 7, nanoseconds(start))
}

// appendEnd appends the fields of s that its end brings, without its links. Each call of s copies all of it.
func appendEnd(b []byte, s sdktrace.ReadOnlySpan) []byte {
	b = appendFixed64(b, 8, nanoseconds(s.EndTime().UnixNano()))
	b = appendNumber(b, 10, count(s.DroppedAttributes()))
	for _, e := range s.Events() {
		b = appendMessage(b, 11, func(b []byte) []byte { return appendEvent(b, e) })
	}
	b = appendNumber(b, 12, count(s.DroppedEvents()))
	b = appendNumber(b, 14, count(s.DroppedLinks()))
	if status := s.Status(); status.Code != codes.Unset {
		b = appendMessage(b, 15, func(b []byte) []byte { return appendStatus(b, status) })
	}
	return b
}

func appendLinks(b []byte, links []sdktrace.Link) []byte {
	for _, l := range links {
		b = appendMessage(b, 13, func(b []byte) []byte { return appendLink(b, l) })
	}
	return b
}

func appendEvent(b []byte, e sdktrace.Event) []byte {
	b = appendFixed64(b, 1, nanoseconds(e.Time.UnixNano()))
	b = appendText(b, 2, e.Name)
	b = appendAttributes(b, 3, e.Attributes)
	return appendNumber(b, 4, count(e.DroppedAttributeCount))
}

func appendLink(b []byte, l sdktrace.Link) []byte {
	trace, span := l.SpanContext.TraceID(), l.SpanContext.SpanID()
	b = appendBytes(b, 1, trace[:])
	b = appendBytes(b, 2, span[:])
	if state := l.SpanContext.TraceState(); state.Len() > 0 {
		b = appendText(b, 3, state.String())
	}
	b = appendAttributes(b, 4, l.Attributes)
	b = appendNumber(b, 5, count(l.DroppedAttributeCount))
	return appendFlags(b, 6, flagsOf(l.SpanContext.TraceFlags(), l.SpanContext.IsRemote()))
}

func appendStatus(b []byte, s sdktrace.Status) []byte {
	b = appendText(b, 2, s.Description)
	if s.Code == codes.Ok { // the numbers of OTLP are the other way round
		return appendNumber(b, 3, 1)
	}
	return appendNumber(b, 3, 2)
}

// appendContext appends a ResourceSpans message without spans, in which there is one ScopeSpans.
func appendContext(b []byte, r *resource.Resource, scope instrumentation.Scope) []byte {
	b = appendMessage(b, 1, func(b []byte) []byte { return appendAttributes(b, 1, r.Attributes()) })
	b = appendMessage(b, 2, func(b []byte) []byte {
		b = appendMessage(b, 1, func(b []byte) []byte {
			b = appendText(b, 1, scope.Name)
			b = appendText(b, 2, scope.Version)
			return appendAttributes(b, 3, scope.Attributes.ToSlice())
		})
		return appendText(b, 3, scope.SchemaURL)
	})
	return appendText(b, 3, r.SchemaURL())
}

func appendAttributes(b []byte, field protowire.Number, attrs []attribute.KeyValue) []byte {
	for len(attrs) > 0 {
		begin, n := len(b), 0
		b, n = appendShorts(b, field, attrs)
		if !utf8.Valid(b[begin:]) { // tags and lengths are ASCII
			b = b[:begin]
			for i := range attrs[:n] {
				b = appendAttribute(b, field, &attrs[i])
			}
		}
		if attrs = attrs[n:]; len(attrs) > 0 {
			b, attrs = appendAttribute(b, field, &attrs[0]), attrs[1:]
		}
	}
	return b
}

// appendAttribute appends an attribute of any kind.
func appendAttribute(b []byte, field protowire.Number, a *attribute.KeyValue) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = append(b, 0)
	at := len(b)
	b = appendText(b, 1, string(a.Key))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = append(b, 0)
	value := len(b)
	b = appendValue(b, a.Value)
	b = fillLength(b, value)
	return fillLength(b, at)
}

// appendShorts appends the first of the attributes as long as they are texts so short that every length in them takes one byte:
// as most are, and a span is mostly attributes. It returns how many. Whether they are UTF-8 is for the caller to look at.
func appendShorts(b []byte, field protowire.Number, attrs []attribute.KeyValue) ([]byte, int) {
	const (
		tags    = 6 // bytes beside the two texts, after the attribute's own length
		oneByte = 1<<7 - 1
	)
	if field >= 16 {
		return b, 0
	}
	n := 0
	for n < len(attrs) && attrs[n].Value.Type() == attribute.STRING {
		key, text := string(attrs[n].Key), attrs[n].Value.AsString()
		if len(key)+len(text)+tags > oneByte {
			break
		}
		b = append(b, byte(field)<<3|byte(protowire.BytesType), byte(len(key)+len(text)+tags),
			1<<3|byte(protowire.BytesType), byte(len(key)))
		b = append(b, key...)
		b = append(b, 2<<3|byte(protowire.BytesType), byte(len(text)+2), 1<<3|byte(protowire.BytesType), byte(len(text)))
		b = append(b, text...)
		n++
	}
	return b, n
}

// appendValue appends the fields of an AnyValue message.
func appendValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.STRING:
		return appendBytes(b, 1, valid(v.AsString()))
	case attribute.BOOL:
		b = protowire.AppendTag(b, 2, protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeBool(v.AsBool()))
	case attribute.INT64:
		b = protowire.AppendTag(b, 3, protowire.VarintType)
		return protowire.AppendVarint(b, uint64(v.AsInt64()))
	case attribute.FLOAT64:
		return appendFixed64(b, 4, math.Float64bits(v.AsFloat64()))
	case attribute.BYTESLICE:
		return appendBytes(b, 7, v.AsByteSlice())
	case attribute.MAP:
		return appendMessage(b, 6, func(b []byte) []byte { return appendAttributes(b, 1, v.AsMap()) })
	case attribute.EMPTY:
		return b
	}
	return appendMessage(b, 5, func(b []byte) []byte { return appendElements(b, v) })
}

// appendElements appends the values of a slice.
func appendElements(b []byte, v attribute.Value) []byte {
	add := func(element attribute.Value) {
		b = appendMessage(b, 1, func(b []byte) []byte { return appendValue(b, element) })
	}
	switch v.Type() {
	case attribute.STRINGSLICE:
		for _, e := range v.AsStringSlice() {
			add(attribute.StringValue(e))
		}
	case attribute.BOOLSLICE:
		for _, e := range v.AsBoolSlice() {
			add(attribute.BoolValue(e))
		}
	case attribute.INT64SLICE:
		for _, e := range v.AsInt64Slice() {
			add(attribute.Int64Value(e))
		}
	case attribute.FLOAT64SLICE:
		for _, e := range v.AsFloat64Slice() {
			add(attribute.Float64Value(e))
		}
	case attribute.SLICE:
		for _, e := range v.AsSlice() {
			add(e)
		}
	}
	return b
}

// appendMessage appends a field that is the message whose fields inner appends.
func appendMessage(b []byte, field protowire.Number, inner func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = append(b, 0)
	at := len(b)
	return fillLength(inner(b), at)
}

// fillLength writes the length of what follows at before it: into the one byte that was left free, and more where it needs
// them.
func fillLength(b []byte, at int) []byte {
	n := len(b) - at
	more := protowire.SizeVarint(uint64(n)) - 1
	if more > 0 {
		b = append(b, make([]byte, more)...)
		copy(b[at+more:], b[at:at+n])
	}
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	s = valid(s)
	if len(s) < 1<<7 && field < 16 {
		b = append(b, byte(field)<<3|byte(protowire.BytesType), byte(len(s)))
		return append(b, s...)
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// valid replaces what is not UTF-8, for which a reader would have to refuse the span.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

func appendBytes[T string | []byte](b []byte, field protowire.Number, v T) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	b = appendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, n)
}

func appendFixed64(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendFixed64(appendTag(b, field, protowire.Fixed64Type), n)
}

// appendTag is protowire.AppendTag, quicker for the fields that most spans have.
func appendTag(b []byte, field protowire.Number, typ protowire.Type) []byte {
	if field >= 16 {
		return protowire.AppendTag(b, field, typ)
	}
	return append(b, byte(field)<<3|byte(typ))
}

func appendFlags(b []byte, field protowire.Number, flags uint32) []byte {
	return protowire.AppendFixed32(appendTag(b, field, protowire.Fixed32Type), flags)
}

// flagsOf is the flags of a span or a link as OTLP has them.
func flagsOf(f trace.TraceFlags, remote bool) uint32 {
	flags := uint32(f) | flagKnowsRemote
	if remote {
		flags |= flagIsRemote
	}
	return flags
}

// nanoseconds is a time as OTLP has it; before 1970 there is none.
func nanoseconds(n int64) uint64 { return uint64(max(0, n)) }

// count is a count as OTLP has it, in 32 bits.
func count(n int) uint64 { return min(uint64(max(0, n)), math.MaxUint32) }
