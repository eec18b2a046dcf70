package lineage

import (
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
)

// Origin is what is known of where spans came from, before looking at their resource. The zero value is nothing.
type Origin struct {
	Journal proctree.ID // who wrote the journal that they were in
	Peer    proctree.ID // who had the other end of the connection open that they came over
}

// sent is a kind of request: all of them with one resource and one origin.
type sent struct {
	sender otlp.ProcessSummary // without its count
	origin Origin
}

// amount is what came in the requests of a kind.
type amount struct {
	spans int64
	first int64 // start of the earliest span, Unix nanoseconds
	since int64 // when the first of them arrived, Unix nanoseconds
}

// Book keeps who sent what. The zero value is empty. It is safe for concurrent use.
type Book struct {
	mu          sync.Mutex
	amounts     map[sent]amount
	supervisors map[proctree.ID]bool
	changes     int
}

// Add notes that spans of one resource have arrived. The sender's count is how many, first is when the earliest of them started,
// in Unix nanoseconds. Spans that have not ended count for first alone.
func (b *Book) Add(sender otlp.ProcessSummary, first int64, ended bool, o Origin) {
	key := sent{sender: sender, origin: o}
	key.sender.Spans = 0
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.amounts[key]
	if !ok {
		if b.amounts == nil {
			b.amounts = map[sent]amount{}
		}
		a = amount{first: first, since: time.Now().UnixNano()}
		b.changes++
	}
	a.first = min(a.first, first)
	if ended {
		a.spans += int64(sender.Spans)
	}
	b.amounts[key] = a
}

// Supervisor notes that a process is a forkspan, which speaks about others and is never silent itself.
func (b *Book) Supervisor(id proctree.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.supervisors == nil {
		b.supervisors = map[proctree.ID]bool{}
	}
	b.supervisors[id] = true
}

// Changes grows when a resource is seen for the first time.
func (b *Book) Changes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changes
}
