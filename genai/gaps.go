package genai

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"iter"
	"time"
)

// MaxGaps is how many gaps are kept of one request. Further ones are counted only.
const MaxGaps = 16384

// Gaps is a compact list of durations in whole microseconds: the times between events that carry tokens. The zero value is
// empty. Copies are cheap, and do not change when the original grows.
type Gaps struct {
	count int    // of all, kept or not
	data  []byte // the first MaxGaps, each as a uvarint
}

// Len returns how many gaps there were.
func (g Gaps) Len() int { return g.count }

// All yields the first [MaxGaps] gaps in order.
func (g Gaps) All() iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for data := g.data; len(data) > 0; {
			v, n := binary.Uvarint(data)
			if n <= 0 || !yield(time.Duration(v)*time.Microsecond) {
				return
			}
			data = data[n:]
		}
	}
}

// String returns the gaps kept in the form of the attribute [AttrChunkGaps]: base64 (RFC 4648, with padding) of one unsigned
// LEB128 varint a gap, in microseconds.
func (g Gaps) String() string { return base64.StdEncoding.EncodeToString(g.data) }

// ParseGaps reads what String returned.
func ParseGaps(s string) (Gaps, error) {
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return Gaps{}, errors.New("parse gaps: not base64")
	}
	count := 0
	for rest := data; len(rest) > 0; count++ {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > maxGap || count == MaxGaps {
			return Gaps{}, errors.New("parse gaps: not a list of durations")
		}
		rest = rest[n:]
	}
	return Gaps{count: count, data: data}, nil
}

// maxGap in microseconds is a day: longer gaps are cut to it, so that sums cannot overflow.
const maxGap = 24 * 3600 * 1e6

func (g *Gaps) add(d time.Duration) {
	g.count++
	if g.count <= MaxGaps {
		g.data = binary.AppendUvarint(g.data, uint64(min(max(d.Microseconds(), 0), maxGap)))
	}
}
