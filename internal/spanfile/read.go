package spanfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
)

// Requests longer than this are not read from files; the receiver takes far less.
const longestRequest = 1 << 30

// Problem is a part of a file that could not be read. The parts around it were.
type Problem struct {
	Where string // "line 3", "request 2"
	Why   string
	More  int // that came after it and are not kept; of the last one only
}

func (p Problem) String() string { return p.Where + ": " + p.Why }

// mostProblems is how many are kept: a large file may be damaged in each line.
const mostProblems = 100

// CountProblems is how many there were.
func CountProblems(problems []Problem) int {
	n := len(problems)
	if n > 0 {
		n += problems[n-1].More
	}
	return n
}

// Reader reads export requests from a file of any format: OTLP JSON lines, one JSON document (also an array of requests),
// one protobuf request, protobuf requests each after its length in four bytes (as the Collector's file exporter writes them),
// and each of these under gzip or zstd. The format is told by the content.
type Reader struct {
	Request  func(body []byte, sum otlp.Summary) error // takes each request; its error ends the reading
	Head     func(h Head) error                        // takes what a file of ours says of the run whose requests follow; may be nil
	Problems []Problem                                 // what could not be read
	Requests int                                       // how many were read

	told bool // the processes of the run whose requests follow
}

// Read reads r to its end. The error is of reading or of Request; damaged parts are Problems.
func (f *Reader) Read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<16)
	start, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case len(start) >= 2 && start[0] == 0x1f && start[1] == 0x8b:
		unzipped, err := gzip.NewReader(in)
		switch {
		case errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			f.problem("file", fmt.Errorf("read gzip: %w", err))
			return nil
		case err != nil:
			return fmt.Errorf("read gzip: %w", err)
		}
		in = bufio.NewReaderSize(unpacked{unzipped}, 1<<16)
	case len(start) == 4 && binary.LittleEndian.Uint32(start) == zstdMagic:
		unzipped, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<27))
		if err != nil {
			return fmt.Errorf("read zstd: %w", err)
		}
		defer unzipped.Close()
		in = bufio.NewReaderSize(unpacked{unzipped}, 1<<16)
	}
	err = f.readPlain(in)
	if damage := (*damageError)(nil); errors.As(err, &damage) || errors.Is(err, io.ErrUnexpectedEOF) {
		f.problem("end of file", fmt.Errorf("cut off or damaged: %w", err))
		return nil
	}
	return err
}

// zstdMagic begins every frame of zstd (RFC 8878, section 3.1.1).
const zstdMagic = 0xfd2fb528

// unpacked marks the errors of a decompressor: what came before them is good.
type unpacked struct{ io.Reader }

type damageError struct{ error }

func (e *damageError) Unwrap() error { return e.error }

func (u unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &damageError{err}
	}
	return n, err
}

func (f *Reader) readPlain(in *bufio.Reader) error {
	first, err := firstByte(in)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case first == '{' || first == '[':
		return f.readJSON(in)
	case first == 0:
		return f.readFramed(in)
	}
	if why := notProtobuf(in); why != nil {
		f.problem("file", why)
		return nil
	}
	return f.readProtobuf(in)
}

// notProtobuf tells what a file is that is no request of any kind: in one of protobuf there are bytes that no text has.
func notProtobuf(in *bufio.Reader) error {
	head, _ := in.Peek(512)
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return errors.New("UTF-16: OTLP JSON is UTF-8")
	}
	if bytes.ContainsFunc(head, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == utf8.RuneError }) {
		return nil
	}
	return errors.New("text, but no JSON")
}

// firstByte looks past white space that JSON may begin with, and a byte order mark. The white space of a protobuf, whose first
// byte is that of a line's end, is left.
func firstByte(in *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		b, err := in.Peek(n)
		if len(b) < n {
			if n > 1 && errors.Is(err, io.EOF) {
				return b[0], nil
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				return b[0], nil
			}
			return 0, err
		}
		switch c := b[n-1]; c {
		case ' ', '\t', '\r', '\n', 0xef, 0xbb, 0xbf:
		case '{', '[':
			_, err := in.Discard(n - 1)
			return c, err
		default:
			return b[0], nil
		}
	}
}

