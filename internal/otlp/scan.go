package otlp

import (
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting bounds how deep arrays and key-value lists may nest in one attribute's value. No SDK comes near it; readers of a
// trace may recurse that far without a thought.
const maxNesting = 64

// Attributes that make up a process's identity. The process.* and service.* names are OpenTelemetry's semantic conventions,
// the vllm.* names are vLLM's own.
const (
	keyService     = "service.name"
	keyInstanceID  = "service.instance.id"
	keyPID         = "process.pid"
	keyVLLMPID     = "vllm.process_id"
	keyProcessKind = "vllm.process_kind"
	keyProcessName = "vllm.process_name"
	keyRunID       = "forkspan.run.id"
)

// Summary is what the store's index needs to know of a request without decoding it.
type Summary struct {
	Spans     int
	Traces    []TraceSummary   // in order of first appearance
	Processes []ProcessSummary // those with spans, in order of first appearance
}

// TraceSummary is a request's share of one trace.
type TraceSummary struct {
	TraceID TraceID
	Spans   int
	Start   int64  // earliest start, Unix nanoseconds
	End     int64  // latest end, Unix nanoseconds; 0 when no span has ended
	Root    string // name of the first span without a parent; empty when there is none
	Errors  int    // spans with status Error
}

// ProcessSummary is the identity of one resource of a request.
type ProcessSummary struct {
	Service, InstanceID, Kind, Name, RunID string
	PID                                    int
	Spans                                  int
}

// fault says why a span is malformed; empty for a good one.
type fault string

const (
	faultWire    fault = "broken protobuf"
	faultUTF8    fault = "text that is not UTF-8"
	faultDepth   fault = "attributes nested more than 64 deep"
	faultTraceID fault = "trace id is not 16 bytes or is zero"
	faultSpanID  fault = "span id is not 8 bytes or is zero"
	faultParent  fault = "parent span id is neither empty nor 8 bytes"
	faultLink    fault = "link with an id of the wrong length"
)

// errNotRequest is Scan's verdict on bytes that are no request, so that not even single spans can be cut out.
var errNotRequest = errors.New("not an OTLP trace request")

// Scan walks body, the protobuf of an ExportTraceServiceRequest, once. It returns the request without its malformed spans
// (body itself when there are none), the summary of what is left, and how many spans were cut out and why the first was.
// An error means that body as a whole is not a request.
//
// A span is malformed when its protobuf is broken, its text is not UTF-8, its trace id is not 16 bytes or its span id not 8
// bytes or one of them is zero, its parent's or a link's id has a wrong length, or its attributes nest more than 64 deep. What
// is left can be read by every OTLP peer. A span that ends before it starts is kept as it came.
func Scan(body []byte) (clean []byte, sum Summary, rejected int, reason string, err error) {
	s := scanners.Get().(*scanner)
	defer s.release()
	if why := s.request(body); why != "" {
		return nil, Summary{}, 0, "", fmt.Errorf("%w: %s", errNotRequest, string(why))
	}
	clean = body
	if s.rejected > 0 {
		clean = cutMalformed(body)
	}
	return clean, s.sum, s.rejected, string(s.reason), nil
}

var scanners = sync.Pool{New: func() any { return &scanner{traces: make(map[TraceID]int)} }}

// scanner is the state of one Scan.
type scanner struct {
	sum      Summary
	traces   map[TraceID]int // index into sum.Traces
	last     int             // index of the trace seen last; spans of one trace mostly lie side by side
	rejected int
	reason   fault
}

// release puts s back for the next Scan. A map that has grown large is left to the garbage collector.
func (s *scanner) release() {
	if len(s.traces) > 1<<16 {
		return
	}
	clear(s.traces)
	*s = scanner{traces: s.traces}
	scanners.Put(s)
}

func (s *scanner) request(b []byte) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		if f.is(requestResourceSpans, protowire.BytesType) {
			if why := s.resourceSpans(f.val); why != "" {
				return why
			}
		}
	}
	return ""
}

func (s *scanner) resourceSpans(b []byte) fault {
	var f field
	var id identity
	before := s.sum.Spans
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		var why fault
		switch {
		case f.is(resourceSpansResource, protowire.BytesType):
			why = id.resource(f.val)
		case f.is(resourceSpansScopes, protowire.BytesType):
			why = s.scopeSpans(f.val)
		case f.is(resourceSpansSchema, protowire.BytesType):
			why = checkText(f.val)
		}
		if why != "" {
			return why
		}
	}
	if spans := s.sum.Spans - before; spans > 0 {
		s.addProcess(id.summary(), spans)
	}
	return ""
}

