package forward

import (
	"encoding/binary"
	"hash/maphash"

	"forkspan.dev/forkspan/internal/otlp"
)

// memory is a map that forgets the oldest entries: it has between size and twice size of them once it is full.
type memory[T any] struct {
	size       int
	young, old map[key]T
}

func newMemory[T any](size int) *memory[T] {
	return &memory[T]{size: size, young: make(map[key]T)}
}

func (m *memory[T]) get(k key) (T, bool) {
	if v, ok := m.young[k]; ok {
		return v, true
	}
	v, ok := m.old[k]
	return v, ok
}

func (m *memory[T]) has(k key) bool {
	_, ok := m.get(k)
	return ok
}

func (m *memory[T]) empty() bool { return len(m.young)+len(m.old) == 0 }

func (m *memory[T]) put(k key, v T) {
	if len(m.young) >= m.size {
		m.old, m.young = m.young, make(map[key]T)
	}
	m.young[k] = v
}

var seed = maphash.MakeSeed()

func keyOf(b []byte) key { return key(maphash.Bytes(seed, b)) }

func spanKey(trace otlp.TraceID, span otlp.SpanID) key {
	var b [24]byte
	copy(b[:], trace[:])
	copy(b[16:], span[:])
	return keyOf(b[:])
}

// pair is the key of two things in this order, pairKey of two in any order.
func pair(a, b key) key {
	var both [16]byte
	binary.LittleEndian.PutUint64(both[:], uint64(a))
	binary.LittleEndian.PutUint64(both[8:], uint64(b))
	return keyOf(both[:])
}

func pairKey(a, b key) key { return pair(min(a, b), max(a, b)) }
