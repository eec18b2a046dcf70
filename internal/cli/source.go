package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/redact"
	"forkspan.dev/forkspan/internal/spanfile"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// referenceHelp is part of the help of every command that reads runs.
const referenceHelp = `A run is named by: nothing or "last" for the latest, -2 for the one before it, a prefix of its id, its --name,
the id of one of its traces (8 digits or more), a file of spans (OTLP JSON lines, JSON or protobuf, also
compressed; - for standard input), or a folder of journals.`

// source is what a user named, with its spans.
type source struct {
	title    string
	run      *store.Run // nil for a file, or a trace of no run
	trace    *otlp.TraceID
	spans    []otlp.Span
	tree     []store.Process // of the run, by their start; nil when nobody watched it
	problems []spanfile.Problem
}

// leastTraceDigits is how much of a trace id names it.
const leastTraceDigits = 8

// reference is what a user named: one of its members but db is set. A run or a trace keeps the store open until close.
type reference struct {
	file  string
	run   *store.Run
	trace *otlp.TraceID
	db    *store.Store
}

func (r *reference) close() {
	if r.db != nil {
		_ = r.db.Close() // nothing was written that anybody waits for
	}
}

// load finds what ref names and reads its spans. The references are those of [referenceHelp].
func (a *app) load(ctx context.Context, ref string) (*source, error) {
	r, err := a.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return a.loadFound(ctx, r)
}

func (a *app) loadFound(ctx context.Context, r reference) (*source, error) {
	switch {
	case r.run != nil && r.run.Kind == scriptKind:
		return loadScript(ctx, r.db, *r.run)
	case r.run != nil:
		src, err := loadRun(ctx, r.db, *r.run)
		if err == nil {
			src.title += partOf(ctx, r.db, *r.run)
		}
		return src, err
	case r.trace != nil:
		return loadTrace(ctx, r.db, *r.trace)
	}
	return a.loadFile(r.file)
}

// resolve finds what ref names.
func (a *app) resolve(ctx context.Context, ref string) (reference, error) {
	ref = plainReference(ref)
	if ref == "-" || looksLikePath(ref) && fileExists(ref) {
		return reference{file: ref}, nil
	}
	db, err := a.openExisting(ctx)
	if errors.Is(err, errNothingRecorded) && ref != "" && fileExists(ref) {
		return reference{file: ref}, nil
	}
	if err != nil {
		return reference{}, err
	}
	r, err := find(ctx, db, ref)
	r.db = db
	if err != nil || r.file != "" {
		r.close()
		r.db = nil
	}
	return r, err
}

// find finds what ref names, the store being there.
func find(ctx context.Context, db *store.Store, ref string) (reference, error) {
	run, err := db.FindRun(ctx, ref)
	switch {
	case err == nil:
		return reference{run: &run}, nil
	case !errors.Is(err, store.ErrNotFound):
		return reference{}, withHint(err, "forkspan ls lists the runs")
	case ref == "" || ref == "last":
		return reference{}, nothingRecorded(db.Path())
	}
	trace, found, err := findTrace(ctx, db, ref)
	switch {
	case err != nil:
		return reference{}, err
	case found:
		return reference{trace: &trace}, nil
	case fileExists(ref):
		return reference{file: ref}, nil
	}
	return reference{}, noSuchRun(ref)
}

// findRun finds the run that ref names, without its spans.
func (a *app) findRun(ctx context.Context, db *store.Store, ref string) (store.Run, error) {
	ref = plainReference(ref)
	run, err := db.FindRun(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return run, noSuchRun(ref)
	}
	return run, withHint(err, "forkspan ls lists the runs")
}

func noSuchRun(ref string) error {
	switch info, err := os.Stat(ref); {
	case err == nil && info.IsDir():
		return withHint(fmt.Errorf("open %s: no journals in it", ref), "a program writes them with forkspan.WithJournal")
	case err != nil && looksLikePath(ref) && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("open %s: %w", ref, errors.Unwrap(err))
	case looksLikePath(ref):
		return fmt.Errorf("open %s: no such file", ref)
	}
	return withHint(fmt.Errorf("find run %s: no run, trace or file of that name", ref), "forkspan ls lists the runs")
}

// plainReference undoes [shieldReferences].
func plainReference(ref string) string {
	if rest, ok := strings.CutPrefix(ref, "@"); ok && isRelative(rest) {
		return rest
	}
	return ref
}

