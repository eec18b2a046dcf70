package cli

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// The formats of files of spans.
const (
	formatJSON     = "otlp-json"  // OTLP JSON lines
	formatProtobuf = "otlp-proto" // requests, each after its length in four bytes, big endian, as the Collector's file exporter has them
)

// formatByName is the format that a file's name asks for.
func formatByName(path string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch filepath.Ext(name) {
	case ".pb", ".binpb", ".proto", ".otlp":
		return formatProtobuf
	}
	return formatJSON
}

// spanFile writes requests in one of the formats.
type spanFile struct {
	format string
	redact bool
	// processes has a span written for each process of a run, too, behind its requests.
	processes bool

	to      io.Writer
	closers []func() error // from the last to the first that what is written goes through
	buf     []byte
	begun   bool

	tree *commandspan.Tree // of the run whose requests are written; nil where no spans of its processes are wanted
	of   []store.Process
	made int // spans of processes
}

// newSpanFile returns a file that is written to w, compressed as its name says. finish must be called.
func newSpanFile(w io.Writer, name, format string) (*spanFile, error) {
	buffered := bufio.NewWriterSize(w, 1<<16)
	f := &spanFile{format: format, to: buffered, closers: []func() error{buffered.Flush}}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".gz":
		packed := gzip.NewWriter(buffered)
		f.to, f.closers = packed, append(f.closers, packed.Close)
	case ".zst":
		packed, err := zstd.NewWriter(buffered, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		f.to, f.closers = packed, append(f.closers, packed.Close)
	}
	return f, nil
}

func (f *spanFile) finish() error {
	if err := f.endRun(); err != nil {
		return err
	}
	for i := len(f.closers) - 1; i >= 0; i-- {
		if err := f.closers[i](); err != nil {
			return err
		}
	}
	return nil
}

// head writes what there is to say of the run whose requests follow.
func (f *spanFile) head(run store.Run, processes []store.Process) error {
	h := fileHead{run, processes}
	body, err := h.encode(f.redact)
	if err == nil {
		err = f.endRun()
	}
	if err != nil {
		return err
	}
	if f.processes {
		f.tree, f.of = commandspan.NewTree(run.ID, run.Name, run.TraceID, run.SpanID), processes
	}
	return f.write(body)
}

// endRun writes what is to follow the requests of the run that was written last.
func (f *spanFile) endRun() error {
	if f.tree == nil {
		return nil
	}
	bodies := f.tree.Requests(f.of)
	f.tree, f.of = nil, nil
	for _, body := range bodies {
		_, sum, _, _, _ := otlp.Scan(body)
		f.made += sum.Spans
		if err := f.write(body); err != nil {
			return err
		}
	}
	return nil
}

// add writes a request.
func (f *spanFile) add(body []byte) error {
	if f.redact {
		body, _ = otlp.Redact(body, otlp.Summary{})
	}
	if f.tree != nil {
		f.tree.See(body)
	}
	return f.write(body)
}

func (f *spanFile) write(body []byte) (err error) {
	f.buf = f.buf[:0]
	if f.format == formatProtobuf {
		// Files that begin with a zero are read as a row of requests; a very long one first would not.
		if !f.begun && len(body) >= 1<<24 {
			f.buf = binary.BigEndian.AppendUint32(f.buf, 0)
		}
		f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(len(body)))
		if _, err := f.to.Write(f.buf); err != nil {
			return err
		}
		f.begun = true
		_, err = f.to.Write(body)
		return err
	}
	if f.buf, err = otlp.AppendJSON(f.buf, body); err != nil {
		return err
	}
	_, err = f.to.Write(append(f.buf, '\n'))
	return err
}

// addRun writes a run with its head. requests is called twice. What forkspan stored of a span of its own when it began is left
// out when the whole span follows.
func (f *spanFile) addRun(run store.Run, processes []store.Process, requests func() iter.Seq2[store.Request, error]) error {
	whole, err := wholeSpans(requests())
	if err == nil {
		err = f.head(run, processes)
	}
	if err != nil {
		return err
	}
	for request, err := range requests() {
		if err != nil {
			return err
		}
		if isBeginning(request.Body, whole) {
			continue
		}
		if err := f.add(request.Body); err != nil {
			return err
		}
	}
	return nil
}

// placeFile makes the file at path with what fill writes. It appears whole or not at all; what is no regular file (a pipe,
// /dev/stderr) is written to directly.
func placeFile(path string, fill func(w io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	special, err := isSpecial(path)
	if err != nil {
		return err
	}
	if special {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return bare(err)
		}
		return errors.Join(fill(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return bare(err)
	}
	err = errors.Join(fill(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(bare(err), os.Remove(f.Name()))
	}
	return nil
}

// ownSpans returns the spans of a request if a forkspan made them.
func ownSpans(body []byte) []otlp.Span {
	_, sum, _, _, err := otlp.Scan(body)
	if err != nil || !commandspan.Made(body, sum) {
		return nil
	}
	spans, err := otlp.Decode(body)
	if err != nil {
		return nil
	}
	return spans
}

// wholeSpans returns the spans that forkspans made and that have ended.
func wholeSpans(requests iter.Seq2[store.Request, error]) (map[otlp.SpanID]bool, error) {
	whole := make(map[otlp.SpanID]bool)
	for request, err := range requests {
		if err != nil {
			return nil, err
		}
		for _, span := range ownSpans(request.Body) {
			if span.End != 0 {
				whole[span.SpanID] = true
			}
		}
	}
	return whole, nil
}

// isBeginning tells whether a request holds nothing but unfinished spans that are there as a whole too.
func isBeginning(body []byte, whole map[otlp.SpanID]bool) bool {
	spans := ownSpans(body)
	for _, span := range spans {
		if span.End != 0 || !whole[span.SpanID] {
			return false
		}
	}
	return len(spans) > 0
}
