package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

func putRun(t testing.TB, s *store.Store, r store.Run) {
	t.Helper()
	if err := s.PutRun(context.Background(), r); err != nil {
		t.Fatal(err)
	}
}

func TestRunRoundTrip(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "forkspan.db"), store.Options{})
	defer s.Close()
	start := time.Unix(1_800_000_000, 123456789)
	full := store.Run{
		ID: store.NewRunID(), Kind: "run", Name: "vllm", Command: []string{"vllm", "serve", "--x=é"},
		TraceID: randomTrace(), SpanID: [8]byte{1}, ParentID: [8]byte{2},
		Start: start, Ready: start.Add(time.Second), End: start.Add(time.Minute), PID: 4711, BootID: "boot",
		Exit: &store.Exit{Code: -1, Signal: 9}, Account: store.Account{Spans: 3, Dropped: map[string]int64{"late": 1}},
	}
	running := store.Run{ID: store.NewRunID(), Kind: "run", Name: "vllm", Start: start.Add(time.Hour)}
	for _, want := range []store.Run{full, running} {
		putRun(t, s, want)
		got, err := s.FindRun(context.Background(), want.ID)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
	}
	running.End = start.Add(2 * time.Hour)
	putRun(t, s, running)
	runs, err := s.Runs(context.Background())
	if err != nil || !reflect.DeepEqual(runs, []store.Run{running, full}) {
		t.Errorf("Runs: %+v, %v", runs, err)
	}
}

func TestFindRun(t *testing.T) {
	s := open(t, store.Memory, store.Options{})
	defer s.Close()
	if _, err := s.FindRun(context.Background(), ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in an empty store: %v", err)
	}
	start := time.Unix(1_800_000_000, 0)
	for i, r := range []store.Run{
		{ID: "7K3F000000", Name: "build"},
		{ID: "7K3G000000", Name: "build"},
		{ID: "ABCD000000", Name: "serve"},
		{ID: "00000000ZZ", Name: "abcd"},
	} {
		r.Start = start.Add(time.Duration(i) * time.Second)
		putRun(t, s, r)
	}
	for _, test := range []struct{ ref, id, err string }{
		{ref: "", id: "00000000ZZ"},
		{ref: "last", id: "00000000ZZ"},
		{ref: "-1", id: "00000000ZZ"},
		{ref: "-2", id: "ABCD000000"},
		{ref: "-4", id: "7K3F000000"},
		{ref: "-5", err: "not found"},
		{ref: "7K3F", id: "7K3F000000"},
		{ref: "7k3g", id: "7K3G000000"},
		{ref: "7K3", err: "ambiguous: 7K3G000000 build, 7K3F000000 build"},
		{ref: "build", id: "7K3G000000"},
		{ref: "abcd", id: "ABCD000000"}, // an id goes before a name
		{ref: "%", err: "not found"},
		{ref: "nothing", err: "not found"},
	} {
		r, err := s.FindRun(context.Background(), test.ref)
		if r.ID != test.id || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: run %q, error %v; want %q, %q", test.ref, r.ID, err, test.id, test.err)
		}
		if test.err == "not found" && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v is not ErrNotFound", test.ref, err)
		}
	}
}

func TestNewRunID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{10}$`)
	seen := make(map[string]bool)
	for range 1000 {
		id := store.NewRunID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("run id %q", id)
		}
		seen[id] = true
	}
}

func TestDefaultPath(t *testing.T) {
	home := t.TempDir()
	for name, test := range map[string]struct {
		env  map[string]string
		path string
		note bool
	}{
		"state home": {map[string]string{"XDG_STATE_HOME": home, "HOME": "/elsewhere"}, filepath.Join(home, "forkspan", "forkspan.db"), false},
		"relative state home": {map[string]string{"XDG_STATE_HOME": "state", "HOME": home},
			filepath.Join(home, ".local", "state", "forkspan", "forkspan.db"), false},
		"home":    {map[string]string{"HOME": home}, filepath.Join(home, ".local", "state", "forkspan", "forkspan.db"), false},
		"nothing": {nil, "", true},
	} {
		path, note := store.DefaultPath(func(key string) string { return test.env[key] })
		if test.path == "" {
			if !strings.HasPrefix(path, os.TempDir()) {
				t.Errorf("%s: %s", name, path)
			}
		} else if path != test.path {
			t.Errorf("%s: %s", name, path)
		}
		if (note != "") != test.note {
			t.Errorf("%s: note %q", name, note)
		}
	}
}

func TestFilesAreTheUsersOnly(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "forkspan.db")
	s := open(t, path, store.Options{})
	defer s.Close()
	appendRequest(t, s, "R", request(1, randomTrace()))
	want := map[string]os.FileMode{folder: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600}
	for file, mode := range want {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode && os.PathSeparator == '/' {
			t.Errorf("%s has mode %v", file, got)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "forkspan.db"), store.Options{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutRun(context.Background(), store.Run{ID: "R"}); err == nil {
		t.Error("PutRun into a closed store")
	}
	if _, err := s.Runs(context.Background()); err == nil {
		t.Error("Runs of a closed store")
	}
}

// A path is taken as it is, also where it has characters that mean something in a URI.
func TestOddPath(t *testing.T) {
	name := "a b#c%20é&mode=memory.db"
	if os.PathSeparator == '/' {
		name = "what?" + name
	}
	path := filepath.Join(t.TempDir(), name)
	s := open(t, path, store.Options{})
	putRun(t, s, store.Run{ID: "R"})
	if s.Path() != path {
		t.Errorf("path %s", s.Path())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if size(t, path) == 0 {
		t.Error("nothing is in the file")
	}
}
