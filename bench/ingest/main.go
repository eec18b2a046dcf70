// Command ingest measures trace receivers from the outside: it starts each with a command of its own, sends it batches of spans,
// and prints spans per second, CPU per span, peak memory, bytes on disk per span and the time to find a trace by its id.
//
//	ingest -spans 2000000 -rounds 5 \
//		-target 'name=forkspan proto=grpc addr=127.0.0.1:14317 data={dir} query=http://127.0.0.1:14318/trace/{trace} server=receiver -dir {dir}' \
//		-target 'name=other proto=http addr=127.0.0.1:10428 path=/v1/traces data={dir} query=http://… server=other -data {dir}'
//
// A target is a list of key=value; server comes last and takes the rest. {dir} is a fresh folder, {trace} a trace id. The
// targets take turns in every round, so that each is measured beside the others, and the medians are printed at the end. With
// -beside each is measured twice in a round, the second time while that command runs.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var targets []target
	var opts options
	flag.IntVar(&opts.spans, "spans", 2_000_000, "spans to send in each round")
	flag.IntVar(&opts.batch, "batch", 512, "spans a request")
	flag.IntVar(&opts.senders, "senders", 4, "concurrent senders, each with a connection of its own")
	rounds := flag.Int("rounds", 5, "rounds")
	flag.StringVar(&opts.dir, "dir", os.TempDir(), "folder in which the receivers' data folders are made")
	flag.StringVar(&opts.beside, "beside", "", "command that runs beside a receiver, once it has printed a line")
	flag.Func("target", "a receiver, see the package comment; may be repeated", func(s string) error {
		t, err := parseTarget(s)
		targets = append(targets, t)
		return err
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, opts, targets, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}

// options are the same for all targets.
type options struct {
	spans, batch, senders int
	dir, beside           string
}

// target is a receiver and how it is spoken to.
type target struct {
	name, proto, addr, path, data, query, server string
}

func parseTarget(s string) (target, error) {
	t := target{proto: "grpc", path: "/v1/traces", data: "{dir}"}
	for s = strings.TrimSpace(s); s != ""; {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return t, fmt.Errorf("%q is not key=value", s)
		}
		if key == "server" {
			t.server, s = rest, ""
			break
		}
		value, rest, _ := strings.Cut(rest, " ")
		s = strings.TrimSpace(rest)
		fields := map[string]*string{
			"name": &t.name, "proto": &t.proto, "addr": &t.addr, "path": &t.path, "data": &t.data, "query": &t.query,
		}
		field := fields[key]
		if field == nil {
			return t, fmt.Errorf("unknown key %q", key)
		}
		*field = value
	}
	if t.name == "" || t.addr == "" || t.server == "" {
		return t, errors.New("name, addr and server must be given")
	}
	return t, nil
}

func run(ctx context.Context, opts options, targets []target, rounds int) error {
	if len(targets) == 0 {
		return errors.New("no -target given")
	}
	fmt.Printf("%s %s/%s, %d CPUs; %d spans of %d bytes, %d a request, %d senders\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), opts.spans, len(newBatch(opts.batch, 1).body)/opts.batch, opts.batch, opts.senders)
	var names []string
	results := make(map[string][]result)
	add := func(name string, r result) {
		fmt.Printf("%-24s %s\n", name, r)
		if results[name] == nil {
			names = append(names, name)
		}
		results[name] = append(results[name], r)
	}
	for range rounds {
		for _, t := range targets {
			r, err := measure(ctx, opts, t, "")
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			add(t.name, r)
			if opts.beside == "" {
				continue
			}
			if r, err = measure(ctx, opts, t, opts.beside); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			add(t.name+", disturbed", r)
		}
	}
	fmt.Printf("medians of %d rounds\n", rounds)
	for _, name := range names {
		fmt.Printf("%-24s %s\n", name, medians(results[name]))
	}
	return nil
}

// result is what one round measured.
type result struct {
	rate    float64       // spans a second, until the last was acknowledged
	cpu     float64       // µs of the receiver's CPU a span, until it has ended
	memory  float64       // MiB, peak resident
	disk    float64       // bytes a span, after the receiver has ended
	find    time.Duration // a trace by id, median of those asked for
	slowest time.Duration // the slowest of them
	again   int64         // requests sent again
	sending time.Duration // from the first request to the last answer
	beside  time.Duration // CPU that the command beside it took meanwhile; 0 for none
}

func (r result) String() string {
	line := fmt.Sprintf("%8.0f spans/s  %6.2f µs CPU/span  %6.1f MiB peak  %5.1f B/span on disk  trace by id %v (slowest %v)",
		r.rate, r.cpu, r.memory, r.disk, r.find.Round(10*time.Microsecond), r.slowest.Round(10*time.Microsecond))
	if r.beside > 0 {
		line += fmt.Sprintf("  beside it %.2f CPUs  %d sent again", r.beside.Seconds()/r.sending.Seconds(), r.again)
	}
	return line
}

func medians(all []result) result {
	return result{
		rate:    median(all, func(r result) float64 { return r.rate }),
		cpu:     median(all, func(r result) float64 { return r.cpu }),
		memory:  median(all, func(r result) float64 { return r.memory }),
		disk:    median(all, func(r result) float64 { return r.disk }),
		find:    median(all, func(r result) time.Duration { return r.find }),
		slowest: median(all, func(r result) time.Duration { return r.slowest }),
		again:   median(all, func(r result) int64 { return r.again }),
		sending: median(all, func(r result) time.Duration { return r.sending }),
		beside:  median(all, func(r result) time.Duration { return r.beside }),
	}
}

func median[T any, N cmp.Ordered](all []T, of func(T) N) N {
	values := make([]N, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// measure runs one round with a fresh receiver, and a command beside it unless that is empty.
func measure(ctx context.Context, opts options, t target, command string) (r result, err error) {
	dir, err := os.MkdirTemp(opts.dir, "ingest-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cpu := func() (time.Duration, error) { return 0, nil }
	if command != "" {
		other, err := startBeside(ctx, command)
		if err != nil {
			return r, err
		}
		defer other.stop()
		cpu = other.cpu
	}
	server, err := startServer(ctx, t, dir)
	if err != nil {
		return r, err
	}
	defer func() {
		err = errors.Join(err, server.stop(&r, opts, filepath.Clean(strings.ReplaceAll(t.data, "{dir}", dir))))
	}()
	if command != "" {
		time.Sleep(headStart)
	}
	before, err := cpu()
	if err != nil {
		return r, err
	}
	began := time.Now()
	sent, again, err := sendAll(ctx, opts, t)
	if err != nil {
		return r, err
	}
	r.sending, r.again = time.Since(began), again
	after, err := cpu()
	if err != nil {
		return r, err
	}
	r.beside = after - before
	r.rate = float64(opts.spans) / r.sending.Seconds()
	if t.query != "" {
		if r.find, r.slowest, err = findTraces(ctx, t, sent); err != nil {
			return r, err
		}
	}
	return r, nil
}
