package otlp

import (
	"bytes"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"forkspan.dev/forkspan/internal/redact"
)

// Redact returns a request that [Scan] has walked without the secrets in its texts, and its summary: body and sum themselves
// when there are none. Names, status messages, trace states, and keys and values of attributes at any depth are looked at;
// ids, times, numbers and the order of everything stay. What is called by a secret's name is hidden whole, text in bytes too; a
// list of texts is read as a command's arguments. A field that this package does not know is left out if there is a secret in it.
func Redact(body []byte, sum Summary) ([]byte, Summary) {
	r := redactors.Get().(*redactor)
	defer redactors.Put(r)
	out, changed := r.message(body, requestResourceSpans, (*redactor).resourceSpans)
	if !changed {
		return body, sum
	}
	clean, again, _, _, err := Scan(out)
	if err != nil {
		return body, sum // not a request: Scan had not walked it
	}
	return clean, again
}

// maxRemembered bounds how many names and texts a redactor remembers; those longer than maxRememberedText it does not.
const (
	maxRemembered     = 1 << 12
	maxRememberedText = 64
)

// redactor remembers what it has seen: names repeat in every span.
type redactor struct {
	names map[string]attributeName
	clean map[string]struct{} // texts without secrets
}

// attributeName is what there is to know of an attribute's name.
type attributeName struct {
	secret bool // it is a secret's
	clean  bool // there is none in it
}

var redactors = sync.Pool{New: func() any {
	return &redactor{names: make(map[string]attributeName), clean: make(map[string]struct{})}
}}

// edit is a message that is being copied with changes. Until the first change nothing is copied.
type edit struct {
	b    []byte // what of the message is still to be looked at
	from []byte // the message from the first byte that is not yet in to
	to   []byte
	done bool // there was a change
}

// replace puts content in the place of the field num that lies in the last n bytes before e.b.
func (e *edit) replace(num protowire.Number, n int, content []byte) {
	e.cut(n)
	e.to = appendBytes(e.to, num, content)
}

// cut leaves out the last n bytes before e.b.
func (e *edit) cut(n int) {
	if !e.done {
		e.to, e.done = make([]byte, 0, len(e.from)+len(redact.Mark)), true
	}
	e.to = append(e.to, e.from[:len(e.from)-len(e.b)-n]...)
	e.from = e.b
}

// end returns the message as it is now.
func (e *edit) end(b []byte) ([]byte, bool) {
	if !e.done {
		return b, false
	}
	return append(e.to, e.from...), true
}

// message redacts the repeated message num of b, and unknown fields.
func (r *redactor) message(b []byte, num protowire.Number, inner func(*redactor, []byte) ([]byte, bool)) ([]byte, bool) {
	return r.fields(b, func(f field) ([]byte, verdict) {
		if f.num == num {
			return decide(inner(r, f.val))
		}
		return r.unknown(f.val)
	})
}

// verdict is what becomes of a field.
type verdict int

const (
	keep verdict = iota
	change
	drop
)

func decide(content []byte, changed bool) ([]byte, verdict) {
	if changed {
		return content, change
	}
	return nil, keep
}

// fields copies b with what of each length-delimited field does. A broken message stays as it is.
func (r *redactor) fields(b []byte, of func(f field) ([]byte, verdict)) ([]byte, bool) {
	e := edit{b: b, from: b}
	var f field
	for len(e.b) > 0 {
		n := f.next(e.b)
		if n < 0 {
			return b, false
		}
		e.b = e.b[n:]
		if f.typ != protowire.BytesType {
			continue
		}
		switch content, v := of(f); v {
		case change:
			e.replace(f.num, n, content)
		case drop:
			e.cut(n)
		}
	}
	return e.end(b)
}

func (r *redactor) resourceSpans(b []byte) ([]byte, bool) {
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case resourceSpansResource:
			return decide(r.described(f.val, 0, 0, resourceAttributes))
		case resourceSpansScopes:
			return decide(r.scopeSpans(f.val))
		case resourceSpansSchema:
			return decide(r.text(f.val))
		}
		return r.unknown(f.val)
	})
}

func (r *redactor) scopeSpans(b []byte) ([]byte, bool) {
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case scopeSpansScope:
			return decide(r.described(f.val, scopeName, scopeVersion, scopeAttributes))
		case scopeSpansSpans:
			return decide(r.span(f.val))
		case scopeSpansSchema:
			return decide(r.text(f.val))
		}
		return r.unknown(f.val)
	})
}

func (r *redactor) span(b []byte) ([]byte, bool) {
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case spanTraceID, spanSpanID, spanParentID:
			return nil, keep
		case spanName, spanTraceState:
			return decide(r.text(f.val))
		case spanAttributes:
			return decide(r.keyValue(f.val, false, 0))
		case spanEvents:
			return decide(r.described(f.val, eventName, 0, eventAttributes))
		case spanLinks:
			return decide(r.link(f.val))
		case spanStatus:
			return decide(r.described(f.val, statusMessage, 0, 0))
		}
		return r.unknown(f.val)
	})
}