// readJSON takes the text line by line while the first line is a document of its own, and else as documents one after the other.
func (f *Reader) readJSON(in *bufio.Reader) error {
	line, end := readLine(in)
	if end != nil && !errors.Is(end, io.EOF) {
		return end
	}
	if end == nil && !json.Valid(line) {
		var read bytes.Buffer
		whole, d := json.RawMessage{}, json.NewDecoder(io.TeeReader(
			io.LimitReader(io.MultiReader(bytes.NewReader(line), in), longestRequest), &read))
		err := d.Decode(&whole)
		if err == nil {
			return f.readDocuments(whole, json.NewDecoder(io.MultiReader(d.Buffered(), in)))
		}
		if damage := (*damageError)(nil); errors.As(err, &damage) {
			return err
		}
		// The first line is a damaged one.
		read.Next(len(line))
		in, end = bufio.NewReader(io.MultiReader(&read, in)), nil
	}
	for n := 1; ; n++ {
		if len(bytes.TrimSpace(line)) > 0 {
			if err := f.document(fmt.Sprintf("line %d", n), line); err != nil {
				return err
			}
		}
		if end != nil {
			if errors.Is(end, io.EOF) {
				return nil
			}
			return end
		}
		line, end = readLine(in)
	}
}

// readDocuments takes the document first and those of d. After a damaged one nobody knows where the next begins.
func (f *Reader) readDocuments(first json.RawMessage, d *json.Decoder) error {
	where := "document"
	for n := 2; ; n++ {
		if err := f.document(where, first); err != nil {
			return err
		}
		where = fmt.Sprintf("document %d", n)
		err := d.Decode(&first)
		damage := (*damageError)(nil)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &damage):
			return err
		case err != nil:
			f.problem(where, fmt.Errorf("%w; what follows is not read", err))
			return nil
		}
	}
}

// readLine returns the next line; at the end of the text with io.EOF.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadBytes('\n')
	if len(line) > longestRequest {
		return nil, fmt.Errorf("a line of %d MiB", len(line)>>20)
	}
	return line, err
}

// document takes one JSON request, or an array of them.
func (f *Reader) document(where string, text []byte) error {
	text = bytes.TrimSpace(text)
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // of a file that was appended to another
	if len(text) > 0 && text[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			f.problem(where, err)
			return nil
		}
		for i, one := range list {
			if err := f.document(fmt.Sprintf("%s, item %d", where, i+1), one); err != nil {
				return err
			}
		}
		return nil
	}
	body, err := otlp.FromJSON(text)
	if err != nil {
		f.problem(where, err)
		return nil
	}
	return f.take(where, body)
}

func (f *Reader) readFramed(in *bufio.Reader) error {
	for n := 1; ; n++ {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		length := binary.BigEndian.Uint32(size[:])
		if length > longestRequest {
			f.problem(fmt.Sprintf("request %d", n), fmt.Errorf("a length of %d MiB", length>>20))
			return nil
		}
		var body bytes.Buffer
		if _, err := io.CopyN(&body, in, int64(length)); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := f.take(fmt.Sprintf("request %d", n), body.Bytes()); err != nil {
			return err
		}
	}
}

func (f *Reader) readProtobuf(in *bufio.Reader) error {
	body, err := io.ReadAll(io.LimitReader(in, longestRequest))
	if err != nil {
		return err
	}
	return f.take("file", body)
}

// take checks a request and hands it on without its malformed spans.
func (f *Reader) take(where string, body []byte) error {
	clean, sum, rejected, reason, err := otlp.Scan(body)
	if err != nil {
		f.problem(where, err)
		return nil
	}
	if rejected > 0 {
		f.problem(where, fmt.Errorf("%d malformed left out: %s", rejected, reason))
	}
	if sum.Spans == 0 {
		return f.takeHead(where, clean)
	}
	f.Requests++
	if f.told && commandspan.OfProcesses(clean) {
		return nil // its spans are those processes once more
	}
	return f.Request(clean, sum)
}

// takeHead takes a request without spans, which is nothing unless it is a head.
func (f *Reader) takeHead(where string, body []byte) error {
	if !isHead(body) {
		return nil
	}
	h, err := decodeHead(body)
	if err != nil {
		f.problem(where, fmt.Errorf("what is said of a run: %w", err))
		return nil
	}
	f.told = len(h.Processes) > 0
	if f.Head == nil {
		return nil
	}
	return f.Head(h)
}

func (f *Reader) problem(where string, err error) {
	if n := len(f.Problems); n == mostProblems {
		f.Problems[n-1].More++
		return
	}
	f.Problems = append(f.Problems, Problem{Where: where, Why: err.Error()})
}
