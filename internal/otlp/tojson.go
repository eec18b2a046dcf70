package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendJSON appends body, the protobuf of an ExportTraceServiceRequest, to dst as one line of OTLP JSON without the line's
// end. Fields that this package does not know are left out. What [Scan] lets through is written without an error.
// See https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
func AppendJSON(dst, body []byte) ([]byte, error) {
	w := jsonWriter{to: dst}
	w.to = append(w.to, '{')
	w.array(body, requestResourceSpans, "resourceSpans", w.resourceSpans)
	w.to = append(w.to, '}')
	if w.broken {
		return dst, errWire
	}
	return w.to, nil
}

// jsonWriter turns protobuf messages into JSON. Members of an object follow the protobuf definitions' order.
type jsonWriter struct {
	to     []byte
	broken bool // the wire was broken somewhere
}

// fields calls fn for each field of the message b.
func (w *jsonWriter) fields(b []byte, fn func(f field)) {
	if !fields(b, fn) {
		w.broken = true
	}
}

// key starts the member name of an object.
func (w *jsonWriter) key(name string) {
	w.comma()
	w.to = append(w.to, '"')
	w.to = append(w.to, name...)
	w.to = append(w.to, '"', ':')
}

// comma separates from the element before, if there is one.
func (w *jsonWriter) comma() {
	if last := w.to[len(w.to)-1]; last != '{' && last != '[' {
		w.to = append(w.to, ',')
	}
}

// array writes the repeated message num of b as the member name, if it is there.
func (w *jsonWriter) array(b []byte, num protowire.Number, name string, element func([]byte)) {
	open := false
	w.fields(b, func(f field) {
		if !f.is(num, protowire.BytesType) {
			return
		}
		if !open {
			w.key(name)
			w.to = append(w.to, '[')
			open = true
		}
		w.comma()
		w.to = append(w.to, '{')
		element(f.val)
		w.to = append(w.to, '}')
	})
	if open {
		w.to = append(w.to, ']')
	}
}

// object writes the message num of b as the member name, if it is there. As protobuf has it, parts that repeat are merged.
func (w *jsonWriter) object(b []byte, num protowire.Number, name string, members func([]byte)) {
	var merged []byte
	found := false
	w.fields(b, func(f field) {
		if f.is(num, protowire.BytesType) {
			if !found {
				merged = f.val
			} else {
				merged = append(merged, f.val...)
			}
			found = true
		}
	})
	if found {
		w.key(name)
		w.to = append(w.to, '{')
		members(merged)
		w.to = append(w.to, '}')
	}
}

// scalar writes the last field num of type typ of b as the member name, unless it has protobuf's zero value.
func (w *jsonWriter) scalar(b []byte, num protowire.Number, typ protowire.Type, name string, value func(f field)) {
	var last field
	w.fields(b, func(f field) {
		if f.is(num, typ) {
			last = f
		}
	})
	if len(last.val) > 0 || last.u != 0 {
		w.key(name)
		value(last)
	}
}

func (w *jsonWriter) resourceSpans(b []byte) {
	w.object(b, resourceSpansResource, "resource", func(b []byte) {
		w.array(b, resourceAttributes, "attributes", w.keyValue)
		w.scalar(b, resourceDropped, protowire.VarintType, "droppedAttributesCount", w.number32)
		w.array(b, resourceEntities, "entityRefs", func(b []byte) {
			w.text(b, entitySchema, "schemaUrl")
			w.text(b, entityType, "type")
			w.texts(b, entityIDKeys, "idKeys")
			w.texts(b, entityDescription, "descriptionKeys")
		})
	})
	w.array(b, resourceSpansScopes, "scopeSpans", w.scopeSpans)
	w.text(b, resourceSpansSchema, "schemaUrl")
}

func (w *jsonWriter) scopeSpans(b []byte) {
	w.object(b, scopeSpansScope, "scope", func(b []byte) {
		w.text(b, scopeName, "name")
		w.text(b, scopeVersion, "version")
		w.array(b, scopeAttributes, "attributes", w.keyValue)
		w.scalar(b, scopeDropped, protowire.VarintType, "droppedAttributesCount", w.number32)
	})
	w.array(b, scopeSpansSpans, "spans", w.span)
	w.text(b, scopeSpansSchema, "schemaUrl")
}

func (w *jsonWriter) span(b []byte) {
	w.id(b, spanTraceID, "traceId")
	w.id(b, spanSpanID, "spanId")
	w.text(b, spanTraceState, "traceState")
	w.id(b, spanParentID, "parentSpanId")
	w.scalar(b, spanFlags, protowire.Fixed32Type, "flags", w.number)
	w.text(b, spanName, "name")
	w.scalar(b, spanKind, protowire.VarintType, "kind", w.number32)
	w.scalar(b, spanStart, protowire.Fixed64Type, "startTimeUnixNano", w.quoted)
	w.scalar(b, spanEnd, protowire.Fixed64Type, "endTimeUnixNano", w.quoted)
	w.array(b, spanAttributes, "attributes", w.keyValue)
	w.scalar(b, spanDroppedA, protowire.VarintType, "droppedAttributesCount", w.number32)
	w.array(b, spanEvents, "events", func(b []byte) {
		w.scalar(b, eventTime, protowire.Fixed64Type, "timeUnixNano", w.quoted)
		w.text(b, eventName, "name")
		w.array(b, eventAttributes, "attributes", w.keyValue)
		w.scalar(b, eventDropped, protowire.VarintType, "droppedAttributesCount", w.number32)
	})
	w.scalar(b, spanDroppedE, protowire.VarintType, "droppedEventsCount", w.number32)
	w.array(b, spanLinks, "links", func(b []byte) {
		w.id(b, linkTraceID, "traceId")
		w.id(b, linkSpanID, "spanId")
		w.text(b, linkTraceState, "traceState")
		w.array(b, linkAttributes, "attributes", w.keyValue)
		w.scalar(b, linkDropped, protowire.VarintType, "droppedAttributesCount", w.number32)
		w.scalar(b, linkFlags, protowire.Fixed32Type, "flags", w.number)
	})
	w.scalar(b, spanDroppedL, protowire.VarintType, "droppedLinksCount", w.number32)
	w.object(b, spanStatus, "status", func(b []byte) {
		w.text(b, statusMessage, "message")
		w.scalar(b, statusCode, protowire.VarintType, "code", w.number32)
	})
}

