package journal_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forkspan.dev/forkspan/journal"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// -rounds 1000 is worth it after a change to the writer.
var rounds = flag.Int("rounds", 100, "how many children TestKill kills")

func init() {
	roles["kill me"] = killMe
}

// Of each report of a child: which goroutine, what, and the how manieth.
const (
	reportSize    = 8
	reportStarted = 0
	reportEnded   = 1
)

// killMe starts and ends spans on several goroutines for ever, and reports each on standard output before it goes on. Each
// goroutine has a span around ten others. Its arguments are the folder, the number of goroutines, the size of a segment, and
// how to write: mapped, plain, or exported, which also releases spans all the time.
func killMe(args []string) error {
	goroutines, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	opts := []journal.Option{journal.WithSegmentSize(size)}
	if args[3] == "plain" {
		opts = append(opts, journal.WithPlainWrites())
	}
	w, err := journal.Create(args[0], opts...)
	if err != nil {
		return err
	}
	tp := provider(w)
	if args[3] == "exported" {
		// The exporter takes only spans whose names begin with x, of which nothing is expected later.
		tp.RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(w.Exporter(discard{})))
	}
	report := func(g, what, n int) {
		var b [reportSize]byte
		binary.LittleEndian.PutUint16(b[:], uint16(g))
		binary.LittleEndian.PutUint16(b[2:], uint16(what))
		binary.LittleEndian.PutUint32(b[4:], uint32(n))
		if _, err := os.Stdout.Write(b[:]); err != nil {
			panic(err)
		}
	}
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			tracer := tp.Tracer(fmt.Sprint("scope ", g%2))
			started := 0
			begin := func(ctx context.Context) (context.Context, trace.Span) {
				started++
				ctx, span := tracer.Start(ctx, fmt.Sprintf("%d-%d", g, started),
					trace.WithAttributes(attribute.String("text", strings.Repeat("x", rand.IntN(300)))))
				report(g, reportStarted, started)
				return ctx, span
			}
			ended := 0
			end := func(span trace.Span) {
				span.End()
				ended++
				report(g, reportEnded, ended)
			}
			for {
				ctx, outer := begin(context.Background())
				for range 10 {
					_, span := begin(ctx)
					end(span)
				}
				end(outer)
			}
		})
	}
	all.Wait()
	return nil
}

type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// kill starts a child, kills it at a random moment and returns how many spans each goroutine has started and ended at least.
func kill(t *testing.T, args ...string) (started, ended map[int]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVar+"=kill me")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The moment is so many reports after the start and then some instructions more: spinning varies where within a span.
	reports, spin := 1+rand.IntN(3000), rand.IntN(20_000)
	started, ended = map[int]int{}, map[int]int{}
	var b [reportSize]byte
	for n := 0; ; n++ {
		if n == reports {
			for begin := time.Now(); time.Since(begin) < time.Duration(spin); {
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(out, b[:]); err != nil {
			break
		}
		g, count := int(binary.LittleEndian.Uint16(b[:])), int(binary.LittleEndian.Uint32(b[4:]))
		if binary.LittleEndian.Uint16(b[2:]) == reportStarted {
			started[g] = count
		} else {
			ended[g] = count
		}
	}
	_ = cmd.Wait() // killed
	return started, ended
}

// TestKill kills children at random moments. Each span whose Start had returned has to be there, ended where its End had
// returned, at most one more a goroutine of either, and nothing torn that passes for whole.
func TestKill(t *testing.T) {
	modes := []struct {
		name string
		size int
	}{
		{"mapped", journal.DefaultSegmentSize},
		{"mapped", 16 << 10}, // a new segment every 40 spans
		{"plain", 64 << 10},
		{"mapped", 256 << 10},
	}
	for round := range *rounds {
		mode := modes[round%len(modes)]
		goroutines := 1 + rand.IntN(4)
		dir := t.TempDir()
		started, ended := kill(t, dir, strconv.Itoa(goroutines), strconv.Itoa(mode.size), mode.name)
		c := readAll(t, dir)
		finished, unfinished := map[int]map[string]bool{}, map[int]map[string]bool{}
		for _, s := range c.finished {
			note(t, finished, s.Name)
			if s.EndTimeUnixNano < s.StartTimeUnixNano || len(s.Attributes) != 1 {
				t.Errorf("round %d: finished span %v", round, s)
			}
		}
		for _, s := range c.unfinished {
			note(t, unfinished, s.Name)
			if s.EndTimeUnixNano != 0 || len(s.Attributes) != 1 {
				t.Errorf("round %d: unfinished span %v", round, s)
			}
		}
		for g := range goroutines {
			for n := range started[g] {
				name := fmt.Sprintf("%d-%d", g, n+1)
				if !finished[g][name] && !unfinished[g][name] {
					t.Errorf("round %d, %s segments of %d: span %s is lost", round, mode.name, mode.size, name)
				}
			}
			if have := len(finished[g]); have < ended[g] || have > ended[g]+1 {
				t.Errorf("round %d, %s segments of %d: %d spans are there whole, %d had ended", round, mode.name, mode.size,
					have, ended[g])
			}
			if have := len(finished[g]) + len(unfinished[g]); have > started[g]+1 {
				t.Errorf("round %d: %d spans are there, %d had started", round, have, started[g])
			}
		}
		if len(c.journals) != 1 || c.journals[0].Alive || t.Failed() {
			t.Fatalf("round %d: journals %+v", round, c.journals)
		}
	}
}

// note files a span's name under its goroutine's number.
func note(t *testing.T, spans map[int]map[string]bool, name string) {
	t.Helper()
	number, _, _ := strings.Cut(name, "-")
	g, err := strconv.Atoi(number)
	if err != nil {
		t.Errorf("a span named %q", name)
	}
	if spans[g] == nil {
		spans[g] = map[string]bool{}
	}
	if spans[g][name] {
		t.Errorf("span %s is there twice", name)
	}
	spans[g][name] = true
}