func (r *redactor) link(b []byte) ([]byte, bool) {
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case linkTraceID, linkSpanID:
			return nil, keep
		case linkTraceState:
			return decide(r.text(f.val))
		case linkAttributes:
			return decide(r.keyValue(f.val, false, 0))
		}
		return r.unknown(f.val)
	})
}

// described redacts a message of texts and attributes, those by the given numbers.
func (r *redactor) described(b []byte, text1, text2, attributes protowire.Number) ([]byte, bool) {
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case text1, text2:
			return decide(r.text(f.val))
		case attributes:
			return decide(r.keyValue(f.val, false, 0))
		}
		return r.unknown(f.val)
	})
}

// unknown leaves a field out that may hold anything, if there is a secret in it.
func (r *redactor) unknown(b []byte) ([]byte, verdict) {
	if _, changed := r.text(b); changed {
		return nil, drop
	}
	return nil, keep
}

// keyValue redacts an attribute; secret says that it is in one that is a secret by name.
func (r *redactor) keyValue(b []byte, secret bool, depth int) ([]byte, bool) {
	key, value := splitKeyValue(b)
	known := r.name(key)
	secret = secret || known.secret
	const overhead = 4 // tags and lengths of a short key and a short value; with more there is more in it
	if !secret && known.clean && len(b) == len(key)+len(value)+overhead && r.plain(value) {
		return b, false
	}
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case keyValueKey:
			return decide(r.text(f.val))
		case keyValueValue:
			return decide(r.value(f.val, secret, depth))
		}
		return r.unknown(f.val)
	})
}

func (r *redactor) value(b []byte, secret bool, depth int) ([]byte, bool) {
	if depth > maxNesting {
		return b, false // Scan lets none through
	}
	return r.fields(b, func(f field) ([]byte, verdict) {
		switch f.num {
		case valueString, valueBytes:
			if secret && len(f.val) > 0 {
				return decide([]byte(redact.Mark), string(f.val) != redact.Mark)
			}
			return decide(r.text(f.val))
		case valueArray:
			return decide(r.list(f.val, secret, depth+1))
		case valueList:
			return decide(r.fields(f.val, func(f field) ([]byte, verdict) {
				if f.num == listValues {
					return decide(r.keyValue(f.val, secret, depth+1))
				}
				return r.unknown(f.val)
			}))
		}
		return r.unknown(f.val)
	})
}

// list redacts an ArrayValue. Texts in it are read as arguments, where what is a secret may stand in the one before.
func (r *redactor) list(b []byte, secret bool, depth int) ([]byte, bool) {
	var args []string
	if !secret {
		args = redactedArgs(b)
	}
	return r.fields(b, func(f field) ([]byte, verdict) {
		if f.num != listValues {
			return r.unknown(f.val)
		}
		if text := stringValue(f.val); text != nil && args != nil {
			arg := args[0]
			args = args[1:]
			if arg != string(text) {
				return appendBytes(nil, valueString, []byte(arg)), change
			}
			return nil, keep
		}
		return decide(r.value(f.val, secret, depth))
	})
}

// redactedArgs returns the texts of an ArrayValue as arguments that may be recorded; nil for none.
func redactedArgs(b []byte) []string {
	var texts []string
	fields(b, func(f field) {
		if f.is(listValues, protowire.BytesType) {
			if s := stringValue(f.val); s != nil {
				texts = append(texts, string(s))
			}
		}
	})
	if texts == nil {
		return nil
	}
	return redact.Args(texts)
}

// plain is a quick look at a short value: whether it is a number or a text without secrets. False says nothing.
func (r *redactor) plain(value []byte) bool {
	var f field
	if len(value) == 0 || f.next(value) != len(value) {
		return false
	}
	switch f.num {
	case valueBool, valueInt, valueDouble:
		return f.typ != protowire.BytesType
	case valueString:
		if f.typ != protowire.BytesType {
			return false
		}
		_, changed := r.text(f.val)
		return !changed
	}
	return false
}

// name judges an attribute's name.
func (r *redactor) name(key []byte) attributeName {
	if n, known := r.names[string(key)]; known {
		return n
	}
	_, changed := r.text(key)
	n := attributeName{secret: redact.SecretName(string(key)), clean: !changed}
	if len(key) <= maxRememberedText && len(r.names) < maxRemembered {
		r.names[string(key)] = n
	}
	return n
}

// text redacts a text, and what may be one. What is not UTF-8 is looked at byte by byte all the same.
func (r *redactor) text(b []byte) ([]byte, bool) {
	if len(b) <= maxRememberedText {
		if _, known := r.clean[string(b)]; known {
			return b, false
		}
	}
	if redact.Suspicious(text(b)) {
		out := []byte(redact.String(string(b)))
		if utf8.Valid(b) {
			out = bytes.ToValidUTF8(out, []byte("\uFFFD"))
		}
		if !bytes.Equal(out, b) {
			return out, true
		}
	}
	if len(b) <= maxRememberedText && len(r.clean) < maxRemembered {
		r.clean[string(b)] = struct{}{}
	}
	return b, false
}
