package timeline

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forkspan.dev/forkspan/internal/otlp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// capture reads a captured vLLM trace.
func capture(t testing.TB, name string) []otlp.Span {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "captures", name+".otlp.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var spans []otlp.Span
	for line := range bytes.Lines(data) {
		body, err := otlp.FromJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := otlp.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, decoded...)
	}
	return spans
}

var captures = []string{"vllm-serve", "vllm-serve-tp2-api2", "vllm-serve-failed-start"}

func TestGolden(t *testing.T) {
	drawings := []struct {
		suffix string
		opts   Options
		text   TextOptions
	}{
		{"txt", Options{}, TextOptions{Width: 100, Unicode: true}},
		{"ascii.txt", Options{}, TextOptions{Width: 100}},
		{"ansi", Options{}, TextOptions{Width: 100, Unicode: true, Color: true}},
		{"narrow.txt", Options{}, TextOptions{Width: 60, Unicode: true}},
		{"all.txt", Options{All: true}, TextOptions{Width: 120, Unicode: true}},
		{"critical.txt", Options{CriticalPath: true}, TextOptions{Width: 100, Unicode: true}},
	}
	for _, name := range captures {
		spans := capture(t, name)
		for _, d := range drawings {
			t.Run(name+"."+d.suffix, func(t *testing.T) {
				var out strings.Builder
				if err := Build(spans, d.opts).WriteText(&out, d.text); err != nil {
					t.Fatal(err)
				}
				compareGolden(t, name+"."+d.suffix, out.String())
			})
		}
	}
}

func TestGoldenMarkdown(t *testing.T) {
	for _, name := range captures {
		var out strings.Builder
		if err := Build(capture(t, name), Options{}).WriteMarkdown(&out); err != nil {
			t.Fatal(err)
		}
		compareGolden(t, name+".md", out.String())
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("drawing differs from %s (rewrite with -update)\n--- got\n%s--- want\n%s", path, got, want)
	}
}
