package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/pyinstrument"
	"forkspan.dev/forkspan/internal/store"
)

// instrumentPython is the value of --instrument for Python.
const instrumentPython = "python"

// addInstrument adds the flag --instrument.
func addInstrument(cmd *cobra.Command, value *string) {
	words := []string{instrumentPython}
	choice(cmd.Flags(), value, "instrument", "", words, "record more of all processes in `LANGUAGE`: python, their start, slow imports and unsent spans")
	_ = cmd.RegisterFlagCompletionFunc("instrument", completeWords(words...)) // fails for an unknown flag only
}

// instrument returns the command's environment with what --instrument puts in.
func (s *session) instrument(env []string) []string {
	if s.flags.instrument != instrumentPython {
		return env
	}
	lookup := environ.Lookup(env)
	if dir, _ := lookup(environ.JournalVariable); dir == "" {
		s.note("--instrument=python is off: there is no folder for journals")
		return env
	}
	if silenced := environ.Silenced(lookup); silenced != "" {
		return env // as a line says already
	}
	dir, err := s.installPython()
	if err != nil {
		s.note("--instrument=python is off: %v", err)
		return env
	}
	if usesOtherInstrumentation(s.argv) {
		s.note("--instrument=python is off in what opentelemetry-instrument starts, which takes the same place in Python")
	} else {
		s.instrumented = isPython(s.argv[0])
	}
	before, _ := lookup(pyinstrument.Variable)
	if first, _, _ := strings.Cut(before, string(filepath.ListSeparator)); first == dir {
		return env // inside another run
	}
	return environ.With(env, pyinstrument.Variable, pyinstrument.Path(dir, before))
}

// installPython writes the Python module beside the store, where later runs find it.
func (s *session) installPython() (string, error) {
	path, _ := store.DefaultPath(s.Env)
	dir, err := pyinstrument.Install(filepath.Dir(path))
	if err != nil {
		if spare, spareErr := pyinstrument.Install(filepath.Dir(store.SparePath())); spareErr == nil {
			return spare, nil
		}
	}
	return dir, err
}

// What the Python module tells of itself: the scope of its spans, the attribute of what it does not know in a process, which it then
// does not record, and its word there for the import system.
const (
	pythonScope     = "forkspan.python"
	pythonOff       = "forkspan.python.off"
	pythonImports   = "imports"
	pythonVersion   = "process.runtime.version"
	noPythonSpans   = "--instrument=python has recorded nothing: Python was started with -I, -E or -S, or is older than 3.9"
	unknownToModule = "--instrument=python does not know %s, which is not recorded"
)

// instrumentNote is a line about what --instrument=python could not record of a command that is Python; empty when it could, or
// when that was said before.
func (r *localRun) instrumentNote() string {
	if !r.instrumented || !r.sampled || r.record.Account.Spans > mostForHint {
		return ""
	}
	spans, err := decodeAll(r.requests())
	if err != nil {
		return ""
	}
	ours := false
	unknown := map[string]bool{}
	for i := range spans {
		s := &spans[i]
		if s.Scope == nil || s.Scope.Name != pythonScope {
			continue
		}
		ours = true
		what, _ := s.Attribute(pythonOff)
		list, _ := what.([]any)
		for _, one := range list {
			name := fmt.Sprint(one)
			if name == pythonImports {
				name = "the imports of Python" + pythonOf(s.Process)
			}
			unknown[name] = true
		}
	}
	r.instrumented = ours && len(unknown) == 0
	switch {
	case !ours:
		return noPythonSpans
	case len(unknown) > 0:
		return fmt.Sprintf(unknownToModule, strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	return ""
}

// pythonOf is the version of a process's interpreter, with a blank before it; empty when it is not known.
func pythonOf(p *otlp.Process) string {
	for _, f := range p.Attributes {
		if f.Key == pythonVersion {
			return fmt.Sprint(" ", f.Value)
		}
	}
	return ""
}

// usesOtherInstrumentation tells whether a command starts OpenTelemetry's own instrumentation of Python.
func usesOtherInstrumentation(argv []string) bool {
	return slices.ContainsFunc(argv, func(arg string) bool {
		return slices.ContainsFunc(strings.Fields(arg), func(word string) bool { // perhaps for a shell
			return filepath.Base(word) == "opentelemetry-instrument" || word == "opentelemetry.instrumentation.auto_instrumentation"
		})
	})
}
