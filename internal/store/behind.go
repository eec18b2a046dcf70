package store

// wakeBehind starts the job behind, if there is work for it after a transaction whose newest request is last. The caller holds
// writeMu. A process that stores little looks at the index and the caps once, in passing.
func (s *Store) wakeBehind(last int64) {
	s.behindMu.Lock()
	defer s.behindMu.Unlock()
	if s.closed || s.working {
		return
	}
	var err error
	caps := s.capsDue()
	if caps {
		if s.indexed, err = frontier(s.write); err == nil {
			caps, err = s.capsExceeded(s.write)
		}
		if err != nil {
			s.notify(explain("look after the store", err).Error())
			return
		}
	}
	if !caps && last-s.indexed < blockRows {
		return
	}
	s.working = true
	s.behind.Go(func() {
		if err := s.workBehind(caps); err != nil {
			s.notify(explain("look after the store", err).Error())
		}
		s.behindMu.Lock()
		s.working = false
		s.behindMu.Unlock()
	})
}

// workBehind indexes what can be indexed and enforces the caps.
func (s *Store) workBehind(caps bool) error {
	for s.behindCtx.Err() == nil {
		var next *block
		var done int64
		err := s.read(func(c *conn) (err error) {
			if next, err = readBlock(c); err != nil || next != nil {
				return err
			}
			done, err = frontier(c)
			return err
		})
		if err != nil {
			return err
		}
		if next == nil {
			s.behindMu.Lock()
			s.indexed = done
			s.behindMu.Unlock()
			break
		}
		if err := s.change(next.write); err != nil {
			return err
		}
	}
	if caps && s.behindCtx.Err() == nil {
		return s.enforceCaps(s.behindCtx)
	}
	return nil
}
