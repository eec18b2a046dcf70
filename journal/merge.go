package journal

import (
	"encoding/binary"
	"slices"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// spanKey identifies a span within its process.
type spanKey struct {
	trace trace.TraceID
	span  trace.SpanID
}

// span is one that was read.
type span struct {
	key     spanKey // of one that has started only
	from    *origin
	payload []byte // an OTLP Span message
	at      recordPlace
	copies  []recordPlace // of its start that its writer carried on, and died before the first was given up
	seen    int64         // by a Tail, Unix nanoseconds; 0 for not yet
}

// recordPlace is where a record was read.
type recordPlace struct {
	path   string // of its segment
	offset int64
}

// origin is a context record, taken apart so that spans can be put in.
type origin struct {
	resource []byte // the fields of ResourceSpans but the ScopeSpans
	scope    []byte // the fields of the ScopeSpans
}

// merger makes spans of records: a start and the end that follows it are one. It takes segments in the order in which they
// were written.
type merger struct {
	started map[spanKey][]*span // without an end so far; several when ids are not unique
	order   []*span             // those that started, in order; those that ended since have no payload
	ended   []span
	open    map[spanKey]int // without an end so far, and returned by a Tail: how many of an id
	opened  int             // of all ids
	last    uint64          // the latest time seen, Unix nanoseconds
}

// segment takes the records b of one segment, up to the first that is damaged. A record that was not finished, since its writer
// lives or because it has died just then, is none. It adds to contexts, and returns how many bytes it has taken. before are the
// records before b.
func (m *merger) segment(b []byte, before *earlier, contexts map[uint32]*origin) (taken int, damage damage, err error) {
	for {
		r, size, o := parseRecord(b[taken:])
		switch o {
		case found:
		case damaged:
			return taken, damage | damageHere, nil
		default:
			return taken, damage, nil
		}
		at := recordPlace{before.path, before.next + int64(taken)}
		if r.kind == kindRest {
			if r, err = before.join(r, b[:taken]); err != nil {
				return taken, damage, err
			}
		}
		if r.kind == kindContext {
			if c, ok := parseOrigin(r.payload); ok {
				contexts[r.context] = c
			} else {
				damage |= damagePassed
			}
		} else if !m.record(r, at, contexts[r.context]) {
			damage |= damagePassed // the writer is to blame
		}
		taken += size
	}
}

// damage is what of a segment could not be read.
type damage uint8

const (
	damageHere   damage = 1 << iota // what comes next; perhaps it is only not there yet
	damagePassed                    // whole records, and yet no spans
)

// record takes a span's record. What is of a kind that is not known is passed over.
func (m *merger) record(r record, at recordPlace, from *origin) (ok bool) {
	if r.kind != kindStart && r.kind != kindEnd && r.kind != kindCarried {
		return true
	}
	key, last, ok := parseSpan(r.payload)
	if !ok {
		return false
	}
	if from == nil {
		from = &origin{}
	}
	m.last = max(m.last, last)
	if r.kind != kindEnd {
		if first := m.started[key]; r.kind == kindCarried && !r.done && len(first) > 0 {
			first[0].copies = append(first[0].copies, at)
		}
		if !r.done && (r.kind == kindStart || len(m.started[key]) == 0 && m.open[key] == 0) {
			s := &span{key: key, from: from, payload: r.payload, at: at}
			if m.started == nil {
				m.started = map[spanKey][]*span{}
			}
			m.started[key] = append(m.started[key], s)
			m.order = append(m.order, s)
		}
		return true
	}
	m.close(key)
	if !r.done {
		m.ended = append(m.ended, span{from: from, payload: r.payload, at: at})
	}
	return true
}

// close notes that the oldest span with that key that is known to have started has ended.
func (m *merger) close(key spanKey) {
	if n := m.open[key]; n > 0 {
		m.opened--
		if m.open[key] = n - 1; n == 1 {
			delete(m.open, key)
		}
		return
	}
	if open := m.started[key]; len(open) > 0 {
		open[0].payload = nil
		if m.started[key] = open[1:]; len(open) == 1 {
			delete(m.started, key)
		}
	}
}

// forget takes s, which a Tail returns, out of those that have started: its end will come as a span of its own.
func (m *merger) forget(s *span) {
	if m.open == nil {
		m.open = map[spanKey]int{}
	}
	m.open[s.key]++
	m.opened++
	open := m.started[s.key]
	if open = slices.DeleteFunc(open, func(o *span) bool { return o == s }); len(open) == 0 {
		delete(m.started, s.key)
	} else {
		m.started[s.key] = open
	}
}

func (m *merger) result() (finished, unfinished []span) {
	for _, s := range m.order {
		if s.payload != nil {
			unfinished = append(unfinished, *s)
		}
	}
	return m.ended, unfinished
}

// parseSpan finds what identifies a Span message and its latest time. It fails on what is not a message.
func parseSpan(b []byte) (key spanKey, last uint64, ok bool) {
	ok = fields(b, func(field protowire.Number, typ protowire.Type, _, value []byte) {
		switch {
		case field == 1 && typ == protowire.BytesType && len(value) == len(key.trace):
			copy(key.trace[:], value)
		case field == 2 && typ == protowire.BytesType && len(value) == len(key.span):
			copy(key.span[:], value)
		case (field == 7 || field == 8) && typ == protowire.Fixed64Type:
			last = max(last, binary.LittleEndian.Uint64(value))
		}
	})
	return key, last, ok && key.trace.IsValid() && key.span.IsValid()
}

// parseOrigin takes a ResourceSpans message apart.
func parseOrigin(b []byte) (*origin, bool) {
	o := &origin{}
	scopeOK := true
	ok := fields(b, func(field protowire.Number, typ protowire.Type, whole, value []byte) {
		if field != 2 || typ != protowire.BytesType {
			o.resource = append(o.resource, whole...)
			return
		}
		o.scope = slices.Clone(value)
		scopeOK = fields(value, func(protowire.Number, protowire.Type, []byte, []byte) {})
	})
	return o, ok && scopeOK
}

// fields calls each with every field of a message, as a whole and its value only, and tells whether it is one.
func fields(b []byte, each func(field protowire.Number, typ protowire.Type, whole, value []byte)) bool {
	for len(b) > 0 {
		field, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return false
		}
		n := protowire.ConsumeFieldValue(field, typ, b[tag:])
		if n < 0 {
			return false
		}
		value := b[tag : tag+n]
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		each(field, typ, b[:tag+n], value)
		b = b[tag+n:]
	}
	return true
}
