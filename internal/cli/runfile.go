package cli

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
)

// writeFile writes the run to path as OTLP JSON lines, compressed when the name ends in .gz. The file appears whole or not
// at all; what is no regular file (a pipe, /dev/stderr) is written to directly.
func (r *localRun) writeFile(path string) (err error) {
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
		return errors.Join(r.writeLines(f, strings.HasSuffix(path, ".gz")), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return bare(err)
	}
	err = errors.Join(r.writeLines(f, strings.HasSuffix(path, ".gz")), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(bare(err), os.Remove(f.Name()))
	}
	return nil
}

// checkOutput tells before the command is started whether writeFile will find a place for the file; "" is no file. After an
// hour it would be too late. A pipe is not opened: that could wait for its reader.
func checkOutput(path string) error {
	if path == "" {
		return nil
	}
	special, err := isSpecial(path)
	if err == nil && !special {
		err = bare(tryFolder(filepath.Dir(path)))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// isSpecial tells whether there is something at path that is no regular file. A folder is an error.
func isSpecial(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return false, nil
	}
	if info.IsDir() {
		return false, errors.New("it is a folder")
	}
	return true, nil
}

// bare is the cause of an error about a file that its reader knows by another name.
func bare(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

func (r *localRun) writeLines(w io.Writer, compress bool) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	lines := io.Writer(buffered)
	var packed *gzip.Writer
	if compress {
		packed = gzip.NewWriter(buffered)
		lines = packed
	}
	whole, err := r.wholeSpans()
	if err != nil {
		return err
	}
	var line []byte
	for request, err := range r.requests() {
		if err != nil {
			return err
		}
		if isBeginning(request.Body, whole) {
			continue // its spans follow as a whole
		}
		if line, err = otlp.AppendJSON(line[:0], request.Body); err != nil {
			return err
		}
		if _, err := lines.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if packed != nil {
		if err := packed.Close(); err != nil {
			return err
		}
	}
	return buffered.Flush()
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
func (r *localRun) wholeSpans() (map[otlp.SpanID]bool, error) {
	whole := make(map[otlp.SpanID]bool)
	for request, err := range r.requests() {
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
