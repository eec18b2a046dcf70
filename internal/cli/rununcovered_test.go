package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
)

func TestUncovered(t *testing.T) {
	tests := []struct {
		name  string
		spans []otlp.Span
		want  time.Duration
	}{
		{"none", nil, 100},
		{"one in the middle", []otlp.Span{{Start: 120, End: 150}}, 70},
		{"nested, side by side, and in any order", []otlp.Span{{Start: 150, End: 180}, {Start: 110, End: 140}, {Start: 115, End: 120}}, 40},
		{"all", []otlp.Span{{Start: 90, End: 150}, {Start: 140, End: 300}}, 0},
		{"unfinished", []otlp.Span{{Start: 130}}, 30},
		{"before and after", []otlp.Span{{Start: 10, End: 50}, {Start: 250, End: 300}}, 100},
	}
	for _, tt := range tests {
		if got := uncovered(tt.spans, 100, 200); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestIsPython(t *testing.T) {
	dir := t.TempDir()
	for name, head := range map[string]string{
		"vllm": "#!/opt/venv/bin/python3\nimport sys\n", "wrapped": "#!/usr/bin/env python\n", "shell": "#!/bin/sh\npython x\n", "empty": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(head), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for program, want := range map[string]bool{
		"python": true, "/usr/bin/python3.11": true, "pythonic": false, filepath.Join(dir, "vllm"): true, filepath.Join(dir, "wrapped"): true,
		filepath.Join(dir, "shell"): false, filepath.Join(dir, "empty"): false, filepath.Join(dir, "missing"): false,
	} {
		if got := isPython(program); got != want {
			t.Errorf("%s: %v, want %v", program, got, want)
		}
	}
}

func TestUsesOtherInstrumentation(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want bool
	}{
		{[]string{"python", "app.py"}, false},
		{[]string{"opentelemetry-instrument", "python", "app.py"}, true},
		{[]string{"/venv/bin/opentelemetry-instrument", "app"}, true},
		{[]string{"python", "-m", "opentelemetry.instrumentation.auto_instrumentation", "app"}, true},
		{[]string{"sh", "-c", "exec opentelemetry-instrument app"}, true},
	} {
		if got := usesOtherInstrumentation(tt.argv); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.argv, got, tt.want)
		}
	}
}
