package otlp

import (
	"errors"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// errWire says that bytes are not the protobuf they should be.
var errWire = errors.New("broken protobuf")

// Decode returns the spans of body, the protobuf of an ExportTraceServiceRequest. Spans of one resource share their Process
// and Scope. The spans keep references into body, which must not be changed afterwards. What [Scan] lets through decodes
// without an error.
func Decode(body []byte) ([]Span, error) {
	spans := make([]Span, 0, countSpans(body))
	ok := true
	ok = fields(body, func(f field) {
		if f.is(requestResourceSpans, protowire.BytesType) {
			var fine bool
			spans, fine = appendResourceSpans(spans, f.val)
			ok = ok && fine
		}
	}) && ok
	if !ok {
		return nil, errWire
	}
	return spans, nil
}

func countSpans(body []byte) (n int) {
	fields(body, func(f field) {
		if f.is(requestResourceSpans, protowire.BytesType) {
			fields(f.val, func(f field) {
				if f.is(resourceSpansScopes, protowire.BytesType) {
					fields(f.val, func(f field) {
						if f.is(scopeSpansSpans, protowire.BytesType) {
							n++
						}
					})
				}
			})
		}
	})
	return n
}

func appendResourceSpans(spans []Span, b []byte) ([]Span, bool) {
	process := &Process{}
	ok := true
	ok = fields(b, func(f field) {
		switch {
		case f.is(resourceSpansResource, protowire.BytesType):
			ok = fields(f.val, func(f field) {
				if f.is(resourceAttributes, protowire.BytesType) {
					process.Attributes = appendField(process.Attributes, f.val, 0)
				}
			}) && ok
		case f.is(resourceSpansScopes, protowire.BytesType):
			var fine bool
			spans, fine = appendScopeSpans(spans, f.val, process)
			ok = ok && fine
		}
	}) && ok
	process.identify()
	return spans, ok
}

// identify fills the process's identity from its attributes.
func (p *Process) identify() {
	var pid, vllmPID int
	for _, a := range p.Attributes {
		s, _ := a.Value.(string)
		switch a.Key {
		case keyService:
			p.Service = s
		case keyInstanceID:
			p.InstanceID = s
		case keyPID:
			pid = asPID(a.Value)
		case keyVLLMPID:
			vllmPID = asPID(a.Value)
		case keyProcessKind:
			p.Kind = s
		case keyProcessName:
			p.Name = s
		case keyRunID:
			p.RunID = s
		}
	}
	p.PID = pid
	if pid == 0 {
		p.PID = vllmPID
	}
}

// asPID reads a process id, which vLLM sends as a string and the semantic conventions as an int; 0 when v is neither.
func asPID(v any) int {
	switch v := v.(type) {
	case int64:
		if v > 0 && v <= math.MaxInt32 {
			return int(v)
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 32); err == nil && n > 0 {
			return int(n)
		}
	}
	return 0
}

func appendScopeSpans(spans []Span, b []byte, process *Process) ([]Span, bool) {
	scope := &Scope{}
	ok := true
	ok = fields(b, func(f field) {
		switch {
		case f.is(scopeSpansScope, protowire.BytesType):
			ok = fields(f.val, func(f field) {
				switch {
				case f.is(scopeName, protowire.BytesType):
					scope.Name = text(f.val)
				case f.is(scopeVersion, protowire.BytesType):
					scope.Version = text(f.val)
				}
			}) && ok
		case f.is(scopeSpansSpans, protowire.BytesType):
			spans = append(spans, Span{Process: process, Scope: scope, wire: f.val})
			ok = spans[len(spans)-1].decode() && ok
		}
	}) && ok
	return spans, ok
}

// decode fills the span from its wire bytes, all but attributes, events and links.
func (s *Span) decode() bool {
	var f field
	for b := s.wire; len(b) > 0; {
		n := f.next(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch f.num {
		case spanTraceID:
			if f.typ == protowire.BytesType && len(f.val) == len(s.TraceID) {
				s.TraceID = TraceID(f.val)
			}
		case spanSpanID:
			if f.typ == protowire.BytesType && len(f.val) == len(s.SpanID) {
				s.SpanID = SpanID(f.val)
			}
		case spanParentID:
			if f.typ == protowire.BytesType {
				s.ParentID = SpanID{}
				copy(s.ParentID[:], f.val)
			}
		case spanName:
			if f.typ == protowire.BytesType {
				s.Name = text(f.val)
			}
		case spanKind:
			if f.typ == protowire.VarintType {
				s.Kind = KindUnspecified
				if f.u <= uint64(KindConsumer) {
					s.Kind = Kind(f.u)
				}
			}
		case spanStart:
			if f.typ == protowire.Fixed64Type {
				s.Start = nanoseconds(f.u)
			}
		case spanEnd:
			if f.typ == protowire.Fixed64Type {
				s.End = nanoseconds(f.u)
			}
		case spanStatus:
			if f.typ == protowire.BytesType && !s.decodeStatus(f.val) {
				return false
			}
		case spanFlags:
			if f.typ == protowire.Fixed32Type {
				s.Flags = uint32(f.u)
			}
		}
	}
	return true
}

func (s *Span) decodeStatus(b []byte) bool {
	return fields(b, func(f field) {
		switch {
		case f.is(statusMessage, protowire.BytesType):
			s.Message = text(f.val)
		case f.is(statusCode, protowire.VarintType):
			s.Status = StatusUnset
			if f.u <= uint64(StatusError) {
				s.Status = StatusCode(f.u)
			}
		}
	})
}

// nanoseconds converts OTLP's unsigned time; what lies after the year 2262 is cut to the last moment an int64 holds.
func nanoseconds(u uint64) int64 { return int64(min(u, math.MaxInt64)) }

// TraceState decodes the span's tracestate.
func (s *Span) TraceState() (state string) {
	fields(s.wire, func(f field) {
		if f.is(spanTraceState, protowire.BytesType) {
			state = string(f.val)
		}
	})
	return state
}

// Attributes decodes the span's attributes, in wire order.
func (s *Span) Attributes() (attrs []Field) {
	fields(s.wire, func(f field) {
		if f.is(spanAttributes, protowire.BytesType) {
			attrs = appendField(attrs, f.val, 0)
		}
	})
	return attrs
}

// Attribute returns the value of the attribute key, and whether it is there.
func (s *Span) Attribute(key string) (value any, found bool) {
	fields(s.wire, func(f field) {
		if !found && f.is(spanAttributes, protowire.BytesType) {
			if k, v := splitKeyValue(f.val); string(k) == key {
				value, found = decodeValue(v, 0), true
			}
		}
	})
	return value, found
}

// Events decodes the span's events, in wire order.
func (s *Span) Events() (events []Event) {
	fields(s.wire, func(f field) {
		if !f.is(spanEvents, protowire.BytesType) {
			return
		}
		var e Event
		fields(f.val, func(f field) {
			switch {
			case f.is(eventTime, protowire.Fixed64Type):
				e.Time = nanoseconds(f.u)
			case f.is(eventName, protowire.BytesType):
				e.Name = text(f.val)
			case f.is(eventAttributes, protowire.BytesType):
				e.Attributes = appendField(e.Attributes, f.val, 0)
			}
		})
		events = append(events, e)
	})
	return events
}

// Links decodes the span's links, in wire order. A link whose ids have a wrong length has zero ids.
func (s *Span) Links() (links []Link) {
	fields(s.wire, func(f field) {
		if !f.is(spanLinks, protowire.BytesType) {
			return
		}
		var l Link
		fields(f.val, func(f field) {
			switch {
			case f.is(linkTraceID, protowire.BytesType) && len(f.val) == len(l.TraceID):
				l.TraceID = TraceID(f.val)
			case f.is(linkSpanID, protowire.BytesType) && len(f.val) == len(l.SpanID):
				l.SpanID = SpanID(f.val)
			case f.is(linkAttributes, protowire.BytesType):
				l.Attributes = appendField(l.Attributes, f.val, 0)
			}
		})
		links = append(links, l)
	})
	return links
}

// splitKeyValue returns the key and the AnyValue of a KeyValue message.
func splitKeyValue(b []byte) (key, value []byte) {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			break
		}
		b = b[n:]
		switch {
		case f.is(keyValueKey, protowire.BytesType):
			key = f.val
		case f.is(keyValueValue, protowire.BytesType):
			value = f.val
		}
	}
	return key, value
}

