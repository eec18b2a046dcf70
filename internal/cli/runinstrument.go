package cli

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/environ"
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

// usesOtherInstrumentation tells whether a command starts OpenTelemetry's own instrumentation of Python.
func usesOtherInstrumentation(argv []string) bool {
	return slices.ContainsFunc(argv, func(arg string) bool {
		return slices.ContainsFunc(strings.Fields(arg), func(word string) bool { // perhaps for a shell
			return filepath.Base(word) == "opentelemetry-instrument" || word == "opentelemetry.instrumentation.auto_instrumentation"
		})
	})
}
