package journal

import "slices"

// wakeUp sees to it that the background looks for work soon.
func (p *process) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil && !p.ended {
		p.done = make(chan struct{})
		go p.background()
	}
}

// background makes the next segment beforehand, since new pages cost more than all else, and removes old ones.
func (p *process) background() {
	defer close(p.done)
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
			p.tidy()
			p.prepare()
		}
	}
}

// tidy retires what readers have got, and recycles.
func (p *process) tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retireConsumed()
	p.recycleRetired()
}

// retireConsumed gives up the full segments that a reader has everything of, and no exporter needs.
func (p *process) retireConsumed() {
	p.full = slices.DeleteFunc(p.full, func(s *segment) bool {
		consumed := s.pins == 0 && s.consumed()
		if consumed {
			p.retired = append(p.retired, s)
		}
		return consumed
	})
}

// recycleRetired makes spares of the segments that nobody needs, or removes them. The caller has the lock, and is without it for the
// time that takes.
func (p *process) recycleRetired() {
	if len(p.retired) == 0 {
		return
	}
	retired, wanted := p.retired, p.reusable()
	p.retired = nil
	p.tidying++
	p.mu.Unlock()
	spares, freed := recycle(retired, p.w.settings.segment, wanted)
	p.mu.Lock()
	p.keep(spares, freed)
	p.tidying--
	p.tidied.Broadcast()
}

// prepare makes the spare segment, if there is none.
func (p *process) prepare() {
	p.mu.Lock()
	if len(p.spares) > 0 || !p.mayPrepare() {
		p.mu.Unlock()
		return
	}
	size, number, err := p.reserve(0)
	if err != nil {
		p.mu.Unlock()
		return // whoever needs the segment finds out
	}
	plain := p.plain
	p.tidying++
	p.mu.Unlock()
	s, err := p.create(number, size, plain)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidying--
	p.tidied.Broadcast()
	switch {
	case err != nil:
		p.size -= int64(size)
		p.later(err)
	case p.wanted() == 0:
		p.size -= int64(size)
		s.discard()
	default:
		p.spares = append(p.spares, s)
	}
}

// close ends the journal. What is owed to somebody is left; with remove, nothing is.
func (p *process) close(remove bool) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	close(p.stop)
	done := p.done
	p.mu.Unlock()
	if done != nil {
		<-done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.marking+p.tidying > 0 {
		p.tidied.Wait()
	}
	if p.cur != nil {
		p.full = append(p.full, p.cur)
		p.cur = nil
	}
	p.retired = append(p.retired, p.spares...)
	p.spares = nil
	tracked := p.w.tracked.Load()
	for _, s := range append(p.full, p.retired...) {
		if remove || s.pins == 0 && tracked || s.used == headerSize || slices.Contains(p.retired, s) {
			p.size -= int64(s.size)
			s.discard()
			continue
		}
		_ = s.setPhase(phaseClosed)
		s.close()
	}
	p.full, p.retired, p.owed = nil, nil, newOwed()
}
