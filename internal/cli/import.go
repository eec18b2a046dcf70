package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
)

const importLong = `Put files of spans into the store, each as a run of its own.

A file is OTLP JSON lines, one OTLP JSON document, or OTLP protobuf, each also compressed with gzip or zstd; - is
standard input. The content tells the format, not the name. A damaged part is left out, named on stderr, and the exit
status is then 1; what lies around it is imported. A file that was imported before is not imported again.

A file that forkspan export or run -o wrote brings its runs back, with their ids, commands and processes. One that is in
the store is left as it is.

A folder is one of journals (forkspan.WithJournal): what dead processes left there becomes one run, and is removed.`

const importExample = `  forkspan import trace.jsonl
  forkspan import *.json.gz --name nightly
  curl -s https://ci.example/trace.pb | forkspan import -`

func newImport(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "import FILE…",
		Short:   "Put files of spans into the store",
		Long:    importLong,
		Example: importExample,

		ValidArgsFunction: completeFiles,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no file to import")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importFiles(cmd.Context(), args, name)
		},
	}
	a.addStoreFlags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "`name` of the run (default: the file's)")
	return cmd
}

func (a *app) importFiles(ctx context.Context, paths []string, name string) error {
	db, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	failed := false
	for _, path := range paths {
		take := a.importFile
		if isFolder(path) {
			take = a.importJournals
		}
		if err := take(ctx, db, path, name); err != nil {
			failed = true
			if a.report(err) == statusInterrupted {
				return &exitError{status: statusInterrupted}
			}
		}
	}
	if err := db.EnforceCaps(ctx); err != nil {
		return err
	}
	if failed {
		return &exitError{status: statusError}
	}
	return nil
}

func (a *app) importFile(ctx context.Context, db *store.Store, path, name string) error {
	f, err := a.openImport(path)
	if err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	defer f.close()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = a.importOpened(ctx, db, f, path, name)
	if ctx.Err() != nil {
		return &exitError{status: statusInterrupted, err: fmt.Errorf("import %s: interrupted; the run is not kept", path)}
	}
	return err
}

// importOpened imports a file. The run that an error breaks off is removed again.
func (a *app) importOpened(ctx context.Context, db *store.Store, f *importedFile, path, name string) error {
	i := importing{app: a, db: db, path: path, name: name}
	progress := a.newProgress("importing "+path, f.size)
	spans := int64(0)
	i.file.Request = func(body []byte, sum otlp.Summary) error {
		if i.run == nil { // a file that says nothing of runs is one
			if err := i.begin(ctx, i.ofContent(f.id), nil); err != nil {
				return err
			}
		}
		spans += int64(sum.Spans)
		progress.show(f.read, spans)
		if err := ctx.Err(); err != nil || i.skip {
			return err
		}
		i.spans += int64(sum.Spans)
		return db.Append(ctx, i.run.ID, body, sum)
	}
	i.file.Head = func(h spanfile.Head) error {
		if err := i.end(ctx); err != nil {
			return err
		}
		return i.begin(ctx, h.Run, h.Processes)
	}
	err := i.file.Read(f)
	progress.done()
	if err == nil && i.file.Requests == 0 {
		err = noSpans("import", path)
	} else if err != nil {
		err = fmt.Errorf("import %s: %w", path, err)
	}
	if err != nil {
		if i.run != nil && !i.skip {
			err = errors.Join(err, db.Remove(context.WithoutCancel(ctx), i.run.ID))
		}
		_ = a.warn(path, i.file.Problems) // they say why
		return err
	}
	if err := i.end(ctx); err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	return a.warn(path, i.file.Problems)
}

// finishImport completes the run with its account.
func finishImport(ctx context.Context, db *store.Store, run *store.Run, file *spanfile.Reader) error {
	traces, err := db.Traces(ctx, run.ID)
	if err != nil {
		return err
	}
	processes, err := db.Processes(ctx, run.ID)
	if err != nil {
		return err
	}
	run.Account.Traces, run.Account.Processes = int64(len(traces)), int64(len(processes))
	if n := spanfile.CountProblems(file.Problems); n > 0 {
		run.Account.Dropped = map[string]int64{"damaged": int64(n)}
	}
	run.End = time.Now()
	return db.PutRun(ctx, *run)
}

// importedFile is a file to import, with the run id that its content gives: the same content is the same run.
type importedFile struct {
	*os.File
	id        string
	size      int64
	read      int64 // bytes
	temporary bool  // to be removed at the end
}

func (f *importedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.read += int64(n)
	return n, err
}

func (f *importedFile) close() {
	_ = f.File.Close()
	if f.temporary {
		_ = os.Remove(f.File.Name())
	}
}

// openImport opens path and reads it once for its id. Standard input, which can be read but once, is kept in a temporary file.
func (a *app) openImport(path string) (*importedFile, error) {
	f := &importedFile{}
	var err error
	if path == "-" {
		if f.File, err = os.CreateTemp("", "forkspan-import-"); err == nil {
			f.temporary = os.Remove(f.File.Name()) != nil // where an open file can be removed, none is left whatever happens
			_, err = io.Copy(f.File, a.Stdin)
		}
	} else {
		f.File, err = os.Open(path)
	}
	if err == nil {
		err = f.identify()
	}
	if err != nil {
		if f.File != nil {
			f.close()
		}
		if pathErr, ok := errors.AsType[*os.PathError](err); ok {
			err = pathErr.Err
		}
		return nil, err
	}
	return f, nil
}

func (f *importedFile) identify() error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	hash := sha256.New()
	var err error
	if f.size, err = io.Copy(hash, f.File); err != nil {
		return err
	}
	f.id = store.RunIDOf(hash.Sum(nil))
	_, err = f.Seek(0, io.SeekStart)
	return err
}
