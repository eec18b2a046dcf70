package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"forkspan.dev/forkspan/journal"
)

func openTail(t *testing.T, dir string) *journal.Tail {
	t.Helper()
	tail, err := journal.OpenTail(dir, []byte("about"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tail.Close(true) })
	return tail
}

func TestWritersStopWithTheirReader(t *testing.T) {
	for _, opts := range [][]journal.Option{nil, {journal.WithPlainWrites()}} {
		dir := filepath.Join(t.TempDir(), "journals")
		opts := append(opts, journal.WithReader())
		if _, err := journal.Create(dir, opts...); !errors.Is(err, journal.ErrNoReader) {
			t.Errorf("without a folder: %v", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Create(dir, opts...); !errors.Is(err, journal.ErrNoReader) || files(t, dir) != nil {
			t.Errorf("without a reader: %v, %v", err, files(t, dir))
		}
		tail := openTail(t, dir)
		w := create(t, dir, append(opts, journal.WithSegmentSize(4<<10))...)
		tracer := provider(w).Tracer("s")
		record(tracer, "a", "b")
		_, open := tracer.Start(t.Context(), "open")
		if err := tail.Stop(); err != nil {
			t.Fatal(err)
		}
		record(tracer, "late")
		open.End()
		if s := w.Stats(); s.Started != 3 || s.Ended != 2 || s.Lost != 3 || !errors.Is(w.Err(), journal.ErrNoReader) {
			t.Errorf("stats %+v, %v", s, w.Err())
		}
		if got := poll(t, tail); names(got.finished) != "a b" || names(got.unfinished) != "open" {
			t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
		}
		if _, err := journal.Create(dir, opts...); !errors.Is(err, journal.ErrNoReader) {
			t.Errorf("after the reader: %v", err)
		}
		if gone, err := tail.Close(true); !gone || err != nil {
			t.Errorf("gone %v, %v", gone, err)
		}
		record(tracer, "too late")
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder: %v", err)
		}
	}
}

// One reader at a time, and nobody recovers what it reads.
func TestAFolderHasOneReader(t *testing.T) {
	dir := t.TempDir()
	if _, err := journal.About(dir); !errors.Is(err, journal.ErrNoReader) {
		t.Errorf("about nobody: %v", err)
	}
	tail := openTail(t, dir)
	w := create(t, dir, journal.WithReader())
	record(provider(w).Tracer("s"), "a")
	_ = w.Shutdown(t.Context())
	if _, err := journal.OpenTail(dir, nil); !errors.Is(err, journal.ErrBusy) {
		t.Errorf("a second reader: %v", err)
	}
	never := func(*journal.Journal) error { t.Error("recovered"); return nil }
	if err := journal.Recover(t.Context(), dir, never); !errors.Is(err, journal.ErrBusy) {
		t.Errorf("recovery: %v", err)
	}
	if _, err := journal.RemoveFolder(dir); !errors.Is(err, journal.ErrBusy) {
		t.Errorf("removal: %v", err)
	}
	if !journal.Followed(dir) {
		t.Error("nobody follows")
	}
	if gone, err := tail.Close(false); gone || err != nil {
		t.Errorf("gone %v, %v", gone, err)
	}
	// As if the reader had been killed.
	if journal.Followed(dir) {
		t.Error("somebody follows")
	}
	if about, err := journal.About(dir); string(about) != "about" || err != nil {
		t.Errorf("about %q, %v", about, err)
	}
	if gone, err := journal.RemoveFolder(dir); gone || err != nil {
		t.Errorf("with a journal in it: gone %v, %v", gone, err)
	}
	recovered := 0
	if err := journal.Recover(t.Context(), dir, func(j *journal.Journal) error { recovered += j.Finished; return nil }); err != nil {
		t.Error(err)
	}
	if gone, err := journal.RemoveFolder(dir); !gone || err != nil || recovered != 1 {
		t.Errorf("gone %v, %v, %d spans recovered", gone, err, recovered)
	}
	if gone, err := journal.RemoveFolder(dir); !gone || err != nil || journal.Followed(dir) {
		t.Errorf("once more: gone %v, %v", gone, err)
	}
}

// What a killed reader has left is thrown away while a process writes to it, which learns of it.
func TestDiscardFolder(t *testing.T) {
	dir := t.TempDir()
	tail := openTail(t, dir)
	w := create(t, dir, journal.WithReader())
	record(provider(w).Tracer("s"), "before")
	if _, err := journal.DiscardFolder(dir); !errors.Is(err, journal.ErrBusy) {
		t.Errorf("under its reader: %v", err)
	}
	if _, err := tail.Close(false); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"with a writer", "once more"} {
		if gone, err := journal.DiscardFolder(dir); !gone || err != nil {
			t.Errorf("%s: gone %v, %v", when, gone, err)
		}
	}
	record(provider(w).Tracer("s"), "after")
	if lost := w.Stats().Lost; lost == 0 {
		t.Error("what is written afterwards is not counted as lost")
	}
}