// plainReferences does so for each of several.
func plainReferences(refs []string) []string {
	plain := make([]string, len(refs))
	for i, ref := range refs {
		plain[i] = plainReference(ref)
	}
	return plain
}

func looksLikePath(ref string) bool {
	return strings.ContainsAny(ref, `/.`+string(filepath.Separator))
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && (!info.IsDir() || spanfile.HasJournals(path))
}

var errNothingRecorded = errors.New("nothing is recorded yet")

func nothingRecorded(path string) error {
	return withHint(fmt.Errorf("%w (%s)", errNothingRecorded, path),
		"forkspan run -- COMMAND records one, forkspan import FILE takes one from elsewhere")
}

// storeChosen tells whether the user has said which store to use.
func (a *app) storeChosen() bool { return a.dbPath != "" || a.Env("FORKSPAN_DB") != "" }

// storePath is the store's file, as --db or FORKSPAN_DB or the system has it, and a note for the user about it, mostly empty.
func (a *app) storePath() (path, note string) {
	if a.dbPath != "" {
		return a.dbPath, ""
	}
	if path := a.Env("FORKSPAN_DB"); path != "" {
		return path, ""
	}
	return store.DefaultPath(a.Env)
}

// openStore opens the store, and creates it when it is not there.
func (a *app) openStore(ctx context.Context) (*store.Store, error) {
	path, note := a.storePath()
	if note != "" {
		a.note(note)
	}
	return a.recovering(ctx)(store.Open(ctx, path, a.storeOptions(a.note)))
}

// openExisting opens the store for reading: where there is none, that is said and none is made.
func (a *app) openExisting(ctx context.Context) (*store.Store, error) {
	path, _ := a.storePath()
	if _, err := os.Stat(path); noPlace(err) {
		spare := store.SparePath() // where runs go that may not write to path
		switch {
		case !a.storeChosen() && fileExists(spare) && !canBeMade(path):
			a.note("there can be no store at " + path + "; this is the one at " + spare)
			path = spare
		case isMissing(path):
			return nil, nothingRecorded(path)
		}
	}
	return a.recovering(ctx)(store.Open(ctx, path, a.storeOptions(a.note)))
}

// note tells the user something that is no error. Whatever it was made of, there is no secret in it.
func (a *app) note(msg string) { fmt.Fprintln(a.Stderr, "forkspan: "+redact.String(msg)) }

func loadRun(ctx context.Context, db *store.Store, run store.Run) (*source, error) {
	spans, err := decodeAll(db.Requests(ctx, run.ID))
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w", run.ID, err)
	}
	return sourceOfRun(ctx, db, run, spans)
}

// sourceOfRun is a run with spans that have been read.
func sourceOfRun(ctx context.Context, db *store.Store, run store.Run, spans []otlp.Span) (*source, error) {
	tree, err := db.Tree(ctx, run.ID)
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w", run.ID, err)
	}
	return &source{title: runTitle(run), run: &run, spans: spans, tree: tree}, nil
}

// loadScript loads what scripts have made of a trace together with the runs of commands below it.
func loadScript(ctx context.Context, db *store.Store, run store.Run) (*source, error) {
	src, err := loadTrace(ctx, db, run.TraceID)
	if err != nil {
		return nil, err
	}
	src.title, src.run, src.trace = runTitle(run), &run, nil
	return src, nil
}

func loadTrace(ctx context.Context, db *store.Store, id otlp.TraceID) (*source, error) {
	spans, err := decodeAll(db.Trace(ctx, id))
	if err != nil {
		return nil, fmt.Errorf("read trace %x: %w", id, err)
	}
	kept := spans[:0]
	for _, s := range spans {
		if s.TraceID == id {
			kept = append(kept, s)
		}
	}
	return &source{title: fmt.Sprintf("trace %x", id), trace: &id, spans: kept}, nil
}

func decodeAll(requests iter.Seq2[store.Request, error]) ([]otlp.Span, error) {
	var spans []otlp.Span
	for request, err := range requests {
		if err != nil {
			return nil, err
		}
		decoded, err := otlp.Decode(request.Body)
		if err != nil {
			return nil, err
		}
		spans = append(spans, decoded...)
	}
	return spans, nil
}

