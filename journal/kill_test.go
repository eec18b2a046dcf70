package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
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
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
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
	reportTaken   = 2 // by the exporter: the number of the span
)

// inner is how many spans are in each other one.
const inner = 10

// killMe starts and ends spans on several goroutines for ever, and reports each on standard output before it goes on. Each
// goroutine has a span around every ten others. Its arguments are the folder, the number of goroutines, the size of a segment, and
// how to write: mapped, plain, or exported, where the exporter takes the spans with odd numbers.
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
	report := func(g, what, n int) {
		var b [reportSize]byte
		binary.LittleEndian.PutUint16(b[:], uint16(g))
		binary.LittleEndian.PutUint16(b[2:], uint16(what))
		binary.LittleEndian.PutUint32(b[4:], uint32(n))
		if _, err := os.Stdout.Write(b[:]); err != nil {
			panic(err)
		}
	}
	tp := provider(w)
	if args[3] == "exported" {
		tp.RegisterSpanProcessor(sdktrace.NewSimpleSpanProcessor(w.Exporter(oddTaker{report})))
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
				for range inner {
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

// oddTaker is an exporter that takes spans with odd numbers, and reports them.
type oddTaker struct{ report func(g, what, n int) }

func (e oddTaker) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		g, n := parseName(s.Name())
		if n%2 == 0 {
			return errors.New("even")
		}
		e.report(g, reportTaken, n)
	}
	return nil
}
func (oddTaker) Shutdown(context.Context) error { return nil }

// parseName takes the name of a span apart, into goroutine and number.
func parseName(name string) (g, n int) {
	if _, err := fmt.Sscanf(name, "%d-%d", &g, &n); err != nil {
		panic(err)
	}
	return g, n
}

type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// reported is what a goroutine of a child has done at least.
type reported struct {
	started, ended int
	taken          map[int]bool
}

// hasEnded tells whether the end of the n-th span is among those reported.
func (r *reported) hasEnded(n int) bool {
	blocks, rest := r.ended/(inner+1), r.ended%(inner+1)
	at := n - blocks*(inner+1) // 1 is the outer span of a block
	return at < 1 || at > 1 && at <= rest+1
}

// kill starts a child, kills it at a random moment and returns what its goroutines reported.
func kill(t *testing.T, goroutines int, args ...string) []reported {
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
	all := make([]reported, goroutines)
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
		r, number := &all[binary.LittleEndian.Uint16(b[:])], int(binary.LittleEndian.Uint32(b[4:]))
		switch binary.LittleEndian.Uint16(b[2:]) {
		case reportStarted:
			r.started = number
		case reportEnded:
			r.ended = number
		case reportTaken:
			if r.taken == nil {
				r.taken = map[int]bool{}
			}
			r.taken[number] = true
		}
	}
	_ = cmd.Wait() // killed
	return all
}

// TestKill kills children at random moments. Each span whose Start had returned has to be there, ended where its End had
// returned, unless the exporter has it; at most one more a goroutine of either; and nothing torn that passes for whole.
func TestKill(t *testing.T) {
	modes := []struct {
		name string
		size int
	}{
		{"mapped", journal.DefaultSegmentSize},
		{"mapped", 16 << 10}, // a new segment every 40 spans
		{"plain", 64 << 10},
		{"exported", 8 << 10},
	}
	for round := range *rounds {
		mode := modes[round%len(modes)]
		goroutines := 1 + rand.IntN(4)
		dir := t.TempDir()
		reports := kill(t, goroutines, dir, strconv.Itoa(goroutines), strconv.Itoa(mode.size), mode.name)
		c := readAll(t, dir)
		finished, unfinished := byGoroutine(t, c.finished, goroutines), byGoroutine(t, c.unfinished, goroutines)
		for g, r := range reports {
			again := 0
			for n := 1; n <= r.started; n++ {
				there := finished[g][n] || r.taken[n]
				if r.hasEnded(n) && (!there || unfinished[g][n]) || !there && !unfinished[g][n] {
					t.Errorf("span %d-%d: ended %v, finished %v, unfinished %v, taken %v", g, n,
						r.hasEnded(n), finished[g][n], unfinished[g][n], r.taken[n])
				}
				if finished[g][n] && r.taken[n] {
					again++
				}
			}
			extra := len(finished[g]) + len(r.taken) - again - r.ended
			if again > 1 || extra < 0 || extra > 1 || len(unfinished[g]) > 3 || finished[g][r.started+2] {
				t.Errorf("goroutine %d: %d spans come twice, %d more are there than had ended, %d unfinished", g, again, extra,
					len(unfinished[g]))
			}
		}
		for _, s := range c.finished {
			if s.EndTimeUnixNano < s.StartTimeUnixNano || len(s.Attributes) != 1 {
				t.Errorf("finished: %v", s)
			}
		}
		for _, s := range c.unfinished {
			if s.EndTimeUnixNano != 0 || len(s.Attributes) != 1 {
				t.Errorf("unfinished: %v", s)
			}
		}
		if len(c.journals) != 1 || c.journals[0].Alive || c.damaged != 0 {
			t.Errorf("%d journals, the first %+v", len(c.journals), *c.journals[0])
		}
		if t.Failed() {
			t.Fatalf("round %d, %s segments of %d bytes", round, mode.name, mode.size)
		}
	}
}

// byGoroutine files the numbers of spans under their goroutines.
func byGoroutine(t *testing.T, spans []*tracepb.Span, goroutines int) []map[int]bool {
	t.Helper()
	list := make([]map[int]bool, goroutines)
	for g := range list {
		list[g] = map[int]bool{}
	}
	for _, s := range spans {
		g, n := parseName(s.Name)
		if list[g][n] {
			t.Errorf("span %s is there twice", s.Name)
		}
		list[g][n] = true
	}
	return list
}
