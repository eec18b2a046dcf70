package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// requests counts a run's requests.
func requests(t testing.TB, s *store.Store, run string) (n int) {
	t.Helper()
	for _, err := range s.Requests(context.Background(), run) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func size(t testing.TB, path string) (bytes int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	s := open(t, path, store.Options{})
	var kept, removed []otlp.TraceID
	for _, run := range []string{"GONE", "KEPT"} {
		putRun(t, s, store.Run{ID: run, Start: time.Now()})
		for range 1100 {
			id := randomTrace()
			appendRequest(t, s, run, request(20, id))
			if run == "KEPT" {
				kept = append(kept, id)
			} else {
				removed = append(removed, id)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := size(t, path)
	s = open(t, path, store.Options{})
	if err := s.Remove(context.Background(), "GONE", "NEVER"); err != nil {
		t.Fatal(err)
	}
	if n := requests(t, s, "GONE"); n != 0 {
		t.Errorf("%d requests of the removed run", n)
	}
	if n := requests(t, s, "KEPT"); n != len(kept) {
		t.Errorf("%d requests of the other run", n)
	}
	runs, err := s.Runs(context.Background())
	if err != nil || len(runs) != 1 || runs[0].ID != "KEPT" {
		t.Errorf("runs %v, %v", runs, err)
	}
	for i := 0; i < len(kept); i += 97 {
		if n, _ := count(t, s, kept[i]); n != 1 {
			t.Errorf("kept trace %d: %d requests", i, n)
		}
		if n, _ := count(t, s, removed[i]); n != 0 {
			t.Errorf("removed trace %d: %d requests", i, n)
		}
	}
	// New requests get ids and blocks of their own.
	id := randomTrace()
	appendRequest(t, s, "NEW", request(1, id))
	if n, _ := count(t, s, id); n != 1 {
		t.Errorf("new trace: %d requests", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if after := size(t, path); after > before*2/3 {
		t.Errorf("the file has shrunk from %d to %d only", before, after)
	}
}

// awaitNotice passes on what the store tells until a message contains text.
func awaitNotice(t *testing.T, notices <-chan string, text string) {
	t.Helper()
	for {
		select {
		case msg := <-notices:
			if strings.Contains(msg, text) {
				return
			}
		case <-time.After(time.Minute):
			t.Fatalf("no notice of %q", text)
		}
	}
}

func TestSizeCap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	notices := make(chan string, 1000)
	const limit = 2 << 20
	s := open(t, path, store.Options{MaxBytes: limit, Notify: func(msg string) { notices <- msg }})
	const runs, each = 10, 100
	for run := range runs {
		id := fmt.Sprintf("RUN%d", run)
		putRun(t, s, store.Run{ID: id, Start: time.Now()})
		for range each {
			appendRequest(t, s, id, request(256, randomTrace()))
		}
	}
	awaitNotice(t, notices, "RUN0")
	if n := requests(t, s, "RUN0"); n != 0 {
		t.Errorf("%d requests of the oldest run", n)
	}
	if n := requests(t, s, fmt.Sprintf("RUN%d", runs-1)); n != each {
		t.Errorf("%d requests of the newest run", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The file as the next process finds it: a look at its first request brings it below the cap.
	s = open(t, path, store.Options{MaxBytes: limit, Notify: func(msg string) { notices <- msg }})
	last := randomTrace()
	appendRequest(t, s, "LAST", request(1, last))
	awaitNotice(t, notices, "removed")
	if n, _ := count(t, s, last); n != 1 {
		t.Error("the newest request was removed")
	}
}

func TestSizeCapOfOneRun(t *testing.T) {
	notices := make(chan string, 1000)
	s := open(t, store.Memory, store.Options{MaxBytes: 1 << 20, Notify: func(msg string) { notices <- msg }})
	defer s.Close()
	const n = 520
	for range n {
		appendRequest(t, s, "ONLY", request(256, randomTrace()))
	}
	awaitNotice(t, notices, "the oldest requests of run ONLY")
	last := randomTrace()
	appendRequest(t, s, "ONLY", request(1, last))
	if left := requests(t, s, "ONLY"); left >= n || left == 0 {
		t.Errorf("%d requests left", left)
	}
	if n, _ := count(t, s, last); n != 1 {
		t.Error("the newest request was removed")
	}
}

func TestAgeCap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forkspan.db")
	s := open(t, path, store.Options{})
	putRun(t, s, store.Run{ID: "OLD", Name: "build", Start: time.Now().Add(-time.Hour)})
	appendRequest(t, s, "OLD", request(1, randomTrace()))
	appendRequest(t, s, "", request(1, randomTrace()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	notices := make(chan string, 100)
	s = open(t, path, store.Options{MaxAge: time.Nanosecond, Notify: func(msg string) { notices <- msg }})
	defer s.Close()
	appendRequest(t, s, "NEW", request(1, randomTrace()))
	awaitNotice(t, notices, "without a run")
	if n := requests(t, s, "OLD") + requests(t, s, ""); n != 0 {
		t.Errorf("%d old requests", n)
	}
	if _, err := s.FindRun(context.Background(), "OLD"); err == nil {
		t.Error("the old run is there")
	}
	if n := requests(t, s, "NEW"); n != 1 {
		t.Errorf("%d new requests", n)
	}
}
