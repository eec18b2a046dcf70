package cli

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/scriptspan"
	"forkspan.dev/forkspan/internal/store"
)

// What a process left that was killed while it ended a span is completed by the next that tries, which is told so.
func TestEndOfAKilledEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	st, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	span := &scriptspan.Span{Span: commandspan.Span{
		TraceID: otlp.TraceID{1}, SpanID: otlp.SpanID{2}, Name: "half", Start: now.UnixNano(), End: now.Add(3 * time.Second).UnixNano(),
		Kind: otlp.KindInternal, Sampled: true,
	}, Run: scriptspan.RunID(otlp.TraceID{1})}
	err = st.AddOpenSpan(t.Context(), store.OpenSpan{TraceID: span.TraceID, SpanID: span.SpanID, Started: now, State: span.State()})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	forkspan := func(args ...string) string {
		cmd := exec.Command("forkspan", append([]string{"--db", path}, args...)...)
		cmd.Env = []string{"HOME=" + filepath.Dir(path)}
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for _, args := range [][]string{{"span", "event", "0200000000000000", "late"}, {"span", "end", "0200000000000000", "--status", "error"}} {
		if out := forkspan(args...); !strings.Contains(out, "has ended already") {
			t.Errorf("%s: %s", args[1], out)
		}
	}
	if out := forkspan("show", "half"); !strings.Contains(out, "half ended after 3.0s") {
		t.Error(out)
	}
}