func (s *scanner) scopeSpans(b []byte) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		var why fault
		switch {
		case f.is(scopeSpansScope, protowire.BytesType):
			why = checkScope(f.val)
		case f.is(scopeSpansSpans, protowire.BytesType):
			s.span(f.val)
		case f.is(scopeSpansSchema, protowire.BytesType):
			why = checkText(f.val)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

// span adds one span to the summary, or counts it as rejected.
func (s *scanner) span(b []byte) {
	var h spanHead
	if why := h.check(b); why != "" {
		if s.rejected++; s.rejected == 1 {
			s.reason = why
		}
		return
	}
	s.sum.Spans++
	t := s.trace(TraceID(h.traceID))
	t.Spans++
	start, end := nanoseconds(h.start), nanoseconds(h.end)
	if t.Spans == 1 || start < t.Start {
		t.Start = start
	}
	t.End = max(t.End, end)
	if h.failed {
		t.Errors++
	}
	if t.Root == "" && isZero(h.parentID) && len(h.name) > 0 {
		t.Root = string(h.name)
	}
}

// trace returns the summary of a trace, which stays valid until the next call.
func (s *scanner) trace(id TraceID) *TraceSummary {
	if s.last < len(s.sum.Traces) && s.sum.Traces[s.last].TraceID == id {
		return &s.sum.Traces[s.last]
	}
	i, ok := s.traces[id]
	if !ok {
		i = len(s.sum.Traces)
		s.traces[id] = i
		s.sum.Traces = append(s.sum.Traces, TraceSummary{TraceID: id})
	}
	s.last = i
	return &s.sum.Traces[i]
}

func (s *scanner) addProcess(p ProcessSummary, spans int) {
	for i := range s.sum.Processes {
		known := s.sum.Processes[i]
		known.Spans = 0
		if known == p {
			s.sum.Processes[i].Spans += spans
			return
		}
	}
	p.Spans = spans
	s.sum.Processes = append(s.sum.Processes, p)
}

// spanHead is what the index needs of one span. Its slices point into the request.
type spanHead struct {
	traceID, spanID, parentID, name []byte
	start, end                      uint64
	failed                          bool
}

// check walks the span b whole and fills h.
func (h *spanHead) check(b []byte) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		var why fault
		switch f.typ {
		case protowire.BytesType:
			switch f.num {
			case spanAttributes:
				why = checkKeyValue(f.val, 0)
			case spanTraceID:
				h.traceID = f.val
			case spanSpanID:
				h.spanID = f.val
			case spanParentID:
				h.parentID = f.val
			case spanName:
				h.name = f.val
				why = checkText(f.val)
			case spanTraceState:
				why = checkText(f.val)
			case spanEvents:
				why = checkEvent(f.val)
			case spanLinks:
				why = checkLink(f.val)
			case spanStatus:
				why = h.status(f.val)
			}
		case protowire.Fixed64Type:
			switch f.num {
			case spanStart:
				h.start = f.u
			case spanEnd:
				h.end = f.u
			}
		}
		if why != "" {
			return why
		}
	}
	switch {
	case len(h.traceID) != len(TraceID{}) || isZero(h.traceID):
		return faultTraceID
	case len(h.spanID) != len(SpanID{}) || isZero(h.spanID):
		return faultSpanID
	case len(h.parentID) != 0 && len(h.parentID) != len(SpanID{}):
		return faultParent
	}
	return ""
}

func (h *spanHead) status(b []byte) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		switch {
		case f.is(statusMessage, protowire.BytesType):
			if why := checkText(f.val); why != "" {
				return why
			}
		case f.is(statusCode, protowire.VarintType):
			h.failed = f.u == uint64(StatusError)
		}
	}
	return ""
}

func checkEvent(b []byte) fault { return checkMessage(b, eventName, 0, eventAttributes) }

func checkScope(b []byte) fault { return checkMessage(b, scopeName, scopeVersion, scopeAttributes) }

func checkLink(b []byte) fault {
	var traceID, spanID int
	ok := fields(b, func(f field) {
		switch {
		case f.is(linkTraceID, protowire.BytesType):
			traceID = len(f.val)
		case f.is(linkSpanID, protowire.BytesType):
			spanID = len(f.val)
		}
	})
	if ok && (traceID != 0 && traceID != len(TraceID{}) || spanID != 0 && spanID != len(SpanID{})) {
		return faultLink
	}
	return checkMessage(b, linkTraceState, 0, linkAttributes)
}

// checkMessage walks a message whose fields texts are strings and whose field attributes are key-values.
func checkMessage(b []byte, text1, text2, attributes protowire.Number) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		if f.typ != protowire.BytesType {
			continue
		}
		var why fault
		switch f.num {
		case attributes:
			why = checkKeyValue(f.val, 0)
		case text1, text2:
			why = checkText(f.val)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

func checkKeyValue(b []byte, depth int) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		if f.typ != protowire.BytesType {
			continue
		}
		var why fault
		switch f.num {
		case keyValueKey:
			why = checkText(f.val)
		case keyValueValue:
			why = checkValue(f.val, depth)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

func checkValue(b []byte, depth int) fault {
	if depth > maxNesting {
		return faultDepth
	}
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		if f.typ != protowire.BytesType {
			continue
		}
		var why fault
		switch f.num {
		case valueString:
			why = checkText(f.val)
		case valueArray:
			why = checkList(f.val, depth+1, checkValue)
		case valueList:
			why = checkList(f.val, depth+1, checkKeyValue)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

func checkList(b []byte, depth int, check func([]byte, int) fault) fault {
	var f field
	for len(b) > 0 {
		n := f.next(b)
		if n < 0 {
			return faultWire
		}
		b = b[n:]
		if f.is(listValues, protowire.BytesType) {
			if why := check(f.val, depth); why != "" {
				return why
			}
		}
	}
	return ""
}

func checkText(b []byte) fault {
	if utf8.Valid(b) {
		return ""
	}
	return faultUTF8
}

func isZero(id []byte) bool {
	for _, c := range id {
		if c != 0 {
			return false
		}
	}
	return true
}
