package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

// requestJSON is an OTLP JSON request of one span.
const requestJSON = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001",` +
	`"spanId":"0000000000000001","name":"a","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`

// An import that was cut off halfway is begun again, and then has every span once.
func TestImportGoesOnAfterItWasCutOff(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path, db := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "forkspan.db")
	text := requestJSON + "\n" + strings.Replace(requestJSON, `"spanId":"0000000000000001"`, `"spanId":"0000000000000002"`, 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	importIt := func() string {
		t.Helper()
		var out, errs bytes.Buffer
		status := Main([]string{"import", path}, Streams{Stdout: &out, Stderr: &errs, Env: func(name string) string {
			return map[string]string{"FORKSPAN_DB": db}[name]
		}})
		if status != 0 || errs.Len() > 0 {
			t.Fatalf("status %d: %s", status, errs.String())
		}
		return out.String()
	}
	first := importIt()
	id := strings.TrimSuffix(strings.Fields(first)[1], ":")

	s, err := store.Open(ctx, db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.FindRun(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	run.End = time.Time{} // as if it had been killed
	if err := s.PutRun(ctx, run); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	status := Main([]string{"ls"}, Streams{Stdout: &list, Stderr: &list, Env: func(name string) string {
		return map[string]string{"FORKSPAN_DB": db}[name]
	}})
	if status != 0 || !strings.Contains(list.String(), "cut off") {
		t.Errorf("meanwhile ls says, with status %d:\n%s", status, list.String())
	}

	if again := importIt(); again != first {
		t.Errorf("the second import says %q, the first said %q", again, first)
	}
	if third := importIt(); !strings.Contains(third, "was imported before") {
		t.Errorf("the third import says %q", third)
	}
	s, err = store.Open(ctx, db, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	spans, err := decodeAll(s.Requests(ctx, id))
	if err != nil || len(spans) != 2 {
		t.Errorf("%d spans, %v; want 2", len(spans), err)
	}
}

// brokenOff is a context that ends when it has been asked for the n-th time.
type brokenOff struct {
	context.Context
	n int
}

func (c *brokenOff) Err() error {
	if c.n--; c.n <= 0 {
		return context.Canceled
	}
	return nil
}

// Of an import that is interrupted in the middle nothing is left.
func TestInterruptedImport(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.jsonl")
	const requests = 20
	if err := os.WriteFile(path, []byte(strings.Repeat(requestJSON+"\n", requests)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), filepath.Join(dir, "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := &app{Streams: Streams{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Env: func(string) string { return "" }}}
	f, err := a.openImport(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	ctx := &brokenOff{t.Context(), requests}
	if err := a.importOpened(ctx, s, f, path, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if runs, err := s.Runs(t.Context()); err != nil || len(runs) != 0 {
		t.Errorf("%d runs are left, %v", len(runs), err)
	}
	for r, err := range s.Requests(t.Context(), "") {
		t.Errorf("a request is left: %v, %v", r, err)
	}
}
