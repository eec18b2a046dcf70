package recovery

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/journal"
)

// Outcome is what came of a run whose forkspan has died.
type Outcome struct {
	Run                  store.Run
	Finished, Unfinished int   // spans that the store lacked
	Err                  error // why more is left in the run's journals; journal.ErrBusy when another forkspan is at it
}

// Runs puts the journals of dead processes into the runs of db whose forkspan is dead, too, and removes them. What lives goes on
// writing, for a later time. path is the store's as the user wants it; report is told what came of each run.
func Runs(ctx context.Context, db *store.Store, path string, env func(string) string, report func(Outcome)) {
	runs, err := db.JournalRuns(ctx)
	if err != nil {
		return // whoever reads next finds out
	}
	for _, run := range strays(path, env, runs) {
		if Alive(run) {
			continue
		}
		if _, err := db.AddRun(ctx, run); err != nil {
			return
		}
		runs = append(runs, run)
	}
	for _, run := range runs {
		if Alive(run) {
			continue
		}
		o := Outcome{Run: run}
		o.Finished, o.Unfinished, o.Err = recoverRun(ctx, db, run)
		report(o)
	}
}

// unusedAge is how old a folder for journals that says nothing about itself must be for nobody to be about to use it.
const unusedAge = time.Minute

// strays finds folders of journals whose run is not among the known: forkspan was killed before it came to store anything.
// Those of a forkspan that was killed before they were in use, or after, it removes.
func strays(path string, env func(string) string, known []store.Run) (found []store.Run) {
	for _, parent := range Parents(env, 0) {
		dir, err := os.Open(parent)
		if err != nil {
			continue
		}
		names, _ := dir.Readdirnames(-1)
		_ = dir.Close()
		for _, name := range names {
			folder := filepath.Join(parent, name)
			if ok, _ := filepath.Match(folderPattern, name); !ok ||
				slices.ContainsFunc(known, func(r store.Run) bool { return r.Journal == folder }) {
				continue
			}
			info, err := os.Lstat(folder)
			if err != nil || !info.IsDir() || !isOurs(info) {
				continue
			}
			about, err := journal.About(folder)
			if errors.Is(err, journal.ErrNoReader) && time.Since(info.ModTime()) > unusedAge {
				_, _ = journal.RemoveFolder(folder) // unless there is something in it
			}
			if err != nil {
				continue
			}
			if wanted, run, ok := decodeAbout(about); ok && wanted == path && run.Journal == folder {
				found = append(found, run)
			}
		}
	}
	return found
}

// recoverRun does so for one run. It returns how many spans were not in the store before.
func recoverRun(ctx context.Context, db *store.Store, run store.Run) (finished, unfinished int, err error) {
	switch info, err := os.Lstat(run.Journal); {
	case errors.Is(err, fs.ErrNotExist):
		// Gone with the memory of an earlier boot, or not to be seen from this container.
		if here := BootID(); here != "" && here != run.BootID {
			return 0, 0, db.SetJournal(ctx, run.ID, "")
		}
		return 0, 0, nil
	case err != nil:
		return 0, 0, err
	case !info.IsDir() || !isOurs(info):
		return 0, 0, db.SetJournal(ctx, run.ID, "") // somebody else has taken the name
	}
	r := recovery{db: db, run: run.ID}
	err = journal.Recover(ctx, run.Journal, func(j *journal.Journal) error { return r.take(ctx, j) })
	if err != nil {
		return r.finished, r.unfinished, err
	}
	gone, err := journal.RemoveFolder(run.Journal)
	if gone && err == nil {
		err = db.SetJournal(ctx, run.ID, "")
	}
	return r.finished, r.unfinished, err
}

// recovery adds spans to a run, those that it lacks.
type recovery struct {
	db  *store.Store
	run string

	seed   maphash.Seed
	stored map[uint64]bool // by hash of the span: whether it has ended; nil before the first is needed

	finished, unfinished int
}

func (r *recovery) take(ctx context.Context, j *journal.Journal) error {
	if r.stored == nil {
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	for body := range j.Requests() {
		n, err := r.add(ctx, body)
		if r.finished += n; err != nil {
			return err
		}
	}
	for body := range j.UnfinishedRequests() {
		n, err := r.add(ctx, body)
		if r.unfinished += n; err != nil {
			return err
		}
	}
	return nil
}

// read finds out what the store has of the run.
func (r *recovery) read(ctx context.Context) error {
	r.seed, r.stored = maphash.MakeSeed(), map[uint64]bool{}
	for request, err := range r.db.Requests(ctx, r.run) {
		if err != nil {
			return err
		}
		spans, err := otlp.Decode(request.Body)
		if err != nil {
			return err
		}
		for i := range spans {
			key := r.key(&spans[i])
			r.stored[key] = r.stored[key] || spans[i].End != 0
		}
	}
	return nil
}

// key is a hash of what identifies a span. Two of a run meet with a chance of one in 2^64.
func (r *recovery) key(s *otlp.Span) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.Write(s.TraceID[:]) // never fails, nor do the others
	_, _ = h.Write(s.SpanID[:])
	if p := s.Process; p != nil {
		for _, text := range [...]string{p.Service, p.InstanceID, p.Kind, p.Name} {
			_, _ = h.WriteString(text)
			_ = h.WriteByte(0)
		}
		_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, uint64(p.PID)))
	}
	return h.Sum64()
}

// add stores those spans of a request that are new, and returns their number.
func (r *recovery) add(ctx context.Context, body []byte) (int, error) {
	body, _, _, _, err := otlp.Scan(body)
	if err != nil {
		return 0, nil // not spans, whatever it is
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return 0, err
	}
	added := 0
	body = otlp.Pick(body, func(i int) bool {
		key := r.key(&spans[i])
		ended, known := r.stored[key]
		if known && (ended || spans[i].End == 0) {
			return false
		}
		r.stored[key] = spans[i].End != 0
		added++
		return true
	})
	if added == 0 {
		return 0, nil
	}
	body, sum, _, _, err := otlp.Scan(body)
	if err != nil {
		return 0, err
	}
	return added, r.db.Append(ctx, r.run, body, sum)
}
