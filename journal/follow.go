package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"
)

// The file by which the reader of a folder tells writers that it follows them. FORMAT.md explains it.
const (
	readerFile    = "reader"
	readerSize    = 16
	atReaderState = 12

	readerFollows = 0
	readerStopped = 1
)

// ErrNoReader is the error of a [Writer] made [WithReader] whose folder nobody follows, or no longer.
var ErrNoReader = errors.New("nobody reads this journal")

// WithReader is for a folder that a reader follows, made by [OpenTail]: [Create] fails with [ErrNoReader] when there is none,
// and does not make the folder. When the reader has stopped, so does the Writer: each record is then counted as lost, and
// [Writer.Record] says so.
func WithReader() Option { return optionFunc(func(s *settings) { s.reader = true }) }

// OpenTail returns a Tail of the folder dir for the one reader that its writers rely on (see [WithReader]). The folder has to
// be there. Until [Tail.Close] it is locked against [Recover] and other readers, which get [ErrBusy]. about is kept in the
// folder for [About].
func OpenTail(dir string, about []byte) (*Tail, error) {
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("follow journals: %w", err)
	}
	t := NewTail(dir)
	t.unlock = unlock
	if t.file, err = createReader(dir, about); err != nil {
		unlock()
		return nil, fmt.Errorf("follow journals: %w", err)
	}
	return t, nil
}

// createReader makes the reader's file.
func createReader(dir string, about []byte) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, readerFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, readerSize), about...)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[atVersion:], version)
	if _, err := f.WriteAt(b, 0); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// tellStop changes the state in the reader's file.
func tellStop(f *os.File) error {
	_, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, readerStopped), atReaderState)
	return err
}

// Followed tells whether the reader of the folder dir is there, or somebody who recovers its journals.
func Followed(dir string) bool {
	unlock, err := lockFolder(dir)
	if err == nil {
		unlock()
	}
	return errors.Is(err, ErrBusy)
}

// ErrRemoved is the error of a [Tail] whose folder somebody else has removed. Writers have been told that nobody reads.
var ErrRemoved = errors.New("the folder of journals was removed")

// check notices that somebody has removed the folder: what is written to files in it would be lost.
func (t *Tail) check() error {
	if t.file == nil {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(t.dir, readerFile)); errors.Is(err, fs.ErrNotExist) {
		return errors.Join(ErrRemoved, tellStop(t.file))
	}
	return nil
}

// About returns what the reader of a folder has said about itself. The error is [ErrNoReader] when there never was one.
func About(dir string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, readerFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNoReader
	case err != nil:
		return nil, fmt.Errorf("read about journals: %w", err)
	case len(b) < readerSize || string(b[:len(magic)]) != magic:
		return nil, ErrNoReader
	}
	return b[readerSize:], nil
}

// Stop tells writers that nobody reads any more. What they had written before is there for a last [Tail.Poll]. A record that
// is written at this very moment may be there, too, although its writer believes it lost.
func (t *Tail) Stop() error {
	if t.file == nil {
		return nil
	}
	if err := tellStop(t.file); err != nil {
		return fmt.Errorf("stop following journals: %w", err)
	}
	return nil
}

// Live is how many writers the last Poll found that had not ended.
func (t *Tail) Live() int { return t.live }

// Open is how many spans of those writers had not ended then.
func (t *Tail) Open() int { return t.unended }

// Close lets go of the folder, so that [Recover] can have it. With remove, after [Tail.Stop] and when all that Poll has
// returned is kept elsewhere, the folder is removed and the journals in it, those of live processes too. It tells whether the
// folder is gone: a process that begins a journal at this very moment may keep it.
func (t *Tail) Close(remove bool) (gone bool, err error) {
	if t.unlock == nil {
		return false, nil
	}
	unlock := t.unlock
	t.unlock = nil
	_ = t.file.Close()
	t.file = nil
	if _, err := os.Lstat(t.dir); errors.Is(err, fs.ErrNotExist) {
		unlock()
		return true, nil
	}
	if remove {
		err = removeJournals(t.dir)
	}
	if !remove || err != nil {
		unlock()
		return false, err
	}
	return removeFolder(t.dir, unlock)
}

