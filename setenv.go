package forkspan

import (
	"context"
	"os"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// Setenv puts the trace of ctx into this process's environment, for code that starts processes by itself, and returns a
// function that takes it out again. Without a valid span in ctx it changes nothing.
//
// The environment belongs to the whole process: until restore is called, spans without a parent of their own become
// children of this one, in any goroutine. Where several users overlap, the environment holds the latest of those that
// have not restored; when the last one has, in whatever order, traceparent, tracestate and baggage are as they were
// found, in both spellings. (vLLM leaves baggage behind, and stale values when calls overlap.) restore may be called more
// than once.
//
// [Environ] and [Command] have no such side effects: prefer them.
func Setenv(ctx context.Context) (restore func()) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return func() {}
	}
	e := &envEntry{vars: traceVars(ctx, os.LookupEnv)}
	envStack.push(e)
	return sync.OnceFunc(func() { envStack.remove(e) })
}

// envEntry is what one user of Setenv wants in the environment.
type envEntry struct{ vars []traceVar }

// processEnv is the users of Setenv, the latest last, and what was in the environment before the first of them.
type processEnv struct {
	mu      sync.Mutex
	entries []*envEntry
	found   []foundVar
}

type foundVar struct {
	name, value string
	set         bool
}

var envStack processEnv

func (p *processEnv) push(e *envEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.entries) == 0 {
		p.found = p.found[:0]
		for _, name := range []string{traceparentName, tracestateName, baggageName} {
			for _, spelling := range spellings(name) {
				v, ok := os.LookupEnv(spelling)
				p.found = append(p.found, foundVar{spelling, v, ok})
			}
		}
	}
	p.entries = append(p.entries, e)
	p.show(e)
}

func (p *processEnv) remove(e *envEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.entries, e)
	p.entries = slices.Delete(p.entries, i, i+1)
	switch {
	case len(p.entries) == 0:
		p.restore()
	case i == len(p.entries):
		p.show(p.entries[i-1])
	}
}

// show writes an entry over what was found. Variables that it does not mention are as they were found.
func (p *processEnv) show(e *envEntry) {
	for _, f := range p.found {
		i := slices.IndexFunc(e.vars, func(v traceVar) bool { return slices.Contains(spellings(v.name), f.name) })
		if i < 0 {
			f.write()
		} else {
			foundVar{f.name, e.vars[i].value, e.vars[i].value != ""}.write()
		}
	}
}

func (p *processEnv) restore() {
	for _, f := range p.found {
		f.write()
	}
}

func (f foundVar) write() {
	if f.set {
		os.Setenv(f.name, f.value)
	} else {
		os.Unsetenv(f.name)
	}
}
