package interop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// off is what the module's spans say that it does not know of a process.
func off(spans []forkspantest.Span) (list []string) {
	for _, s := range spans {
		if all, ok := s.Attribute("forkspan.python.off"); ok {
			for _, one := range all.([]any) {
				list = append(list, one.(string))
			}
		}
	}
	return list
}

// When OpenTelemetry changes what the module relies on, no span is lost, and the module says so.
func TestInstrumentChangedSDK(t *testing.T) {
	tests := map[string]struct{ change, off string }{
		"provider": {"TracerProvider._active_span_processor", "opentelemetry.sdk.trace.TracerProvider"},
		"span":     {"ReadableSpan._attributes", "opentelemetry.sdk.trace.Span"},
		"exporter": {"OTLPSpanExporter._endpoint", "opentelemetry.exporter.otlp.proto.http.trace_exporter"},
	}
	for _, version := range pythons {
		for name, test := range tests {
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				collector := forkspantest.NewCollector(t)
				endpoint := collector.TracesEndpoint()
				i := instrument(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+endpoint, "FORKSPAN_RUN_ENDPOINT="+endpoint)
				i.strange = true
				cmd := i.command(version, "changed.py", test.change)
				if out, err := cmd.Output(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				c := i.read()
				got := slices.Concat(names(c.finished), names(collector.Spans()))
				if name == "exporter" { // nobody can tell where it sends to, so it has all
					got = slices.Compact(got)
				}
				if !slices.Equal(got, []string{"span"}) {
					t.Errorf("the journal and the exporter have the spans %q", got)
				}
				if got := off(c.own); !slices.Equal(got, []string{test.off}) {
					t.Errorf("the module says that it does not know %q, want %q", got, test.off)
				}
			})
		}
	}
}

// When Python changes what the module relies on, nothing else changes, and `forkspan run` says so.
func TestInstrumentChangedPython(t *testing.T) {
	dir := t.TempDir()
	venv := filepath.Join(cache, "python-newest", "bin", "python")
	base, err := filepath.EvalSymlinks(venv)
	if err != nil {
		t.Fatal(err)
	}
	user := "PYTHONUSERBASE=" + dir
	site := strings.TrimSpace(execute(t, environment(user), base, "-m", "site", "--user-site"))
	if err := os.MkdirAll(site, 0o700); err != nil {
		t.Fatal(err)
	}
	// Python executes such a line before it looks for a sitecustomize.
	const change = `import sys; b = sys.modules["_frozen_importlib"]; c = b._find_and_load.__code__; b._Other = b._ModuleLockManager; ` +
		`b._find_and_load.__code__ = c.replace(co_names=tuple("_Other" if n == "_ModuleLockManager" else n for n in c.co_names))`
	if err := os.WriteFile(filepath.Join(site, "change.pth"), []byte(change), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr := runInstrumented(t, []string{user}, base, "-c", "import json; print(json.dumps(1))")
	if out != "1\n" || strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, "--instrument=python does not know the imports of") {
		t.Errorf("printed %q, and on standard error\n%s", out, stderr)
	}
}

// A command that the module cannot be in is said to be none of its.
func TestInstrumentNotTaken(t *testing.T) {
	venv := filepath.Join(cache, "python-newest", "bin", "python")
	_, stderr := runInstrumented(t, nil, venv, "-I", "-c", "pass")
	if strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, "--instrument=python has recorded nothing") {
		t.Errorf("on standard error\n%s", stderr)
	}
	if _, stderr = runInstrumented(t, nil, venv, "-c", "pass"); strings.Count(stderr, "\n") != 1 {
		t.Errorf("on standard error\n%s", stderr)
	}
}
