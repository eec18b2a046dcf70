package otlp_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/internal/otlp"
)

// captures returns the requests of the recorded vLLM sessions, as OTLP JSON.
func captures(t testing.TB) map[string][][]byte {
	t.Helper()
	files, err := filepath.Glob("../../testdata/captures/*.otlp.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("find captures: %v, %d files", err, len(files))
	}
	all := map[string][][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			all[filepath.Base(file)] = append(all[filepath.Base(file)], bytes.Clone(lines.Bytes()))
		}
	}
	return all
}

func TestCapturesRoundTrip(t *testing.T) {
	for name, requests := range captures(t) {
		for _, request := range requests {
			body, err := otlp.FromJSON(request)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			line, err := otlp.AppendJSON(nil, body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			again, err := otlp.FromJSON(line)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var want, got tracepb.TracesData
			if err := proto.Unmarshal(body, &want); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := proto.Unmarshal(again, &got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !proto.Equal(&want, &got) {
				t.Errorf("%s: the request changed on its way through JSON:\n%s\n%s", name, request, line)
			}
			clean, sum, rejected, reason, err := otlp.Scan(body)
			if err != nil || rejected != 0 || !bytes.Equal(clean, body) {
				t.Fatalf("%s: Scan: %d rejected (%s), error %v", name, rejected, reason, err)
			}
			spans, err := otlp.Decode(body)
			if err != nil || len(spans) != sum.Spans {
				t.Fatalf("%s: Decode: %d spans, want %d, error %v", name, len(spans), sum.Spans, err)
			}
		}
	}
}
