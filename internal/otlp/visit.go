package otlp

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// Each yields the span's attributes in wire order, as Attributes returns them, without a list of them. Keys and strings share
// the memory of the request.
func (s *Span) Each() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		var f field
		for b := s.wire; len(b) > 0; {
			n := f.next(b)
			if n < 0 {
				return
			}
			b = b[n:]
			if !f.is(spanAttributes, protowire.BytesType) {
				continue
			}
			if key, value := splitKeyValue(f.val); !yield(text(key), decodeValue(value, 0)) {
				return
			}
		}
	}
}
