package otlp_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

// Each yields what Attributes returns.
func TestEach(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "captures", "vllm-serve.otlp.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(data)) {
		body, err := otlp.FromJSON([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		spans, err := otlp.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range spans {
			var got []otlp.Field
			for key, value := range spans[i].Each() {
				got = append(got, otlp.Field{Key: key, Value: value})
			}
			if want := spans[i].Attributes(); !reflect.DeepEqual(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			for range spans[i].Each() { // ends early
				seen++
				break
			}
		}
	}
	if seen == 0 {
		t.Error("no span has attributes")
	}
}