func removeJournals(dir string) error {
	writers, err := list(dir)
	if err != nil {
		return fmt.Errorf("remove journals: %w", err)
	}
	var errs []error
	for _, w := range writers {
		errs = append(errs, w.journal().Remove())
	}
	return errors.Join(errs...)
}

// RemoveFolder removes a folder of a reader that is gone, such as one that was killed, if it holds no journal. It tells whether
// the folder is gone.
func RemoveFolder(dir string) (gone bool, err error) {
	unlock, err := lockFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove folder of journals: %w", err)
	}
	writers, err := list(dir)
	if err != nil || len(writers) > 0 {
		unlock()
		return false, err
	}
	return removeFolder(dir, unlock)
}

// DiscardFolder removes a folder of a reader that is gone with all the journals in it, those of live processes too, which are told
// before that nobody reads. It tells whether the folder is gone: a process that begins a journal at this very moment may keep it.
func DiscardFolder(dir string) (gone bool, err error) {
	unlock, err := lockFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("discard journals: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, readerFile), os.O_WRONLY, 0)
	if err == nil {
		err = errors.Join(tellStop(f), f.Close())
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = removeJournals(dir)
	}
	if err != nil {
		unlock()
		return false, fmt.Errorf("discard journals: %w", err)
	}
	return removeFolder(dir, unlock)
}

// removeFolder removes a folder that is locked and holds no journal, its reader's file with it, and tells whether it is gone.
func removeFolder(dir string, unlock func()) (gone bool, err error) {
	// A process that is about to begin a journal has to know that it is too late; one that has begun it just now may notice.
	f, err := os.OpenFile(filepath.Join(dir, readerFile), os.O_WRONLY, 0)
	if err == nil {
		err = errors.Join(tellStop(f), f.Close())
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	empty := false
	if err == nil {
		var writers []writerFiles
		if writers, err = list(dir); err == nil && len(writers) == 0 {
			empty = true
			err = os.Remove(filepath.Join(dir, readerFile))
		}
	}
	unlock() // first: on Windows the lock is a file in the folder
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove folder of journals: %w", err)
	}
	if !empty {
		return false, nil
	}
	err = os.Remove(dir) // fails when somebody else has a file in it
	return err == nil || errors.Is(err, fs.ErrNotExist), nil
}

// readerMark is a writer's view of its reader's file.
type readerMark struct {
	mem  []byte   // mapped; nil where that could be dangerous
	file *os.File // when it is not mapped
}

// openReader finds the reader of a folder.
func openReader(dir string, plain bool) (*readerMark, error) {
	f, err := os.Open(filepath.Join(dir, readerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoReader
	}
	if err != nil {
		return nil, err
	}
	m := &readerMark{file: f}
	if m.stopped() {
		_ = f.Close()
		return nil, ErrNoReader
	}
	if plain || !mayMap(f) {
		return m, nil
	}
	if mem, err := mapReadOnly(f, readerSize); err == nil {
		_ = f.Close()
		m.mem, m.file = mem, nil
	}
	return m, nil
}

// stopped tells whether the reader has. What cannot be read counts as stopped.
func (m *readerMark) stopped() bool {
	if m == nil {
		return false
	}
	if m.mem != nil {
		state := uint32(readerStopped)
		_ = guarded(func() { state = atomic.LoadUint32((*uint32)(unsafe.Pointer(&m.mem[atReaderState]))) })
		return state != readerFollows // in either byte order
	}
	var b [readerSize]byte
	if n, _ := m.file.ReadAt(b[:], 0); n < readerSize {
		return true
	}
	return binary.LittleEndian.Uint32(b[atReaderState:]) != readerFollows
}

func (m *readerMark) close() {
	if m == nil {
		return
	}
	if m.mem != nil {
		_ = unmapFile(m.mem)
	} else {
		_ = m.file.Close()
	}
}