func appendField(to []Field, b []byte, depth int) []Field {
	key, value := splitKeyValue(b)
	return append(to, Field{Key: text(key), Value: decodeValue(value, depth)})
}

// decodeValue returns the value of an AnyValue message; nil for an empty one and below maxNesting.
func decodeValue(b []byte, depth int) (value any) {
	if depth > maxNesting {
		return nil
	}
	fields(b, func(f field) {
		switch {
		case f.is(valueString, protowire.BytesType):
			value = text(f.val)
		case f.is(valueBool, protowire.VarintType):
			value = f.u != 0
		case f.is(valueInt, protowire.VarintType):
			value = int64(f.u)
		case f.is(valueDouble, protowire.Fixed64Type):
			value = math.Float64frombits(f.u)
		case f.is(valueBytes, protowire.BytesType):
			value = f.val
		case f.is(valueArray, protowire.BytesType):
			list := []any{}
			fields(f.val, func(f field) {
				if f.is(listValues, protowire.BytesType) {
					list = append(list, decodeValue(f.val, depth+1))
				}
			})
			value = list
		case f.is(valueList, protowire.BytesType):
			list := []Field{}
			fields(f.val, func(f field) {
				if f.is(listValues, protowire.BytesType) {
					list = appendField(list, f.val, depth+1)
				}
			})
			value = list
		}
	})
	return value
}
