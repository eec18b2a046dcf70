package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sys/unix"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/internal/store"
)

func init() { standIns["nodisk"] = noDisk }

// noDiskSpans are more than the journal's first files hold.
const noDiskSpans = 3000

// noDisk can make no more files once its journal has begun, as on a full disk. It ends many spans, flushes, and kills itself.
func noDisk() error {
	tr, err := forkspan.Init(context.Background(), "nodisk")
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4 << 10, Max: unix.RLIM_INFINITY}); err != nil {
		return err
	}
	ctx, _ := forkspan.Start(context.Background(), "open")
	for i := range noDiskSpans {
		_, span := forkspan.Start(ctx, fmt.Sprint("span ", i), attribute.String("text", strings.Repeat("x", 2000)))
		span.End()
	}
	if err := tr.Flush(context.Background()); err != nil {
		return err
	}
	if s := tr.Stats(); s.Unjournaled == 0 || s.Lost() != 0 || s.Exported != noDiskSpans {
		return fmt.Errorf("%+v", s)
	}
	fmt.Println("flushed")
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// What a full disk keeps out of the journal comes over the port, each span one way.
func TestFullDiskUnderRun(t *testing.T) {
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, path := filepath.Join(dir, "nodisk"), filepath.Join(dir, "forkspan.db")
	if err := os.Symlink(program, child); err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: program, Args: []string{"forkspan", "run", "--db", path, "--", child}}
	cmd.Env = append(os.Environ(), "HOME="+dir, "OTEL_BSP_MAX_QUEUE_SIZE=100000")
	out, _ := cmd.CombinedOutput() // ends as its command does
	if !strings.HasPrefix(string(out), "flushed\n") {
		t.Fatalf("%s", out)
	}
	db, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run, err := db.FindRun(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	spans, err := decodeAll(db.Requests(t.Context(), run.ID))
	if err != nil {
		t.Fatal(err)
	}
	ended := map[string]int{}
	for i := range spans {
		if spans[i].End != 0 {
			ended[spans[i].Name]++
		}
	}
	for i := range noDiskSpans {
		if n := ended[fmt.Sprint("span ", i)]; n != 1 {
			t.Errorf("span %d is there %d times", i, n)
		}
	}
	if run.Journal != "" || run.Account.Spans != noDiskSpans+1 {
		t.Errorf("%+v", run)
	}
}
