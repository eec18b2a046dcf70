package cli

import (
	"context"
	"strconv"
	"sync"
	"time"

	"forkspan.dev/forkspan/internal/ready"
)

// wait returns when the command has ended. Meanwhile it watches for the command to become ready; stopped says that it was
// and has been stopped for it, timedOut that it was not in time and has been stopped for that.
func (s *session) wait(begun *sync.WaitGroup) (stopped, timedOut bool) {
	if s.condition == (ready.Condition{}) {
		<-s.process.Done()
		return false, false
	}
	ctx, cancel := context.WithCancel(context.Background())
	var probing sync.WaitGroup
	defer probing.Wait()
	defer cancel()
	isReady := s.watchReady(ctx, &probing)
	var late <-chan time.Time
	if s.flags.readyTimeout > 0 {
		timer := time.NewTimer(s.flags.readyTimeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-s.process.Done():
		return false, false
	case <-late:
		if s.flags.untilReady {
			s.process.Terminate(s.flags.grace)
			return false, true
		}
		s.note("%s is not ready after %s: no longer waiting for %s", s.name, s.flags.readyTimeout, s.condition)
		<-s.process.Done()
		return false, false
	case s.readyAt = <-isReady:
	}
	begun.Wait() // the start-up span has begun
	_, startup := s.spans()
	startup.End = s.readyAt.UnixNano()
	s.rec.ready(s.readyAt, startup)
	if s.flags.untilReady {
		s.process.Terminate(s.flags.grace)
		return true, false
	}
	settled := time.NewTimer(s.settleTime())
	defer settled.Stop()
	select {
	case <-s.process.Done():
		return false, false
	case <-settled.C:
		s.rec.progress()
	}
	<-s.process.Done()
	return false, false
}

// watchReady returns a channel that gets the time when the command was ready.
func (s *session) watchReady(ctx context.Context, probing *sync.WaitGroup) <-chan time.Time {
	if s.condition.Span != "" {
		if local, ok := s.rec.(*localRun); ok {
			return local.awaited
		}
		s.note("spans go to the run %s we are in: --ready %s is not seen here", shortID(s.runID), s.condition)
		return nil
	}
	found := make(chan time.Time, 1)
	probing.Go(func() {
		if at, err := s.condition.Wait(ctx, s.stale); err == nil {
			found <- at
		}
	})
	return found
}

// stalePatience bounds the probe before the command is started.
const stalePatience = 500 * time.Millisecond

// checkStale finds out whether another server already answers where the command's is to.
func (s *session) checkStale() {
	ctx, cancel := context.WithTimeout(context.Background(), stalePatience)
	defer cancel()
	if s.stale = s.condition.Holds(ctx); s.stale {
		s.note("%s already answers before %s is started: it counts once it has stopped doing so", s.condition, s.name)
	}
}

// settleTime is how long the last spans of a start-up take to arrive: the delay of the children's batch processors, with
// some room, but no more than the default's.
func (s *session) settleTime() time.Duration {
	delay := 500 * time.Millisecond
	if value, _ := s.lookup("OTEL_BSP_SCHEDULE_DELAY"); value != "" {
		if ms, err := strconv.Atoi(value); err == nil && ms >= 0 {
			delay = min(time.Duration(ms)*time.Millisecond, 5*time.Second)
		}
	}
	return delay + 250*time.Millisecond
}
