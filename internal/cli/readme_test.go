package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the commands of README.md's sh blocks, in their order, with stand-ins for the servers that they start. What needs
// minutes is only looked up: make test.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, server := range []string{"vllm", "server"} {
		if err := os.WriteFile(filepath.Join(dir, server), []byte("#!/bin/sh\nexec slowserver loading\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	capture, err := os.ReadFile(filepath.Join(root, "testdata", "captures", "vllm-serve.otlp.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trace.json"), capture, 0o600); err != nil {
		t.Fatal(err)
	}

	lines := 0
	for _, block := range regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			lines++
			cmd := exec.Command("sh", "-c", readmeCommand(line))
			if cmd.Dir = dir; !strings.HasPrefix(line, "forkspan ") {
				cmd.Dir = root
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			if strings.HasSuffix(line, " demo") {
				checkWaterfall(t, string(text), string(out))
			}
		}
	}
	if lines < 8 {
		t.Errorf("README.md has %d commands, want at least 8", lines)
	}
}

// readmeCommand makes a line of the README one that ends by itself: servers get a port of their own, and end when they are ready.
func readmeCommand(line string) string {
	if line == "make test" {
		return "make -n test"
	}
	line = strings.ReplaceAll(line, "127.0.0.1:8080", "127.0.0.1:{port}")
	if strings.Contains(line, "vllm serve") {
		line += " --port {port}"
	}
	if !strings.Contains(line, "{port}") {
		return line
	}
	if !strings.Contains(line, "--until-ready") {
		line = strings.Replace(line, "forkspan run ", "forkspan run --until-ready ", 1)
	}
	return "withport " + line
}

// checkWaterfall compares the rows of the README's waterfall with what the demo prints: the names in their order, not the times,
// which are different each time.
func checkWaterfall(t *testing.T, readme, printed string) {
	_, drawing, _ := strings.Cut(readme, "$ forkspan demo\n")
	drawing, _, _ = strings.Cut(drawing, "```")
	_, rows, _ := strings.Cut(drawing, "\n") // below the account
	_, rows, _ = strings.Cut(rows, "\n")     // below the axis
	name := regexp.MustCompile(`^[│├└✗ ]*(.+?)(  .*|, [0-9].*)?$`)
	ascii := strings.NewReplacer("×", "x", "…", "..")
	count := 0
	for row := range strings.Lines(rows) {
		count++
		want := ascii.Replace(name.FindStringSubmatch(strings.TrimSpace(row))[1])
		_, rest, found := strings.Cut(printed, want)
		if !found {
			t.Errorf("the demo does not print %q, or not where README.md has it", want)
			continue
		}
		printed = rest
	}
	if count < 20 {
		t.Errorf("README.md's waterfall has %d rows, want at least 20", count)
	}
}

// TestSpanPage runs the script at the head of docs/span.md, with stand-ins for the programs that it starts.
func TestSpanPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "span.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindStringSubmatch(string(text))
	if script == nil {
		t.Fatal("docs/span.md has no script")
	}
	dir := t.TempDir()
	for _, program := range []string{"make", "server"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd := exec.Command("sh", "-e", "-c", script[1])
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"build ended", "server: server"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in what is drawn:\n%s", want, out)
		}
	}
}
