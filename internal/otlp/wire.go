package otlp

import (
	"encoding/binary"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protobuf message as it lies on the wire.
type field struct {
	num protowire.Number
	typ protowire.Type
	val []byte // BytesType: the content
	u   uint64 // VarintType, Fixed32Type, Fixed64Type: the value
}

// is reports whether f has the number and type of a known field. A known number with another type is an unknown field, as the
// protobuf encoding rules have it.
func (f *field) is(num protowire.Number, typ protowire.Type) bool {
	return f.num == num && f.typ == typ
}

// next reads the first field of b into f and returns its length; a negative length means that the wire is broken. Of val and u
// only the one that belongs to the field's type is set.
func (f *field) next(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	tag, i := uint64(b[0]), 1
	if tag >= 0x80 {
		if tag, i = protowire.ConsumeVarint(b); i < 0 {
			return -1
		}
	}
	num := tag >> 3
	if num < uint64(protowire.MinValidNumber) || num > uint64(protowire.MaxValidNumber) {
		return -1
	}
	f.num, f.typ = protowire.Number(num), protowire.Type(tag&7)
	switch f.typ {
	case protowire.BytesType:
		if i >= len(b) {
			return -1
		}
		size, n := uint64(b[i]), 1
		if size >= 0x80 {
			if size, n = protowire.ConsumeVarint(b[i:]); n < 0 {
				return -1
			}
		}
		i += n
		if size > uint64(len(b)-i) {
			return -1
		}
		end := i + int(size)
		f.val = b[i:end:end]
		return end
	case protowire.VarintType:
		u, n := protowire.ConsumeVarint(b[i:])
		if n < 0 {
			return -1
		}
		f.u = u
		return i + n
	case protowire.Fixed64Type:
		if len(b)-i < 8 {
			return -1
		}
		f.u = binary.LittleEndian.Uint64(b[i:])
		return i + 8
	case protowire.Fixed32Type:
		if len(b)-i < 4 {
			return -1
		}
		f.u = uint64(binary.LittleEndian.Uint32(b[i:]))
		return i + 4
	default:
		n := protowire.ConsumeFieldValue(f.num, f.typ, b[i:])
		if n < 0 {
			return -1
		}
		return i + n
	}
}

// fields calls fn for each field of the message b and reports whether b is well-formed as far as its own fields go.
func fields(b []byte, fn func(f field)) bool {
	for len(b) > 0 {
		var f field
		n := f.next(b)
		if n < 0 {
			return false
		}
		fn(f)
		b = b[n:]
	}
	return true
}

// text is b as a string that shares its memory: the spans of [Decode] keep references into the request.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Field numbers of opentelemetry/proto/{trace,resource,common}/v1.
const (
	requestResourceSpans = 1

	resourceSpansResource = 1
	resourceSpansScopes   = 2
	resourceSpansSchema   = 3

	resourceAttributes = 1
	resourceDropped    = 2
	resourceEntities   = 3

	entitySchema      = 1
	entityType        = 2
	entityIDKeys      = 3
	entityDescription = 4

	scopeSpansScope  = 1
	scopeSpansSpans  = 2
	scopeSpansSchema = 3

	scopeName       = 1
	scopeVersion    = 2
	scopeAttributes = 3
	scopeDropped    = 4

	spanTraceID    = 1
	spanSpanID     = 2
	spanTraceState = 3
	spanParentID   = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanDroppedA   = 10
	spanEvents     = 11
	spanDroppedE   = 12
	spanLinks      = 13
	spanDroppedL   = 14
	spanStatus     = 15
	spanFlags      = 16

	eventTime       = 1
	eventName       = 2
	eventAttributes = 3
	eventDropped    = 4

	linkTraceID    = 1
	linkSpanID     = 2
	linkTraceState = 3
	linkAttributes = 4
	linkDropped    = 5
	linkFlags      = 6

	statusMessage = 2
	statusCode    = 3

	keyValueKey   = 1
	keyValueValue = 2

	valueString = 1
	valueBool   = 2
	valueInt    = 3
	valueDouble = 4
	valueArray  = 5
	valueList   = 6
	valueBytes  = 7

	listValues = 1 // of ArrayValue and KeyValueList
)
