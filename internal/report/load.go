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
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts []*part
	queue := make(chan *part, 1)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for p := range queue {
				if err := p.read(ctx, db, run); err != nil {
					stop(err)
				}
			}
		})
	}
	put := func(p *part) {
		parts = append(parts, p)
		queue <- p
	}
	after := int64(0)
	for _, d := range kept {
		if err = pages(ctx, db, run, after, d.After, put); err != nil {
			break
		}
		put(&part{kept: d})
		after = d.Last
	}
	if err == nil {
		err = pages(ctx, db, run, after, math.MaxInt64, put)
	}
	close(queue)
	workers.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	s.merge(parts)
	return nil
}

// pages reads the requests of a run with after < id ≤ last.
func pages(ctx context.Context, db *store.Store, run string, after, last int64, put func(*part)) error {
	for after < last {
		page, err := db.Page(ctx, run, after, last, pageBytes)
		if err != nil || page.Rows == 0 {
			return err
		}
		after = page.Last
		put(&part{page: page})
	}
	return nil
}

// part is some of a run's requests that follow each other: derived already, or a page to derive from.
type part struct {
	kept store.Derived
	page store.Page
	set  *set
}

func (p *part) read(ctx context.Context, db *store.Store, run string) (err error) {
	if p.kept.Rows > 0 {
		if p.set, err = decodeSet(p.kept.Data); err == nil {
			p.kept.Data = nil
			return nil
		}
		// Another version of forkspan has written it, or it is broken.
		p.set = &set{}
		var broken error
		err = pages(ctx, db, run, p.kept.After, p.kept.Last, func(q *part) {
			if broken == nil {
				broken = q.derive(ctx, db, run)
				p.set.merge(q.set)
			}
		})
		return errors.Join(err, broken)
	}
	return p.derive(ctx, db, run)
}

// derive reads the page, and leaves what it got in the store.
func (p *part) derive(ctx context.Context, db *store.Store, run string) error {
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
		_ = db.PutDerived(ctx, run, derivedKind, store.Derived{
			After: p.page.After, Last: p.page.Last, Rows: p.page.Rows, Data: p.set.encode(),
		})
	}
	p.page = store.Page{}
	return nil
}

// merge makes one set of the parts, in their order.
func (s *Source) merge(parts []*part) {
	records, between := len(s.set.records), len(s.set.between)
	for _, p := range parts {
		records += len(p.set.records)
		between += len(p.set.between)
	}
	s.set.records = append(make([]record, 0, records), s.set.records...)
	s.set.between = append(make([]ids, 0, between), s.set.between...)
	for i, p := range parts {
		s.set.merge(p.set)
		parts[i] = nil
	}
}