func TestFilesOfOthersKeepTheFolder(t *testing.T) {
	dir := t.TempDir()
	tail := openTail(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if gone, err := tail.Close(true); gone || err != nil || !slices.Contains(files(t, dir), "mine") {
		t.Errorf("gone %v, %v: %v", gone, err, files(t, dir))
	}
}

// A span that ends within the reader's patience comes once; one that is open when its segment is full comes before.
func TestPatience(t *testing.T) {
	dir := t.TempDir()
	tail := openTail(t, dir)
	tail.Patience = time.Hour
	w := create(t, dir, journal.WithReader(), journal.WithSegmentSize(4<<10))
	tracer := provider(w).Tracer("s")
	_, short := tracer.Start(t.Context(), "short")
	_, long := tracer.Start(t.Context(), "long")
	if got := poll(t, tail); got.journals != nil || tail.Open() != 2 || tail.Live() != 1 {
		t.Errorf("unfinished: %s, %d open, %d live", names(got.unfinished), tail.Open(), tail.Live())
	}
	short.End()
	if got := poll(t, tail); names(got.finished) != "short" || got.unfinished != nil || tail.Open() != 1 {
		t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
	}
	for range 50 { // more than a segment
		record(tracer, "b")
	}
	if got := poll(t, tail); names(got.unfinished) != "long" || len(got.finished) != 50 || tail.Open() != 1 {
		t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
	}
	long.End()
	_, last := tracer.Start(t.Context(), "last")
	_ = w.Shutdown(t.Context())
	if got := poll(t, tail); names(got.finished) != "long" || names(got.unfinished) != "last" || got.journals[0].Open != 1 {
		t.Errorf("finished: %s, unfinished: %s", names(got.finished), names(got.unfinished))
	}
	last.End()
}

// A journal says whose it is.
func TestJournalsNameTheirProcess(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	record(provider(w).Tracer("s"), "a")
	got := readAll(t, dir)
	if j := got.journals[0]; j.PID != os.Getpid() || j.Start == 0 || !j.Local {
		t.Errorf("%+v", *j)
	}
	foreign := journal.WithNamespace(journal.Segment(os.Getpid(), journal.Boot(), 1, spanRecord(kindEnd, "a", 1)), 1)
	other := t.TempDir()
	write(t, other, foreign)
	if j := readAll(t, other).journals[0]; j.Local {
		t.Errorf("%+v", *j)
	}
}

// Somebody removes the folder below the feet of its writers: they get to know.
func TestARemovedFolderHasNoReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journals")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tail := openTail(t, dir)
	w := create(t, dir, journal.WithReader())
	tracer := provider(w).Tracer("s")
	record(tracer, "a")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := tail.Poll(); !errors.Is(err, journal.ErrRemoved) {
		t.Errorf("got %v", err)
	}
	record(tracer, "b")
	if s := w.Stats(); s.Ended != 1 || s.Lost != 2 || !errors.Is(w.Err(), journal.ErrNoReader) {
		t.Errorf("stats %+v, %v", s, w.Err())
	}
	if gone, err := tail.Close(true); !gone || err != nil {
		t.Errorf("gone %v, %v", gone, err)
	}
}
