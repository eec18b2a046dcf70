package store

import (
	"cmp"
	"database/sql/driver"
	"encoding/binary"
	"slices"
)

// The index by trace id is written behind: a job turns each blockRows requests into one block, whose entries (a key, the first
// eight bytes of a trace id, and a request) are sorted and cut into chunks of about a page. A look-up reads one chunk of each
// block and scans the summaries of the requests that no block covers yet.
const (
	blockRows    = 1000
	chunkEntries = 400
	entrySize    = 12 // key, then the request's distance from the block's first, big endian
)

// entry is one pair of the index.
type entry struct {
	key uint64
	row uint32 // distance from the block's first request
}

// traceKey is the key of a trace id.
func traceKey(id []byte) uint64 { return binary.BigEndian.Uint64(id) }

// ordered is a key as SQLite's signed integers compare it.
func ordered(key uint64) int64 { return int64(key ^ 1<<63) }

// block is a run of requests about to be indexed.
type block struct {
	first, last int64
	entries     []entry
}

// frontier returns the newest request that a block covers.
func frontier(c *conn) (int64, error) { return c.integer("SELECT max(last) FROM trace_block") }

// readBlock reads the next block; nil when there are not enough requests yet.
func readBlock(c *conn) (*block, error) {
	after, err := frontier(c)
	if err != nil {
		return nil, err
	}
	last, err := c.integer("SELECT id FROM request WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?", after, int64(blockRows-1))
	if err != nil || last == 0 {
		return nil, err
	}
	b := &block{first: after + 1, last: last}
	const query = "SELECT id, summary FROM request WHERE id > ? AND id <= ? ORDER BY id"
	err = c.query(query, func(columns []driver.Value) error {
		row, _ := columns[0].(int64)
		summary, _ := columns[1].([]byte)
		ids, err := traceIDs(summary)
		for ; len(ids) > 0; ids = ids[16:] {
			b.entries = append(b.entries, entry{traceKey(ids), uint32(row - b.first)})
		}
		return err
	}, after, last)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(b.entries, func(x, y entry) int { return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.row, y.row)) })
	return b, nil
}

// write stores the block, unless another process has stored it since it was read.
func (b *block) write(c *conn) error {
	return c.transaction(func() error {
		if after, err := frontier(c); err != nil || after != b.first-1 {
			return err
		}
		if _, _, err := c.exec("INSERT INTO trace_block (first, last) VALUES (?, ?)", b.first, b.last); err != nil {
			return err
		}
		buf := make([]byte, 0, chunkEntries*entrySize)
		for chunk := range slices.Chunk(b.entries, chunkEntries) {
			buf = buf[:0]
			for _, e := range chunk {
				buf = binary.BigEndian.AppendUint64(buf, e.key)
				buf = binary.BigEndian.AppendUint32(buf, e.row)
			}
			high := ordered(chunk[len(chunk)-1].key)
			const query = "INSERT INTO trace_chunk (block, high, entries) VALUES (?, ?, ?)"
			if _, _, err := c.exec(query, b.first, high, buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// lookUp returns the requests that the index has for a key, ascending, and the newest request that it covers.
func lookUp(c *conn, key uint64) (rows []int64, indexed int64, err error) {
	var blocks []int64
	err = c.query("SELECT first, last FROM trace_block ORDER BY first", func(columns []driver.Value) error {
		first, _ := columns[0].(int64)
		indexed, _ = columns[1].(int64)
		blocks = append(blocks, first)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	const query = "SELECT entries FROM trace_chunk WHERE block = ? AND high >= ? ORDER BY high"
	for _, first := range blocks {
		err := c.query(query, func(columns []driver.Value) error {
			entries, _ := columns[0].([]byte)
			return findRows(entries, key, func(row uint32) { rows = append(rows, first+int64(row)) })
		}, first, ordered(key))
		if err != nil {
			return nil, 0, err
		}
	}
	slices.Sort(rows)
	return rows, indexed, nil
}

// findRows calls found for each row that a chunk's entries have for key. It returns errStop when no later chunk can have more.
func findRows(entries []byte, key uint64, found func(row uint32)) error {
	n := len(entries) / entrySize
	keyAt := func(i int) uint64 { return binary.BigEndian.Uint64(entries[i*entrySize:]) }
	low, high := 0, n
	for low < high {
		if mid := (low + high) / 2; keyAt(mid) < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for ; low < n && keyAt(low) == key; low++ {
		found(binary.BigEndian.Uint32(entries[low*entrySize+8:]))
	}
	if low < n {
		return errStop
	}
	return nil
}
