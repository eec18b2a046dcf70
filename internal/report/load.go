package report

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"

	"forkspan.dev/forkspan/internal/store"
)

// derivedKind is under what name request spans are kept in the store.
const derivedKind = "request report"

const (
	pageBytes = 2 << 20 // of compressed requests that are read at once
	// Smaller parts are read faster than they would be written; they are read again until they have grown.
	leastKept = 10_000 // spans
)

// Load reads the request spans of a run, on all processors. What it has read it leaves in the store for the next time, so that
// only requests that came since are read then; a store that cannot be written to is no error.
func (s *Source) Load(ctx context.Context, db *store.Store, run string) error {
	kept, err := db.Derived(ctx, run, derivedKind)
	if err != nil {
		return err
	}
	err = s.load(ctx, db, run, kept)
	if errors.Is(err, errStored) {
		// It is gone by now, or another version of forkspan has written it.
		err = s.load(ctx, db, run, nil)
	}
	return err
}

func (s *Source) load(ctx context.Context, db *store.Store, run string, kept []store.Derived) error {
	l := &loader{db: db, run: run}
	err := parallel(ctx, l.derive, func(put func(*part) bool) error {
		after := int64(0)
		for _, d := range kept { // what was kept in between may be gone
			if err := l.pages(ctx, after, d.After, put); err != nil {
				return err
			}
			l.parts = append(l.parts, &part{kept: d})
			after = d.Last
		}
		return l.pages(ctx, after, math.MaxInt64, put)
	})
	if err == nil {
		err = l.gather(ctx, &s.set)
	}
	return err
}

// parallel calls do on all processors for what give puts, until one of them fails.
func parallel(ctx context.Context, do func(context.Context, *part) error, give func(put func(*part) bool) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan *part)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for p := range queue {
				if err := do(ctx, p); err != nil {
					stop(err)
				}
			}
		})
	}
	err := give(func(p *part) bool {
		select {
		case queue <- p:
			return true
		case <-ctx.Done():
			return false
		}
	})
	close(queue)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause // an error of give is its consequence
	}
	return err
}

// loader reads one run.
type loader struct {
	db    *store.Store
	run   string
	parts []*part // in order of arrival

	mu    sync.Mutex // guards names
	names *names
	all   []record
}

// part is some of a run's requests that follow each other: derived already, or a page to derive from.
type part struct {
	kept    store.Derived
	page    store.Page
	set     *set // what was derived; nil for what was kept
	at      int  // place of its first record
	between []ids
}

// pages reads the requests with after < id ≤ last.
func (l *loader) pages(ctx context.Context, after, last int64, put func(*part) bool) error {
	for after < last {
		page, err := l.db.Page(ctx, l.run, after, last, pageBytes)
		if err != nil || page.Rows == 0 {
			return err
		}
		after = page.Last
		p := &part{page: page}
		l.parts = append(l.parts, p)
		if !put(p) {
			return nil // another part has failed
		}
	}
	return nil
}

// derive reads a page, and leaves what it got in the store.
func (l *loader) derive(ctx context.Context, p *part) error {
	p.set = &set{}
	spans := 0
	err := p.page.Bodies(func(body []byte) error {
		n, err := p.set.addRequest(body)
		spans += n
		return err
	})
	if err != nil {
		return err
	}
	if spans >= leastKept {
		// Without it the next report takes as long as this one, no more.
		_ = l.db.PutDerived(ctx, l.run, derivedKind, store.Derived{
			After: p.page.After, Last: p.page.Last, Rows: p.page.Rows, Items: len(p.set.records), Data: p.set.encode(),
		})
	}
	p.page = store.Page{}
	return nil
}

// gather puts the records of all parts into one set, those that were kept straight from the store.
func (l *loader) gather(ctx context.Context, to *set) error {
	records := len(to.records)
	for _, p := range l.parts {
		p.at = records
		if p.set != nil {
			records += len(p.set.records)
		} else {
			records += p.kept.Items
		}
	}
	l.names = &to.names
	l.all = make([]record, records)
	copy(l.all, to.records)
	err := parallel(ctx, l.place, func(put func(*part) bool) error {
		for _, p := range l.parts {
			if !put(p) {
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	to.records = l.all
	for _, p := range l.parts {
		to.between = append(to.between, p.between...)
	}
	return nil
}

// place puts the records of a part where they belong.
func (l *loader) place(ctx context.Context, p *part) error {
	if p.set != nil {
		l.mu.Lock()
		places := p.set.names.addTo(l.names)
		l.mu.Unlock()
		for i := range p.set.records {
			p.set.records[i].rename(places)
		}
		copy(l.all[p.at:], p.set.records)
		p.between, p.set = p.set.between, nil
		return nil
	}
	data, err := l.db.DerivedData(ctx, l.run, derivedKind, p.kept)
	if err != nil {
		return err
	}
	room := l.all[p.at : p.at : p.at+p.kept.Items]
	records, between, err := decodeSet(data, room, func(word string) uint32 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.names.add(word)
	})
	if err == nil && len(records) != p.kept.Items {
		err = errStored
	}
	p.between = between
	return err
}
