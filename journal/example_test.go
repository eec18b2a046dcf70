package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"forkspan.dev/forkspan/journal"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// exampleFolder makes a folder for an example.
func exampleFolder() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}

func ExampleCreate() {
	dir, remove := exampleFolder()
	defer remove()
	ctx := context.Background()

	w, err := journal.Create(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w))
	_, span := tp.Tracer("engine").Start(ctx, "Load model")
	span.End() // from here on the span survives the death of the process

	s := w.Stats()
	fmt.Println(s.Started, s.Ended, s.Lost)
	_ = tp.Shutdown(ctx)
	// Output: 1 1 0
}

func ExampleWriter_Exporter() {
	dir, remove := exampleFolder()
	defer remove()
	ctx := context.Background()

	w, err := journal.Create(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	exporter := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(w), // first, since it has to know a span before it is exported
		sdktrace.WithBatcher(w.Exporter(exporter)),
	)
	_, span := tp.Tracer("engine").Start(ctx, "Load model")
	span.End()
	_ = tp.Shutdown(ctx) // exports, and removes the journal

	left, err := os.ReadDir(dir)
	fmt.Println(len(left), err)
	// Output: 0 <nil>
}

func ExampleRecover() {
	dir, remove := exampleFolder()
	defer remove()
	ctx := context.Background()
	w, err := journal.Create(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w)).Tracer("engine")
	ctx, _ = tracer.Start(ctx, "Serve")
	_, load := tracer.Start(ctx, "Load model")
	load.End()
	_ = w.Shutdown(ctx) // or the process dies

	err = journal.Recover(ctx, dir, func(j *journal.Journal) error {
		fmt.Println(j.Finished, "finished,", j.Unfinished, "unfinished")
		for body := range j.Requests() {
			var request tracepb.TracesData
			if err := proto.Unmarshal(body, &request); err != nil {
				return err
			}
			fmt.Println(request.ResourceSpans[0].ScopeSpans[0].Spans[0].Name)
		}
		return nil // and the journal is removed
	})
	fmt.Println(err)
	// Output:
	// 1 finished, 1 unfinished
	// Load model
	// <nil>
}

func ExampleJournal_Deliver() {
	dir, remove := exampleFolder()
	defer remove()
	ctx := context.Background()
	w, err := journal.Create(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w)).Tracer("engine")
	for range 600 {
		_, span := tracer.Start(ctx, "Step")
		span.End()
	}
	_ = w.Shutdown(ctx) // or the process dies

	recover := func(requests int) { // as many as the collector takes
		err := journal.Recover(ctx, dir, func(j *journal.Journal) error {
			fmt.Print(j.Finished, " spans: ")
			return j.Deliver(func([]byte) (taken bool, err error) {
				if requests--; requests < 0 {
					return false, errors.New("the collector is down")
				}
				return true, nil
			})
		})
		fmt.Println(err)
	}
	recover(1)
	recover(10)
	// Output:
	// 600 spans: the collector is down
	// 88 spans: <nil>
}

func ExampleAll() {
	dir, remove := exampleFolder()
	defer remove()
	ctx := context.Background()
	w, err := journal.Create(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = w.Shutdown(ctx) }()
	sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w)).Tracer("engine").Start(ctx, "Serve")

	for j, err := range journal.All(dir) {
		fmt.Println(j.PID == os.Getpid(), j.Alive, j.Unfinished, err)
	}
	// Output: true true 1 <nil>
}

func ExampleTail() {
	dir, remove := exampleFolder()
	defer remove()
	ctx := context.Background()
	w, err := journal.Create(dir) // in another process, as a rule
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = w.Shutdown(ctx) }()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w)).Tracer("engine")

	tail := journal.NewTail(dir)
	poll := func() {
		added, err := tail.Poll()
		if err != nil {
			fmt.Println(err)
		}
		for _, j := range added {
			fmt.Println(j.Finished, "finished,", j.Unfinished, "started")
		}
		_ = tail.Consume() // once the spans are kept elsewhere
	}
	_, span := tracer.Start(ctx, "Load model")
	poll()
	span.End()
	poll()
	// Output:
	// 0 finished, 1 started
	// 1 finished, 0 started
}
