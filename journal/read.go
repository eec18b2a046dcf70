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
	Alive bool // the process is still there and its Writer not shut down: more may come

	LastSign time.Time // the latest time of any span's start or end; zero without spans

	Finished   int // spans that have ended and that no exporter has taken
	Unfinished int // spans that have started only
	Damaged    int // segments of which a part could not be read; 0 while Alive

	paths                []string
	finished, unfinished []span
}

// All reads all journals in the folder dir, those of live processes too, each when its turn comes. A file that cannot be read
// is an error beside the journal, which has the spans of the others. No folder is no journals.
func All(dir string) iter.Seq2[*Journal, error] {
	return func(yield func(*Journal, error) bool) {
		writers, err := list(dir)
		if err != nil {
			yield(nil, fmt.Errorf("read journals: %w", err))
			return
		}
		here := self()
		for _, paths := range writers {
			if !yield(read(paths, here)) {
				return
			}
		}
	}
}

// list returns the paths of the segments in dir, a slice for each writer.
func list(dir string) ([][]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	byWriter := map[string][]string{}
	var order []string
	for _, e := range entries {
		name := e.Name()
		writer, _, _ := strings.Cut(name, ".")
		if !strings.HasSuffix(name, suffix) || pidOf(name) == 0 || !e.Type().IsRegular() {
			continue
		}
		if byWriter[writer] == nil {
			order = append(order, writer)
		}
		byWriter[writer] = append(byWriter[writer], filepath.Join(dir, name))
	}
	var all [][]string
	for _, writer := range order {
		all = append(all, byWriter[writer])
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
func read(paths []string, here identity) (*Journal, error) {
	j := &Journal{PID: pidOf(filepath.Base(paths[0])), paths: paths}
	// Whether the writer lives has to be known first: after its death nothing is added.
	dead := writerIsDead(paths, here, j.PID)
	var segments [][]byte
	var errs []error
	for _, path := range paths {
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
	j.fill(segments, dead)
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
	j.take(&m, dead, broken)
}

// take makes the journal's spans of those in m.
func (j *Journal) take(m *merger, dead bool, broken int) {
	if j.Alive = !dead; dead {
		j.Damaged = broken
	}
	j.finished, j.unfinished = m.result()
	j.Finished, j.Unfinished = len(j.finished), len(j.unfinished)
	if m.last > 0 {
		j.LastSign = time.Unix(0, int64(m.last))
	}
}

// writerIsDead tells whether the writer of these segments is gone, from the first header that can be read, else from the pid.
func writerIsDead(paths []string, here identity, pid int) bool {
	id := identity{pid: uint32(pid), boot: here.boot, namespace: here.namespace}
	for _, path := range paths {
		if h, ok := readHeader(path); ok {
			id = h.identity
			break
		}
	}
	return !id.alive(here, func() bool { return slices.ContainsFunc(paths, isLocked) })
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
