package spanfile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// readFile returns the names of the spans in data, and the problems.
func readFile(t testing.TB, data []byte) (names []string, problems []Problem) {
	t.Helper()
	f := Reader{Request: func(body []byte, sum otlp.Summary) error {
		spans, err := otlp.Decode(body)
		if err != nil {
			t.Fatalf("a request that was taken does not decode: %v", err)
		}
		if len(spans) != sum.Spans {
			t.Fatalf("%d spans, the summary says %d", len(spans), sum.Spans)
		}
		for _, s := range spans {
			names = append(names, s.Name)
		}
		return nil
	}}
	if err := f.Read(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return names, f.Problems
}

// requestJSON is an OTLP JSON request of one span.
func requestJSON(name string) string {
	return fmt.Sprintf(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001",`+
		`"spanId":"0000000000000001","name":%q,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`, name)
}

func protobufOf(t testing.TB, name string) []byte {
	t.Helper()
	body, err := otlp.FromJSON([]byte(requestJSON(name)))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func zipped(parts ...[]byte) []byte {
	var out bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&out)
		_, _ = w.Write(p)
		_ = w.Close()
	}
	return out.Bytes()
}

func framed(bodies ...[]byte) []byte {
	var out []byte
	for _, b := range bodies {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
	}
	return out
}

func TestFileFormats(t *testing.T) {
	a, b := requestJSON("a"), requestJSON("b")
	pa, pb := protobufOf(t, "a"), protobufOf(t, "b")
	tests := []struct {
		name     string
		data     []byte
		want     string
		problems string // where they are
	}{
		{"empty", nil, "", ""},
		{"white space", []byte(" \n\n"), "", "file"},
		{"lines", []byte(a + "\n" + b + "\n"), "a b", ""},
		{"lines of Windows, the last without an end", []byte("\ufeff" + a + "\r\n\r\n" + b), "a b", ""},
		{"one document", []byte(strings.ReplaceAll(a, ",", ",\n")), "a", ""},
		{"documents one after the other", []byte(strings.ReplaceAll(a+"\n"+b+"\n"+a, ",", ",\n")), "a b a", ""},
		{"a document cut off after another", []byte(strings.ReplaceAll(a+"\n"+b[:len(b)/2], ",", ",\n")), "a", "document 2"},
		{"files of Windows joined", []byte("\ufeff" + a + "\r\n\ufeff" + b + "\r\n"), "a b", ""},
		{"an array", []byte("[" + a + ",\n" + b + "]"), "a b", ""},
		{"an array on a line", []byte("[" + a + "," + b + "]\n"), "a b", ""},
		{"an array with a stranger", []byte("[" + a + ",7," + b + "]\n"), "a b", "line 1, item 2"},
		{"metrics among them", []byte(a + "\n{\"resourceMetrics\":[]}\n" + b), "a b", ""},
		{"damaged line", []byte(a + "\n{\"resourceSp\n" + b + "\n"), "a b", "line 2"},
		{"damaged first line", []byte("{\"resourceSp\n" + a + "\n" + b + "\n"), "a b", "line 1"},
		{"cut off", []byte(a + "\n" + b[:len(b)/2]), "a", "line 2"},
		{"protobuf", pa, "a", ""},
		{"protobuf twice, which is one request", append(append([]byte{}, pa...), pb...), "a b", ""},
		{"protobuf with lengths", framed(pa, pb), "a b", ""},
		{"protobuf with lengths, cut off", framed(pa, pb)[:len(framed(pa, pb))-3], "a", "end of file"},
		{"protobuf with an absurd length", append(framed(pa), 0xff, 0xff, 0xff, 0xff), "a", "request 2"},
		{"gzip", zipped([]byte(a + "\n" + b)), "a b", ""},
		{"gzip of protobuf", zipped(pa), "a", ""},
		{"gzip in members", zipped([]byte(a+"\n"), []byte(b+"\n")), "a b", ""},
		{"gzip cut off in its header", []byte("\x1f\x8b0"), "", "file"},
		{"gzip of a method that does not exist", []byte("\x1f\x8b\x01" + a), "", "file"},
		{"neither", []byte("hello"), "", "file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			names, problems := readFile(t, test.data)
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("spans %q, want %q", got, test.want)
			}
			var where []string
			for _, p := range problems {
				where = append(where, p.Where)
			}
			if got := strings.Join(where, "; "); got != test.problems {
				t.Errorf("problems %v, want them at %q", problems, test.problems)
			}
		})
	}
}

// lines is a text that begins with a damaged line and goes on with good ones, and counts what is read of it, in bytes.
type lines struct {
	rest, line []byte
	read, most int
}

func (l *lines) Read(p []byte) (int, error) {
	if l.read >= l.most {
		return 0, io.EOF
	}
	if len(l.rest) == 0 {
		l.rest = l.line
	}
	n := copy(p, l.rest)
	l.rest, l.read = l.rest[n:], l.read+n
	return n, nil
}

// A damaged first line is no reason to hold a large file in memory.
func TestDamagedFirstLineOfALargeFile(t *testing.T) {
	line := []byte(requestJSON("a") + "\n")
	for _, first := range []string{"{\"resourceSp\n", "{\"resourceSpans\":[\n", "[\n", "{\n"} {
		text := &lines{rest: []byte(first), line: line, most: 4 << 20}
		atFirst, requests := 0, 0
		f := Reader{Request: func([]byte, otlp.Summary) error {
			if requests++; requests == 1 {
				atFirst = text.read
			}
			return nil
		}}
		if err := f.Read(text); err != nil {
			t.Fatal(err)
		}
		if want := text.most / len(line); requests < want-1 || atFirst > 1<<20 {
			t.Errorf("%q: %d requests, want %d, the first after %d bytes", first, requests, want, atFirst)
		}
	}
}

// Of a file that is damaged all over, not every problem is kept, but counted.
func TestManyProblems(t *testing.T) {
	_, problems := readFile(t, []byte(requestJSON("a")+"\n"+strings.Repeat("{\n", 1000)))
	if len(problems) != mostProblems || CountProblems(problems) != 1000 || CountProblems(problems[:1]) != 1 || CountProblems(nil) != 0 {
		t.Errorf("%d kept, %d counted", len(problems), CountProblems(problems))
	}
}

// FuzzTraceFile puts any text between two good lines: they are read whatever it is, unless it joins them.
func FuzzTraceFile(f *testing.F) {
	capture, err := os.ReadFile(filepath.Join("..", "..", "testdata", "captures", "vllm-serve-failed-start.otlp.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(capture)
	f.Add([]byte(requestJSON("x")))
	f.Add([]byte("[{}"))
	f.Add(zipped([]byte(requestJSON("x"))))
	f.Add(framed([]byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = readFile(t, data)
		_, _ = readFile(t, zipped(data))
		lines := requestJSON("first") + "\n" + string(data) + "\n" + requestJSON("last") + "\n"
		names, _ := readFile(t, []byte(lines))
		if len(names) < 2 || names[0] != "first" || names[len(names)-1] != "last" {
			t.Errorf("spans %q", names)
		}
	})
}
