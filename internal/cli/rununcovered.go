package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
)

// When a run says that --instrument=python would tell more.
const (
	worthHint   = time.Second // of a command's time; a shorter one has nothing to look for
	uncoveredBy = 10          // more than one part in so many of it is in no span
	mostForHint = 20_000      // spans; to look at more takes longer than a hint is worth
)

// pythonHint is a line for who traces a Python program that spends its time in no span; empty for others.
func (r *localRun) pythonHint() string {
	end := r.record.End
	if end.IsZero() {
		end = r.readyAt
	}
	start := r.process.Started()
	whole := end.Sub(start)
	if r.flags.instrument != "" || whole < worthHint || r.record.Account.Spans > mostForHint || !isPython(r.argv[0]) ||
		environ.Silenced(r.lookup) != "" {
		return ""
	}
	spans, err := decodeAll(r.requests())
	if err != nil {
		return ""
	}
	spans = slices.DeleteFunc(spans, func(s otlp.Span) bool { return s.SpanID == r.command || s.SpanID == r.startup })
	left := uncovered(spans, start.UnixNano(), end.UnixNano())
	if left*uncoveredBy <= whole {
		return ""
	}
	return elapsed(left) + " are in no span: forkspan run --instrument=python shows what Python imports then"
}

// uncovered is how much of the time from start to end, in Unix nanoseconds, is in none of the spans.
func uncovered(spans []otlp.Span, start, end int64) time.Duration {
	slices.SortFunc(spans, func(a, b otlp.Span) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	var left int64
	at := start
	for i := range spans {
		s := &spans[i]
		last := s.End
		if last == 0 { // it has not ended
			last = end
		}
		if s.Start > at {
			left += min(s.Start, end) - at
		}
		if at = max(at, last); at >= end {
			return time.Duration(left)
		}
	}
	return time.Duration(left + end - at)
}

// pythonName is what interpreters are called.
var pythonName = regexp.MustCompile(`^python[0-9.]*(\.exe)?$`)

// isPython tells whether a program is Python, or a script for it.
func isPython(program string) bool {
	if pythonName.MatchString(filepath.Base(program)) {
		return true
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return bytes.HasPrefix(line, []byte("#!")) && bytes.Contains(line, []byte("python"))
}
