package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Journal is what one Writer has left, or has written so far.
type Journal struct {
	PID   int
	Start uint64 // of the process, in the unit of FORMAT.md: on Linux clock ticks since the boot; 0 when not known
	Local bool   // PID and Start are those of a process of this boot and pid namespace
	Alive bool   // the process is still there and its Writer not shut down: more may come

	LastSign time.Time // the latest time of any span's start or end; zero without spans

	Finished   int // spans that have ended and that no exporter has taken
	Unfinished int // spans that have started only
	Open       int // spans that have not ended as far as is known; from a Tail also those that it returned before
	Damaged    int // segments of which a part could not be read; 0 while Alive

	paths                []string
	finished, unfinished []span
}

// All reads all journals in the folder dir, those of live processes too, each when its turn comes. A file that cannot be read
// is an error beside the journal, which has the spans of the others. No folder is no journals.
func All(dir string) iter.Seq2[*Journal, error] {
	return func(yield func(*Journal, error) bool) {
		writers, err := survey(dir, self(), nil)
		if err != nil {
			yield(nil, fmt.Errorf("read journals: %w", err))
			return
		}
		for _, w := range writers {
			if !yield(w.read()) {
				return
			}
		}
	}
}

// writerFiles are the segments of one writer.
type writerFiles struct {
	name  string // what the names of its segments begin with
	paths []string
	dead  bool // nothing was added since the paths were listed
	identity
	guessed bool // from the name, since no header is there yet
	local   bool // a process of this machine's boot and this pid namespace
}

// survey finds the writers in dir. known are the identities of writers by their names, as far as they are known. Whether a
// writer lives is found out before its files are listed for good: after its death nothing is added.
func survey(dir string, here identity, known map[string]identity) ([]writerFiles, error) {
	writers, err := list(dir)
	if err != nil {
		return nil, err
	}
	dead := map[string]bool{}
	for i := range writers {
		w := &writers[i]
		w.identify(here, known)
		locked := func() bool { return slices.ContainsFunc(w.paths, isLocked) }
		if !w.alive(here, locked) && !(w.guessed && locked()) { // the pid may be of another pid namespace
			dead[w.name] = true
		}
	}
	if len(dead) > 0 {
		if writers, err = list(dir); err != nil {
			return nil, err
		}
	}
	for i := range writers {
		w := &writers[i]
		if len(dead) > 0 {
			w.identify(here, known)
		}
		w.dead = dead[w.name]
		w.local = w.namespace == here.namespace && w.boot == here.boot
	}
	return writers, nil
}

// identify finds out about the writer from what is known, from the first header that can be read, else from the pid.
func (w *writerFiles) identify(here identity, known map[string]identity) {
	id, ok := known[w.name]
	for i := 0; i < len(w.paths) && !ok; i++ {
		var h header
		if h, ok = readHeader(w.paths[i]); ok {
			id = h.identity
		}
	}
	if !ok {
		id = here
		id.pid, id.start = uint32(pidOf(w.name)), 0
	}
	w.identity, w.guessed = id, !ok
}

// journal is what the writer has left, without its spans.
func (w *writerFiles) journal() *Journal {
	return &Journal{PID: int(w.pid), Start: w.start, Local: w.local, paths: w.paths}
}

// list returns the writers in dir with their files.
func list(dir string) ([]writerFiles, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []writerFiles
	places := map[string]int{}
	for _, e := range entries {
		name := e.Name()
		writer, _, _ := strings.Cut(name, ".")
		if !strings.HasSuffix(name, suffix) || pidOf(name) == 0 || !e.Type().IsRegular() {
			continue
		}
		at, ok := places[writer]
		if !ok {
			at = len(all)
			places[writer] = at
			all = append(all, writerFiles{name: writer})
		}
		all[at].paths = append(all[at].paths, filepath.Join(dir, name))
	}
	return all, nil
}

// pidOf is the pid that a segment's name begins with, 0 when it does not.
func pidOf(name string) int {
	digits, _, ok := strings.Cut(name, "-")
	pid, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil {
		return 0
	}
	return int(pid)
}

// read reads the segments of one writer.
func (w *writerFiles) read() (*Journal, error) {
	j := w.journal()
	err := j.fill(func(path string) (segmentFile, error) { return os.Open(path) }, w.dead)
	return j, err
}

// segmentFile is what is read of a file.
type segmentFile interface {
	io.ReaderAt
	io.Closer
}

// fill takes the spans of the journal's segments. Only one is open at a time, since there may be many, and no more of it is read
// than its records: a file may be of any size.
func (j *Journal) fill(open func(path string) (segmentFile, error), dead bool) error {
	var errs []error
	look := func(path string, at func(segmentFile) error) {
		f, err := open(path)
		if err == nil {
			err = errors.Join(at(f), f.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a live writer removes segments
			errs = append(errs, fmt.Errorf("read journal: %w", err))
		}
	}
	var parts []*tailed
	broken := 0
	for _, path := range j.paths {
		look(path, func(f segmentFile) error {
			h, records, what := begin(f)
			switch what {
			case segmentOK:
				dead = dead || h.phase == phaseClosed
				parts = append(parts, newTailed(path, h, records))
			case segmentBroken:
				broken++
			case segmentNewer:
				return newerError(path)
			}
			return nil
		})
	}
	slices.SortStableFunc(parts, func(a, b *tailed) int { return cmp.Compare(a.sequence, b.sequence) })
	var m merger
	for _, p := range parts {
		look(p.path, func(f segmentFile) error {
			bad, err := p.read(f, &m)
			if bad {
				broken++
			}
			return err
		})
	}
	j.finished, j.unfinished = m.result()
	j.finish(&m, dead, broken)
	return errors.Join(errs...)
}

// finish fills in what follows from the journal's spans, and what m knows of them.
func (j *Journal) finish(m *merger, dead bool, broken int) {
	if j.Alive = !dead; dead {
		j.Damaged = broken
	}
	j.Finished, j.Unfinished, j.Open = len(j.finished), len(j.unfinished), len(j.unfinished)
	if m.last > 0 {
		j.LastSign = time.Unix(0, int64(m.last))
	}
}

func readHeader(path string) (h header, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return h, false
	}
	defer f.Close()
	h, _, what := begin(f)
	return h, what == segmentOK || what == segmentSpare
}

// beginning is what a segment's file is, by its first bytes.
type beginning int

const (
	segmentOK     beginning = iota
	segmentSpare            // kept ready: holds no records
	segmentNone             // being prepared
	segmentNewer            // of a later version of the format
	segmentBroken           // of nothing that is known
)

// begin reads the beginning of a segment's file, and where its records begin.
func begin(f io.ReaderAt) (h header, records int, what beginning) {
	b := make([]byte, headerSize)
	n, _ := f.ReadAt(b, 0)
	b = b[:n]
	h, records, ok := parseHeader(b)
	switch {
	case ok && h.sequence > 0:
		return h, records, segmentOK
	case ok:
		return h, records, segmentSpare
	case n < headerSize || allZero(b[:len(magic)]):
		return h, 0, segmentNone
	case isNewer(b):
		return h, 0, segmentNewer
	}
	return h, 0, segmentBroken
}

// newerError is for a segment that a later version of this program has to read.
func newerError(path string) error {
	return fmt.Errorf("%q is of a newer format than this program knows", path)
}

// isLocked tells whether a process holds the lock on the file.
func isLocked(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	return tryLock(f) != nil
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// Remove deletes the journal's files.
func (j *Journal) Remove() error {
	var errs []error
	for _, path := range j.paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove journal: %w", err)
	}
	return nil
}
