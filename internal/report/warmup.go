package report

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Warmup says which requests came before the server was warm. The zero value is the rule that needs no number: those that
// began before the first request of the same model and route was answered.
type Warmup struct {
	fixed bool
	count int           // the first so many
	span  time.Duration // those that began so long after the server was ready
}

// ParseWarmup reads "auto", a number of requests, or a duration.
func ParseWarmup(s string) (Warmup, error) {
	if s == "auto" {
		return Warmup{}, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return Warmup{fixed: true, count: n}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return Warmup{fixed: true, span: d}, nil
	}
	return Warmup{}, errors.New("want auto, a number of requests or a duration such as 5s")
}

// String tells the rule.
func (w Warmup) String() string {
	switch {
	case !w.fixed:
		return "begun before the first answer of their model and route"
	case w.span > 0:
		return fmt.Sprintf("begun within %s after the server was ready", w.span)
	case w.count == 0:
		return "none"
	case w.count == 1:
		return "the first request"
	}
	return fmt.Sprintf("the first %d requests", w.count)
}

// mark marks the requests of one source that are warm-up. ready is when its server was, 0 when nobody knows: then the first
// request tells.
func (w Warmup) mark(f *forest, list []request, ready int64) {
	if len(list) == 0 {
		return
	}
	if !w.fixed {
		w.markFirsts(f, list)
		return
	}
	starts := make([]int64, len(list))
	for i := range list {
		starts[i] = f.records[list[i].outer].start
	}
	if w.span > 0 {
		if ready == 0 {
			ready = slices.Min(starts)
		}
		for i, start := range starts {
			list[i].warmup = start < ready+w.span.Nanoseconds()
		}
		return
	}
	left := min(w.count, len(list))
	if left == 0 {
		return
	}
	place(starts, left-1)
	last := starts[left-1]
	for i := range list { // several may have begun at once with the last
		if f.records[list[i].outer].start < last {
			list[i].warmup = true
			left--
		}
	}
	for i := range list {
		if left > 0 && f.records[list[i].outer].start == last {
			list[i].warmup = true
			left--
		}
	}
}

// kind is what requests of one sort have in common.
type kind struct{ model, route, operation uint32 }

func (r *record) kind() kind { return kind{r.name[model], r.name[route], r.name[operation]} }

func (w Warmup) markFirsts(f *forest, list []request) {
	answered := map[kind]*int64{}
	var last kind
	var first *int64
	of := func(k kind) *int64 {
		if first == nil || k != last {
			last, first = k, answered[k]
			if first == nil {
				first = new(int64)
				*first = math.MaxInt64
				answered[k] = first
			}
		}
		return first
	}
	for i := range list {
		r := &f.records[list[i].outer]
		if at := of(r.kind()); r.finishedWell() && r.times[endToEnd] != unset {
			*at = min(*at, r.start+r.times[endToEnd])
		}
	}
	for i := range list {
		r := &f.records[list[i].outer]
		list[i].warmup = r.start < *of(r.kind())
	}
}

func (r *record) finishedWell() bool { return r.flags&unfinished == 0 && r.name[failure] == 0 }
