package spanfile

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// The formats of files of spans.
const (
	FormatJSON     = "otlp-json"  // OTLP JSON lines
	FormatProtobuf = "otlp-proto" // requests, each after its length in four bytes, big endian, as the Collector's file exporter has them
)

// FormatByName is the format that a file's name asks for.
func FormatByName(path string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path), ".gz"), ".zst")
	switch filepath.Ext(name) {
	case ".pb", ".binpb", ".proto", ".otlp":
		return FormatProtobuf
	}
	return FormatJSON
}

// Writer writes requests in one of the formats. Redact and Processes are to be set before anything is written.
type Writer struct {
	Redact    bool // hide secrets in the spans
	Processes bool // write a span for each process of a run, too, behind its requests

	Spans int // how many were written

	format string

	to      io.Writer
	closers []func() error // from the last to the first that what is written goes through
	buf     []byte
	begun   bool

	tree *commandspan.Tree // of the run whose requests are written; nil where no spans of its processes are wanted
	of   []store.Process
}

// NewWriter returns a file that is written to w, compressed as its name says. Finish must be called.
func NewWriter(w io.Writer, name, format string) (*Writer, error) {
	buffered := bufio.NewWriterSize(w, 1<<16)
	f := &Writer{format: format, to: buffered, closers: []func() error{buffered.Flush}}
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

// Finish writes what is held back. It does not close the file.
func (f *Writer) Finish() error {
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

// Head writes what there is to say of the run whose requests follow.
func (f *Writer) Head(run store.Run, processes []store.Process) error {
	h := Head{run, processes}
	body, err := h.encode(f.Redact)
	if err == nil {
		err = f.endRun()
	}
	if err != nil {
		return err
	}
	if f.Processes {
		f.tree, f.of = commandspan.NewTree(run.ID, run.Name, run.TraceID, run.SpanID), processes
	}
	return f.write(body)
}

// endRun writes what is to follow the requests of the run that was written last.
func (f *Writer) endRun() error {
	if f.tree == nil {
		return nil
	}
	bodies := f.tree.Requests(f.of)
	f.tree, f.of = nil, nil
	for _, body := range bodies {
		if err := f.write(body); err != nil {
			return err
		}
	}
	return nil
}

// Add writes a request.
func (f *Writer) Add(body []byte) error {
	if f.Redact {
		body, _ = otlp.Redact(body, otlp.Summary{})
	}
	if f.tree != nil {
		f.tree.See(body)
	}
	return f.write(body)
}

func (f *Writer) write(body []byte) (err error) {
	_, sum, _, _, _ := otlp.Scan(body)
	f.Spans += sum.Spans
	f.buf = f.buf[:0]
	if f.format == FormatProtobuf {
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

// AddRun writes a run with its head. What was stored of a span when it began is left out when the whole span is there. requests is
// called up to three times.
func (f *Writer) AddRun(run store.Run, processes []store.Process, requests func() iter.Seq2[store.Request, error]) error {
	begun, err := findBeginnings(requests)
	if err == nil {
		err = f.Head(run, processes)
	}
	if err != nil {
		return err
	}
	for request, err := range requests() {
		if err != nil {
			return err
		}
		body, err := begun.without(request.Body)
		if err == nil && body != nil {
			err = f.Add(body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
