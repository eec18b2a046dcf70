package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
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
	local bool // a process of this machine's boot and this pid namespace
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
		if !w.alive(here, func() bool { return slices.ContainsFunc(w.paths, isLocked) }) {
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
	w.identity = id
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
	var segments [][]byte
	var errs []error
	for _, path := range w.paths {
		b, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a live writer removes segments
		case err != nil:
			errs = append(errs, fmt.Errorf("read journal: %w", err))
		case isNewer(b):
			errs = append(errs, fmt.Errorf("read journal: %s is of a newer format than this program knows", path))
		default:
			segments = append(segments, b)
		}
	}
	j.fill(segments, w.dead)
	return j, errors.Join(errs...)
}

// fill takes the spans of segments, which come in any order.
func (j *Journal) fill(segments [][]byte, dead bool) {
	type part struct {
		sequence uint32
		records  []byte
	}
	var parts []part
	broken := 0
	for _, b := range segments {
		h, records, ok := parseHeader(b)
		switch {
		case ok && h.sequence > 0:
			dead = dead || h.phase == phaseClosed
			parts = append(parts, part{h.sequence, b[records:]})
		case !ok && len(b) >= headerSize && !allZero(b[:len(magic)]): // zeros: was being prepared
			broken++
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.sequence, b.sequence) })
	var m merger
	for _, p := range parts {
		if _, bad := m.segment(p.records, map[uint32]*origin{}); bad {
			broken++
		}
	}
	j.finished, j.unfinished = m.result()
	j.finish(&m, dead, broken)
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

func readHeader(path string) (header, bool) {
	f, err := os.Open(path)
	if err != nil {
		return header{}, false
	}
	defer f.Close()
	return headerOf(f)
}

func headerOf(f *os.File) (header, bool) {
	b := make([]byte, headerSize)
	n, _ := f.ReadAt(b, 0)
	h, _, ok := parseHeader(b[:n])
	return h, ok
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