func (w *jsonWriter) keyValue(b []byte) {
	w.text(b, keyValueKey, "key")
	w.object(b, keyValueValue, "value", func(b []byte) { w.value(b, 0) })
}

// value writes the member of an AnyValue's object. Of several, which no encoder writes, the last counts.
func (w *jsonWriter) value(b []byte, depth int) {
	var last field
	w.fields(b, func(f field) {
		if f.num <= valueBytes && f.typ == valueTypes[f.num] {
			last = f
		}
	})
	if depth > maxNesting {
		w.broken = true
		return
	}
	switch last.num {
	case valueString:
		w.key("stringValue")
		w.string(last.val)
	case valueBool:
		w.key("boolValue")
		w.to = strconv.AppendBool(w.to, last.u != 0)
	case valueInt:
		w.key("intValue")
		w.to = append(w.to, '"')
		w.to = strconv.AppendInt(w.to, int64(last.u), 10)
		w.to = append(w.to, '"')
	case valueDouble:
		w.key("doubleValue")
		w.double(math.Float64frombits(last.u))
	case valueArray:
		w.key("arrayValue")
		w.to = append(w.to, '{')
		w.array(last.val, listValues, "values", func(b []byte) { w.value(b, depth+1) })
		w.to = append(w.to, '}')
	case valueList:
		w.key("kvlistValue")
		w.to = append(w.to, '{')
		w.array(last.val, listValues, "values", func(b []byte) {
			w.text(b, keyValueKey, "key")
			w.object(b, keyValueValue, "value", func(b []byte) { w.value(b, depth+1) })
		})
		w.to = append(w.to, '}')
	case valueBytes:
		w.key("bytesValue")
		w.to = append(w.to, '"')
		w.to = base64.StdEncoding.AppendEncode(w.to, last.val)
		w.to = append(w.to, '"')
	}
}

// valueTypes are the wire types of AnyValue's fields.
var valueTypes = [...]protowire.Type{
	0:           -1,
	valueString: protowire.BytesType,
	valueBool:   protowire.VarintType,
	valueInt:    protowire.VarintType,
	valueDouble: protowire.Fixed64Type,
	valueArray:  protowire.BytesType,
	valueList:   protowire.BytesType,
	valueBytes:  protowire.BytesType,
}

func (w *jsonWriter) text(b []byte, num protowire.Number, name string) {
	w.scalar(b, num, protowire.BytesType, name, func(f field) { w.string(f.val) })
}

// texts writes a repeated string.
func (w *jsonWriter) texts(b []byte, num protowire.Number, name string) {
	open := false
	w.fields(b, func(f field) {
		if !f.is(num, protowire.BytesType) {
			return
		}
		if !open {
			w.key(name)
			w.to = append(w.to, '[')
			open = true
		}
		w.comma()
		w.string(f.val)
	})
	if open {
		w.to = append(w.to, ']')
	}
}

func (w *jsonWriter) id(b []byte, num protowire.Number, name string) {
	w.scalar(b, num, protowire.BytesType, name, func(f field) {
		w.to = append(w.to, '"')
		w.to = hex.AppendEncode(w.to, f.val)
		w.to = append(w.to, '"')
	})
}

func (w *jsonWriter) number(f field) { w.to = strconv.AppendUint(w.to, f.u, 10) }

// number32 writes a varint of 32 bits; protobuf drops the bits above.
func (w *jsonWriter) number32(f field) { w.to = strconv.AppendUint(w.to, uint64(uint32(f.u)), 10) }

// quoted writes a 64-bit integer, which JSON numbers cannot hold.
func (w *jsonWriter) quoted(f field) {
	w.to = append(w.to, '"')
	w.to = strconv.AppendUint(w.to, f.u, 10)
	w.to = append(w.to, '"')
}

func (w *jsonWriter) double(d float64) {
	switch {
	case math.IsNaN(d):
		w.to = append(w.to, `"NaN"`...)
	case math.IsInf(d, 1):
		w.to = append(w.to, `"Infinity"`...)
	case math.IsInf(d, -1):
		w.to = append(w.to, `"-Infinity"`...)
	default:
		w.to = strconv.AppendFloat(w.to, d, 'g', -1, 64)
	}
}

// string writes s in quotes. What is not UTF-8 becomes U+FFFD.
func (w *jsonWriter) string(s []byte) {
	const digits = "0123456789abcdef"
	w.to = append(w.to, '"')
	for len(s) > 0 {
		c := s[0]
		switch {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s)
			w.to = utf8.AppendRune(w.to, r)
			s = s[n:]
			continue
		case c == '"' || c == '\\':
			w.to = append(w.to, '\\', c)
		case c == '\n':
			w.to = append(w.to, '\\', 'n')
		case c < ' ' || c == 0x7f:
			w.to = append(w.to, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			w.to = append(w.to, c)
		}
		s = s[1:]
	}
	w.to = append(w.to, '"')
}