// findTrace finds the trace that ref is the id of, or a prefix of it that no other has.
func findTrace(ctx context.Context, db *store.Store, ref string) (id otlp.TraceID, found bool, err error) {
	ref = strings.ToLower(ref)
	if len(ref) < leastTraceDigits || len(ref) > 2*len(id) || strings.Trim(ref, "0123456789abcdef") != "" {
		return id, false, nil
	}
	traces, err := db.Traces(ctx, "")
	if err != nil {
		return id, false, err
	}
	for _, t := range traces {
		if !strings.HasPrefix(hex.EncodeToString(t.TraceID[:]), ref) || found && t.TraceID == id {
			continue
		}
		if found {
			return id, false, fmt.Errorf("trace %s is ambiguous: %x, %x", ref, id, t.TraceID)
		}
		id, found = t.TraceID, true
	}
	return id, found, nil
}

// loadFile reads a file of spans without the store; damaged parts are the source's problems.
func (a *app) loadFile(path string) (*source, error) {
	src := &source{}
	var heads []spanfile.Head
	file := spanfile.Reader{
		Request: func(body []byte, _ otlp.Summary) error {
			spans, err := otlp.Decode(body)
			src.spans = append(src.spans, spans...)
			return err
		},
		Head: func(h spanfile.Head) error {
			heads = append(heads, h)
			return nil
		},
	}
	var err error
	if src.title, err = a.readTraceFile(path, &file); err != nil {
		return nil, err
	}
	src.problems = file.Problems
	if len(heads) == 1 {
		src.run, src.tree, src.title = &heads[0].Run, heads[0].Processes, runTitle(heads[0].Run)
	}
	if len(src.spans) == 0 {
		_ = a.warn(path, src.problems) // they say why
		return nil, noSpans("read", path)
	}
	return src, nil
}

// noSpans is the error of a file without any.
func noSpans(verb, path string) error {
	return withHint(fmt.Errorf("%s %s: no spans in it", verb, path), "forkspan reads OTLP: JSON lines, JSON or protobuf")
}

// readFile calls request with each OTLP request of a file, - for standard input. It returns the file's title and what of it
// could not be read.
func (a *app) readFile(path string, request func(body []byte) error) (title string, problems []spanfile.Problem, err error) {
	file := spanfile.Reader{Request: func(body []byte, _ otlp.Summary) error { return request(body) }}
	title, err = a.readTraceFile(path, &file)
	return title, file.Problems, err
}

// readTraceFile reads the file at path, - for standard input, or the folder of journals, and returns its title.
func (a *app) readTraceFile(path string, file *spanfile.Reader) (title string, err error) {
	if spanfile.HasJournals(path) {
		if err := file.ReadJournals(path); err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		return filepath.Base(path), nil
	}
	var in io.Reader = a.Stdin
	title = "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in, title = f, filepath.Base(path)
	}
	if err := file.Read(in); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return title, nil
}

// timelineOptions are what the run tells about its spans' places.
func (s *source) timelineOptions() timeline.Options {
	var opts timeline.Options
	if s.run == nil {
		return opts
	}
	opts.System = systemFacts(s.tree)
	for _, id := range []otlp.SpanID{s.run.SpanID, s.run.ParentID} {
		if id != (otlp.SpanID{}) && s.run.Kind != scriptKind {
			opts.AmbientParents = append(opts.AmbientParents, id)
		}
	}
	if s.run.Kind == "run" {
		opts.Start = s.run.Start.UnixNano()
	}
	if s.run.Exit == nil && recovery.Alive(*s.run) {
		opts.Now = time.Now().UnixNano()
	}
	if !s.run.Ready.IsZero() {
		opts.Ready = s.run.Ready.UnixNano()
	}
	return opts
}

// warn tells what of a file could not be read, and returns the error that ends the command: what could be read was used.
func (a *app) warn(path string, problems []spanfile.Problem) error {
	const most = 10
	for i, p := range problems {
		if i == most {
			fmt.Fprintf(a.Stderr, "forkspan: read %s: %d more\n", path, spanfile.CountProblems(problems)-most)
			break
		}
		fmt.Fprintf(a.Stderr, "forkspan: read %s: %s\n", path, redact.String(timeline.Clean(p.String())))
	}
	if len(problems) > 0 {
		return &exitError{status: statusError}
	}
	return nil
}
