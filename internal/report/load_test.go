package report

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// TestMain lets the test binary be a process that writes to a store: it stores requests until its standard input ends, and
// says so after the first.
func TestMain(m *testing.M) {
	path := os.Getenv("FORKSPAN_TEST_WRITE_TO")
	if path == "" {
		os.Exit(m.Run())
	}
	db, err := store.Open(context.Background(), path, store.Options{})
	if err != nil {
		panic(err)
	}
	ended := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(ended)
	}()
	for seed := uint64(100); ; seed++ {
		storeRequests(&testing.B{}, db, 3000, true, seed)
		os.Stdout.WriteString("\n")
		select {
		case <-ended:
			if err := db.Close(); err != nil {
				panic(err)
			}
			return
		default:
		}
	}
}

func openStore(t *testing.T, path string, opts store.Options) *store.Store {
	t.Helper()
	db, err := store.Open(context.Background(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// reports loads and reports a run as the command does, and from all requests anew.
func reports(t *testing.T, db *store.Store) (cached, fresh *Requests) {
	t.Helper()
	ctx := context.Background()
	opts := Options{By: []Key{ByModel, ByRoute}, Slowest: 20}
	var a, b Source
	if err := a.Load(ctx, db, "RUN"); err != nil {
		t.Fatal(err)
	}
	cached = Build([]*Source{&a}, opts)
	if err := b.load(ctx, db, "RUN", nil); err != nil {
		t.Fatal(err)
	}
	return cached, Build([]*Source{&b}, opts)
}

func wantEqual(t *testing.T, when string, db *store.Store, requests int) {
	t.Helper()
	cached, fresh := reports(t, db)
	if !reflect.DeepEqual(cached, fresh) {
		t.Errorf("%s: from what was kept %+v\nanew %+v", when, cached, fresh)
	}
	if cached.Requests != requests {
		t.Errorf("%s: %d requests, want %d", when, cached.Requests, requests)
	}
}

func derived(t *testing.T, db *store.Store) []store.Derived {
	t.Helper()
	list, err := db.Derived(context.Background(), "RUN", derivedKind)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLoad(t *testing.T) {
	db := openStore(t, filepath.Join(t.TempDir(), "db"), store.Options{})
	ctx := context.Background()
	wantEqual(t, "an empty store", db, 0)
	storeRequests(t, db, 3000, true, 1)
	wantEqual(t, "a small run", db, 3000)
	if n := len(derived(t, db)); n != 0 {
		t.Errorf("%d parts of a small run are kept", n)
	}
	storeRequests(t, db, 30_000, true, 2)
	wantEqual(t, "the first time", db, 33_000)
	kept := derived(t, db)
	if len(kept) == 0 {
		t.Fatal("nothing is kept")
	}
	wantEqual(t, "again", db, 33_000)
	storeRequests(t, db, 1000, true, 3)
	wantEqual(t, "with some more", db, 34_000)
	storeRequests(t, db, 20_000, false, 4)
	wantEqual(t, "with many more", db, 54_000)

	// What is kept is what is read.
	other := source(t, testSpan{1, 1, 0, 0, 110, otlp.KindClient, false, chat(nil)})
	forged := kept[0]
	forged.Items, forged.Data = 1, other.set.encode()
	if err := db.PutDerived(ctx, "RUN", derivedKind, forged); err != nil {
		t.Fatal(err)
	}
	var s Source
	if err := s.Load(ctx, db, "RUN"); err != nil {
		t.Fatal(err)
	}
	if n := Build([]*Source{&s}, Options{}).Requests; n >= 54_000 {
		t.Errorf("%d requests: what was kept has not been read", n)
	}
	for name, data := range map[string][]byte{"of another format": append([]byte{99}, forged.Data...), "broken": forged.Data[:len(forged.Data)-9]} {
		forged.Data = data
		if err := db.PutDerived(ctx, "RUN", derivedKind, forged); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "data "+name, db, 54_000)
	}

	if err := db.Remove(ctx, "RUN"); err != nil {
		t.Fatal(err)
	}
	if n := len(derived(t, db)); n != 0 {
		t.Errorf("%d parts of a removed run are kept", n)
	}
	wantEqual(t, "a removed run", db, 0)
}

// Another process stores requests while this one reports.
func TestLoadWhileAnotherProcessWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := openStore(t, path, store.Options{})
	writer := exec.Command(os.Args[0])
	writer.Env = append(os.Environ(), "FORKSPAN_TEST_WRITE_TO="+path)
	stop, err := writer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	writer.Stderr = &stderr
	said, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines, stored, before := bufio.NewScanner(said), 0, 0
	for range 10 {
		if lines.Scan() {
			stored += 3000
		}
		var s Source
		if err := s.Load(context.Background(), db, "RUN"); err != nil {
			t.Error(err)
		}
		n := Build([]*Source{&s}, Options{}).Requests
		if n < stored || n < before {
			t.Errorf("%d requests, %d are stored and %d were there", n, stored, before)
		}
		before = n
	}
	if err := stop.Close(); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
		stored += 3000
	}
	if err := writer.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	wantEqual(t, "when the other has ended", db, stored)
	if len(derived(t, db)) == 0 {
		t.Error("nothing is kept")
	}
}

// The size cap has removed the oldest requests of a run that was reported before.
func TestLoadOfRunThatWasCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := openStore(t, path, store.Options{})
	const requests = 40_000
	storeRequests(t, db, requests, true, 1)
	wantEqual(t, "before", db, requests)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	notices := make(chan string, 100)
	db = openStore(t, path, store.Options{MaxBytes: 8 << 20, Notify: func(msg string) { notices <- msg }})
	storeRequests(t, db, 1, true, 2)
	<-notices
	if err := db.Close(); err != nil { // and with it the removal
		t.Fatal(err)
	}
	db = openStore(t, path, store.Options{})
	cached, fresh := reports(t, db)
	if !reflect.DeepEqual(cached, fresh) {
		t.Errorf("from what was kept %+v\nanew %+v", cached, fresh)
	}
	if cached.Requests == 0 || cached.Requests >= requests {
		t.Errorf("%d requests: none were removed, or all", cached.Requests)
	}
}

func FuzzStoredSet(f *testing.F) {
	var s set
	s.names.add("m")
	s.records = []record{{start: -5, times: [latencies]int64{unset, 3, 1 << 40, 0, 1, 2}, input: 7, output: unset, name: [words]uint32{1}, flags: vllm}}
	s.records[0].trace[3] = 1
	s.between = []ids{{span: [8]byte{1}}}
	f.Add(s.encode())
	f.Add((&set{}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) (s set, err error) {
			s.records, s.between, err = decodeSet(data, nil, s.names.add)
			return s, err
		}
		first, err := read(data)
		if err != nil {
			return
		}
		second, err := read(first.encode())
		if err != nil {
			t.Fatalf("what was read cannot be written and read: %v", err)
		}
		if len(first.records) != len(second.records) || len(first.between) != len(second.between) {
			t.Fatal("read again it is of another length")
		}
		for i := range first.records {
			a, b := first.records[i], second.records[i]
			for w := range a.name {
				if first.names.word(a.name[w]) != second.names.word(b.name[w]) {
					t.Fatalf("record %d has another word", i)
				}
			}
			a.name, b.name = [words]uint32{}, [words]uint32{}
			if a != b {
				t.Fatalf("record %d: %+v, then %+v", i, a, b)
			}
		}
	})
}
