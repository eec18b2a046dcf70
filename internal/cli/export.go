package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
)

const exportLong = `Write runs to a file that forkspan import, every command that reads, and other OpenTelemetry tools take.

` + referenceHelp + `
Several runs become one file.

The format is OTLP JSON lines, or OTLP protobuf when the file's name ends in .pb; with .gz or .zst after that it is
compressed. Imported again it is the same run: its id, its command and processes, each span and, in protobuf, each
request to the byte. Unfinished spans are in it, without an end. A file appears whole or not at all.`

const exportExample = `  forkspan export -o last.jsonl.gz              # the latest run
  forkspan export 7K3F -o 7K3F.pb.zst
  forkspan export --redact last -2 -o both.jsonl
  forkspan export 7K3F | jq .resourceSpans`

// exportFlags are the flags of `forkspan export`.
type exportFlags struct {
	output    string
	format    string
	all       bool
	processes bool
}

func newExport(a *app) *cobra.Command {
	var f exportFlags
	cmd := references(&cobra.Command{
		Use:               "export [RUN…|FILE…]",
		Short:             "Write runs to a file",
		Long:              exportLong,
		Example:           exportExample,
		ValidArgsFunction: a.completeReferences(1 << 10),
		Args: func(_ *cobra.Command, args []string) error {
			if f.all && len(args) > 0 {
				return errors.New("export: runs and --all exclude each other")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.exportRuns(cmd.Context(), f, args) },
	})
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "-", "`FILE` to write; - for standard output")
	choice(flags, &f.format, "format", "", []string{spanfile.FormatJSON, spanfile.FormatProtobuf}, "`format`: otlp-json or otlp-proto (default: as the file's name says)")
	flags.BoolVar(&f.all, "all", false, "all runs, and what was received without one")
	flags.BoolVar(&f.processes, "processes", false, "write a span for each process of a run, too")
	a.addRedactFlag(cmd, "hide secrets in the spans")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFiles) // these fail for an unknown flag only
	_ = cmd.RegisterFlagCompletionFunc("format", completeWords(spanfile.FormatJSON, spanfile.FormatProtobuf))
	return cmd
}

func (a *app) exportRuns(ctx context.Context, f exportFlags, refs []string) error {
	if f.format == "" {
		f.format = spanfile.FormatByName(f.output)
	}
	_, _, terminal := terminalSize(a.Stdout)
	if f.output == "-" && f.format == spanfile.FormatProtobuf && terminal {
		return withHint(&exitError{status: statusUsage, err: errors.New("export: protobuf is nothing for a terminal")}, "-o FILE, or a pipe")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(refs) == 0 {
		refs = []string{""}
	}
	e := exporter{app: a, flags: f, progress: a.newProgress("exporting", 0), problems: map[string][]spanfile.Problem{}}
	var err error
	if f.output == "-" {
		err = e.fill(ctx, a.Stdout, refs)
	} else {
		err = spanfile.Place(f.output, func(w io.Writer) error { return e.fill(ctx, w, refs) })
	}
	e.progress.done()
	if err != nil {
		if ctx.Err() != nil {
			return &exitError{status: statusInterrupted, err: errors.New("export: interrupted; no file was written")}
		}
		return fmt.Errorf("export: %w", err)
	}
	if f.output != "-" {
		a.note(fmt.Sprintf("%s in %s", counted(e.file.Spans, "span", "spans"), f.output))
	}
	var failed error
	for path, problems := range e.problems {
		failed = errors.Join(failed, a.warn(path, problems))
	}
	return failed
}

// exporter is one `forkspan export`.
type exporter struct {
	*app
	flags    exportFlags
	file     *spanfile.Writer
	progress *progress
	problems map[string][]spanfile.Problem
}

// fill writes all that the references name to w.
func (e *exporter) fill(ctx context.Context, w io.Writer, refs []string) (err error) {
	if e.file, err = spanfile.NewWriter(w, e.flags.output, e.flags.format); err != nil {
		return err
	}
	e.file.Redact, e.file.Processes = e.storing.redact, e.flags.processes
	if e.flags.all {
		err = e.addAll(ctx)
	} else {
		for _, ref := range refs {
			if err = e.add(ctx, ref); err != nil {
				break
			}
		}
	}
	return errors.Join(err, e.file.Finish())
}

func (e *exporter) add(ctx context.Context, ref string) error {
	r, err := e.resolve(ctx, ref)
	if err != nil {
		return err
	}
	defer r.close()
	switch {
	case r.run != nil:
		return e.addRun(ctx, r.db, *r.run)
	case r.trace != nil:
		return e.addTrace(ctx, r.db, *r.trace)
	}
	return e.addFile(ctx, r.file)
}

func (e *exporter) addAll(ctx context.Context) error {
	db, err := e.openExisting(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	runs, err := db.Runs(ctx)
	if err != nil {
		return err
	}
	for request, err := range e.showing(ctx, db.Requests(ctx, "")) { // first: what follows a head belongs to it
		if err == nil {
			err = e.file.Add(request.Body)
		}
		if err != nil {
			return err
		}
	}
	for i := len(runs) - 1; i >= 0; i-- {
		if err := e.addRun(ctx, db, runs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) addRun(ctx context.Context, db *store.Store, run store.Run) error {
	processes, err := db.Tree(ctx, run.ID)
	if err != nil {
		return err
	}
	passes := 0
	return e.file.AddRun(run, processes, func() iter.Seq2[store.Request, error] {
		if passes++; passes == 1 {
			return db.Requests(ctx, run.ID)
		}
		return e.showing(ctx, db.Requests(ctx, run.ID))
	})
}

// addTrace writes the spans of one trace.
func (e *exporter) addTrace(ctx context.Context, db *store.Store, id otlp.TraceID) error {
	for request, err := range e.showing(ctx, db.Trace(ctx, id)) {
		if err == nil {
			err = e.file.Add(otlp.OnlyTrace(request.Body, id))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addFile writes another file's spans, and what it says of runs.
func (e *exporter) addFile(ctx context.Context, path string) error {
	file := spanfile.Reader{
		Request: func(body []byte, _ otlp.Summary) error {
			e.progress.show(0, int64(e.file.Spans))
			return errors.Join(ctx.Err(), e.file.Add(body))
		},
		Head: func(h spanfile.Head) error { return e.file.Head(h.Run, h.Processes) },
	}
	if _, err := e.readTraceFile(path, &file); err != nil {
		return err
	}
	e.problems[path] = file.Problems
	if file.Requests == 0 {
		return noSpans("read", path)
	}
	return nil
}

// showing passes requests on until ctx ends, and shows how many spans have been written.
func (e *exporter) showing(ctx context.Context, requests iter.Seq2[store.Request, error]) iter.Seq2[store.Request, error] {
	return func(yield func(store.Request, error) bool) {
		for request, err := range requests {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				e.progress.show(0, int64(e.file.Spans))
			}
			if !yield(request, err) {
				return
			}
		}
	}
}
