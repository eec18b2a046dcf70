package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/proctree"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

// runJournals are the journals that processes of a run keep in its folder. Its methods are for one goroutine at a time.
type runJournals struct {
	dir    string
	tail   *journal.Tail
	failed bool  // something could not be stored, and stays in the folder
	gone   bool  // somebody has removed the folder
	unread error // why the last look did not see all there is

	unfinished int // spans of processes whose journals were removed

	stop chan struct{}
	done chan struct{} // closed when following has ended; nil before it has begun
}

// openJournals makes the folder for journals. Without one, processes send their spans to the port.
func (r *localRun) openJournals() {
	if r.flags.noJournal {
		return
	}
	record := r.newRecord(time.Now(), "") // before there is a folder, which should not be without a word about it for long
	for _, parent := range recovery.Parents(r.Env, journalRoom) {
		dir, err := os.MkdirTemp(parent, recovery.FolderName(r.runID)) // mode 0700
		if err != nil {
			continue
		}
		record.Journal = dir
		tail, err := journal.OpenTail(dir, recovery.EncodeAbout(r.wantedStore(), record))
		if err != nil {
			_ = os.RemoveAll(dir)
			continue
		}
		tail.Patience = beginningPatience
		r.journals = &runJournals{dir: dir, tail: tail, stop: make(chan struct{})}
		return
	}
}

// wantedStore is the path of the store that the user wants.
func (a *app) wantedStore() string {
	path, _ := a.storePath()
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// newRecord is the run's row when it starts.
func (r *localRun) newRecord(start time.Time, journals string) store.Run {
	return store.Run{
		ID: r.runID, Kind: "run", Name: r.name, Command: commandspan.Scrub(r.argv), TraceID: r.traceID, SpanID: r.command,
		ParentID: r.childParent(), Start: start, PID: os.Getpid(), BootID: recovery.BootID(), Journal: journals,
	}
}

// beginningPatience is how long a span has to be open before its beginning is stored.
const beginningPatience = 200 * time.Millisecond

// journalRoom is the least room, in bytes, that a folder in memory must have: it is the programs' own.
const journalRoom = 1 << 30

// abandon removes the folder for journals of a command that was not started, and forgets where its spans were to go.
func (r *localRun) abandon() {
	r.closeJournals()
	r.releaseForward()
}

// journalDir is the folder that the command's processes are told; empty without one.
func (r *localRun) journalDir() string {
	if r.journals == nil {
		return ""
	}
	return r.journals.dir
}

// How often journals are looked at: soon again while something comes.
const (
	pollBusy  = 20 * time.Millisecond
	pollIdle  = 500 * time.Millisecond
	pollShare = 200 // looking in vain takes at most one part in so many of the time,
	pollTimes = 4   // unless that would be so many times the idle pause: one slow look says little about the next
)

// pollPause is how long to wait after a look that took so long and found nothing. last is the pause before it.
func pollPause(last, idle, took time.Duration) time.Duration {
	return max(min(last*3/2, idle), min(pollShare*took, pollTimes*idle))
}

// follow stores what comes, until stopFollowing.
func (r *localRun) follow() {
	j := r.journals
	if j == nil {
		return
	}
	idle := pollIdle
	if r.awaitedSpan != "" {
		idle = 2 * pollBusy // somebody is waiting for it
	}
	j.done = make(chan struct{})
	go func() {
		defer close(j.done)
		wait := pollBusy
		for {
			select {
			case <-j.stop:
				return
			case <-time.After(wait):
			}
			began := time.Now()
			if r.takeJournals() > 0 {
				wait = pollBusy
			} else {
				wait = pollPause(wait, idle, time.Since(began))
			}
		}
	}()
}

// stopFollowing ends what follow began. From then on journals are the caller's.
func (r *localRun) stopFollowing() {
	if j := r.journals; j != nil && j.done != nil {
		close(j.stop)
		<-j.done
		j.done = nil
	}
}

// recoverOthers recovers, beside the command, what runs that were killed have left.
func (r *localRun) recoverOthers() {
	st := r.writable()
	if st == nil || st.Path() == store.Memory {
		return
	}
	var ctx context.Context
	ctx, r.stopRecovery = context.WithCancel(context.Background())
	r.recovery.Go(func() {
		r.app.recoverJournals(ctx, st, func(message string) { r.note("%s", message) })
	})
}

// stopRecovering ends what recoverOthers began; what it has not come to is for the next forkspan.
func (r *localRun) stopRecovering() {
	if r.stopRecovery != nil {
		r.stopRecovery()
		r.recovery.Wait()
	}
}

// takeJournals stores what has come, and tells how many spans.
func (r *localRun) takeJournals() (spans int) {
	j := r.journals
	added, err := j.tail.Poll()
	if j.unread = err; errors.Is(err, journal.ErrRemoved) && !j.gone {
		j.gone = true
		r.note("%s is gone: processes that keep their spans there send them to the port from now on", j.dir)
	}
	for _, one := range added {
		spans += one.Finished + one.Unfinished
		if !r.takeJournal(one) {
			j.failed = true
		} else if !one.Alive && !j.failed && err == nil {
			_ = one.Remove() // else later
			j.unfinished += one.Open
		}
	}
	if !j.failed {
		_ = j.tail.Consume() // else the writers need more room
	}
	return spans
}

// takeJournal stores what one process has added, and tells whether all of it could be.
func (r *localRun) takeJournal(j *journal.Journal) bool {
	if j.Damaged > 0 {
		r.note("%s of process %d damaged", counted(j.Damaged, "journal file is", "journal files are"), j.PID)
	}
	var from origin
	if j.Local {
		from.process = proctree.ID{PID: j.PID, Start: j.Start}
	}
	ok := true
	take := func(body []byte) {
		body, sum, rejected, _, err := otlp.Scan(body)
		if err != nil {
			r.counts.drop("malformed", 1)
			return
		}
		r.counts.drop("malformed", rejected)
		if sum.Spans > 0 && r.take(context.Background(), from, body, sum) != nil {
			ok = false
		}
	}
	for body := range j.UnfinishedRequests() {
		take(body)
	}
	for body := range j.Requests() {
		take(body)
	}
	return ok
}

// journalsLive tells whether any process may still add to its journal, after having taken what is there.
func (r *localRun) journalsLive() bool {
	if r.journals == nil {
		return false
	}
	r.takeJournals()
	return r.journals.tail.Live() > 0
}

// closeJournals takes what is left and removes the folder. Processes that live on are told to send what follows to the port.
func (r *localRun) closeJournals() {
	j := r.journals
	if j == nil {
		return
	}
	stopped := j.tail.Stop()
	j.tail.Patience = 0
	for range 3 { // a writer that ended just now may have begun a file meanwhile
		if r.takeJournals() == 0 {
			break
		}
	}
	r.counts.leave(j.unfinished + j.tail.Open())
	err := errors.Join(stopped, j.unread)
	gone, closed := j.tail.Close(!j.failed && err == nil)
	switch err = errors.Join(err, closed); {
	case gone:
		r.record.Journal = ""
	case err != nil:
		r.note("spans are left in %s for the next forkspan: %v", j.dir, err)
	case j.failed: // as was said
		r.note("spans are left in %s for the next forkspan", j.dir)
	}
}
