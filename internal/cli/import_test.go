package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/store"
)

// An import that was cut off halfway is begun again, and then has every span once.
func TestImportGoesOnAfterItWasCutOff(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path, db := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "forkspan.db")
	const one = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001",` +
		`"spanId":"0000000000000001","name":"a","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`
	text := one + "\n" + strings.Replace(one, `"spanId":"0000000000000001"`, `"spanId":"0000000000000002"`, 1)
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
