package forkspan

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

// Environ returns env with the trace of ctx in it, for a child process; a nil env means [os.Environ]. env is not changed.
// Of variables that are there twice the last stays, as in [exec.Cmd].
//
// traceparent, tracestate and baggage are written in both spellings: vLLM reads lower case first, and OpenTelemetry's
// specification knows upper case only, so a stale one of either must not stay behind. (On Windows, where names have no
// case, there is one spelling.) Without a span in ctx, the environment's parent is handed on, in env or else in this
// process's own, so that a process that records nothing does not cut the trace in two. In a ctx that [Extract] has marked
// as a new root, the variables are taken out.
//
// The tracer's endpoint and protocol are added where env names none, or still the one that [Init] found.
func Environ(ctx context.Context, env []string) []string {
	return active.Load().Environ(ctx, env)
}

// Environ is [Environ] with this tracer's endpoint.
func (t *Tracer) Environ(ctx context.Context, env []string) []string {
	if env == nil {
		env = os.Environ()
	}
	list := newEnvList(env)
	for _, v := range traceVars(ctx, list.lookup) {
		list.write(v)
	}
	if !t.off() && t.childEndpoint != "" {
		if v, ok := list.lookup(endpointVar); !ok || t.hadEndpoint && v == t.foundEndpoint {
			list.set(endpointVar, t.childEndpoint)
			list.set(protocolVar, t.childProtocol)
		}
	}
	return list.env
}

// Command is [exec.CommandContext] with the trace of ctx and the endpoint in the command's environment. As there, the
// command is killed when ctx is done before it.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return active.Load().Command(ctx, name, args...)
}

// Command is [Command] with this tracer's endpoint.
func (t *Tracer) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = t.Environ(ctx, nil)
	return cmd
}

// Propagate puts the trace of ctx and the endpoint into the environment of a command that has not been started, by the
// rules of [Environ].
func Propagate(ctx context.Context, cmd *exec.Cmd) { active.Load().Propagate(ctx, cmd) }

// Propagate is [Propagate] with this tracer's endpoint.
func (t *Tracer) Propagate(ctx context.Context, cmd *exec.Cmd) {
	cmd.Env = t.Environ(ctx, cmd.Environ())
}

// traceVar is a trace variable to write in all its spellings; an empty value takes it out.
type traceVar struct{ name, value string }

// traceVars says what has to change in an environment for a child to continue the trace of ctx. Variables that are to
// stay as they are, are not in it.
func traceVars(ctx context.Context, lookup func(string) (string, bool)) []traceVar {
	var vars []traceVar
	sc := trace.SpanContextFromContext(ctx)
	switch {
	case sc.IsValid():
		// The two belong together: without a tracestate of its own, the old one has to go.
		vars = append(vars,
			traceVar{traceparentName, formatTraceparent(sc)},
			traceVar{tracestateName, sc.TraceState().String()})
	case ctx != nil && isNewRoot(ctx):
		vars = append(vars, traceVar{traceparentName, ""}, traceVar{tracestateName, ""}, traceVar{baggageName, ""})
	default:
		vars = handedOn(lookup)
	}
	if ctx != nil {
		if bag := baggage.FromContext(ctx); bag.Len() > 0 {
			vars = append(vars, traceVar{baggageName, bag.String()})
		}
	}
	return vars
}

// handedOn makes both spellings of the parent in an environment agree. One that names no valid parent is left as it is:
// nobody gets a parent from it, and it is not ours.
func handedOn(lookup func(string) (string, bool)) []traceVar {
	find := func(name string) (string, bool) {
		for _, spelling := range []string{name, upperName(name)} {
			if v, ok := lookup(spelling); ok {
				return v, true
			}
		}
		return "", false
	}
	tp, ok := find(traceparentName)
	if !ok {
		find = lookupTrace
		tp, _ = find(traceparentName)
	}
	if _, valid := parseTraceparent(tp); !valid {
		return nil
	}
	ts, _ := find(tracestateName)
	vars := []traceVar{{traceparentName, tp}, {tracestateName, ts}}
	if bag, ok := find(baggageName); ok {
		vars = append(vars, traceVar{baggageName, bag})
	}
	return vars
}

// spellings are the names that a trace variable has in environments.
func spellings(name string) []string {
	if runtime.GOOS == "windows" {
		return []string{upperName(name)}
	}
	return []string{name, upperName(name)}
}

// envList is an environment in the form of os.Environ, without duplicates.
type envList struct{ env []string }

func newEnvList(env []string) *envList {
	last := make(map[string]int, len(env))
	for i, kv := range env {
		if name, _, ok := cutEnv(kv); ok {
			last[foldEnv(name)] = i
		}
	}
	l := &envList{env: make([]string, 0, len(env)+8)}
	for i, kv := range env {
		if name, _, ok := cutEnv(kv); !ok || last[foldEnv(name)] == i {
			l.env = append(l.env, kv)
		}
	}
	return l
}

// cutEnv splits a variable. Windows has names that begin with an equals sign, such as "=C:".
func cutEnv(kv string) (name, value string, ok bool) {
	if i := strings.IndexByte(kv, '='); i == 0 {
		name, value, ok = strings.Cut(kv[1:], "=")
		return "=" + name, value, ok
	}
	return strings.Cut(kv, "=")
}

// foldEnv makes names that the system takes for the same one equal.
func foldEnv(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

func (l *envList) index(name string) int {
	name = foldEnv(name)
	return slices.IndexFunc(l.env, func(kv string) bool {
		n, _, ok := cutEnv(kv)
		return ok && foldEnv(n) == name
	})
}

func (l *envList) lookup(name string) (string, bool) {
	if i := l.index(name); i >= 0 {
		_, value, _ := cutEnv(l.env[i])
		return value, true
	}
	return "", false
}

func (l *envList) set(name, value string) {
	if i := l.index(name); i >= 0 {
		l.env[i] = name + "=" + value
		return
	}
	l.env = append(l.env, name+"="+value)
}

// write writes a trace variable in all spellings, or takes it out.
func (l *envList) write(v traceVar) {
	for _, name := range spellings(v.name) {
		if v.value != "" {
			l.set(name, v.value)
		} else if i := l.index(name); i >= 0 {
			l.env = slices.Delete(l.env, i, i+1)
		}
	}
}
