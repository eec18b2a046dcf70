// Package interop tests forkspan against programs that are not ours: OpenTelemetry for Python, Node and Go, and telemetrygen.
// setup.sh installs them.
package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds each child process; only a child that hangs comes near it.
const patience = 2 * time.Minute

var (
	bin   string // folder of the programs that TestMain has built
	cache string // folder of what setup.sh has installed
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// prepare builds our own programs, forkspan as it is shipped, and checks that the foreign ones are there.
func prepare() error {
	var err error
	if cache, err = filepath.Abs("../.cache/interop"); err != nil {
		return err
	}
	for _, tool := range []string{"python-newest/bin/python", "python-oldest/bin/python", "node/node_modules", "bin/telemetrygen", "bin/collector"} {
		if _, err := os.Stat(filepath.Join(cache, tool)); err != nil {
			return fmt.Errorf("find %s: %w\nhint: run make setup", tool, err)
		}
	}
	if bin, err = os.MkdirTemp("", "forkspan-interop-"); err != nil {
		return err
	}
	for _, build := range [][]string{
		{"make", "--no-print-directory", "-C", "..", "build", "BINARY=" + ours("forkspan")},
		{"go", "build", "-o", bin + string(filepath.Separator), "./step", "./plain"},
	} {
		cmd := exec.Command(build[0], build[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			os.RemoveAll(bin)
			return fmt.Errorf("run %s: %w\n%s", strings.Join(build, " "), err, out)
		}
	}
	return nil
}

func ours(name string) string { return filepath.Join(bin, name) }

func python(version, script string, args ...string) []string {
	return append([]string{filepath.Join(cache, "python-"+version, "bin", "python"), filepath.Join("python", script)}, args...)
}

// environment is what the children of a test get: ours without anything about tracing or proxies, and vars.
func environment(vars ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		upper := strings.ToUpper(name)
		switch {
		case strings.HasPrefix(upper, "OTEL_"), strings.HasPrefix(upper, "FORKSPAN_"), strings.HasSuffix(upper, "_PROXY"):
		case upper == "TRACEPARENT", upper == "TRACESTATE", upper == "BAGGAGE", upper == "CI":
		default:
			env = append(env, kv)
		}
	}
	return append(env, vars...)
}

// execute runs a command to its end, fails the test unless it succeeds, and returns its stdout.
func execute(t *testing.T, env []string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = env
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %s: %v\n%s%s", strings.Join(command, " "), errors.Join(err, context.Cause(ctx)), out, stderr.String())
	}
	if testing.Verbose() && stderr.Len() > 0 {
		t.Logf("stderr:\n%s", stderr.String())
	}
	return string(out)
}
