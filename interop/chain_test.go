package interop

import (
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/forkspantest"
)

// A link is one process of a chain: a language and the way in which it starts the next.
type link struct{ language, way string }

var (
	goCommand = link{"go", "command"}
	goSetenv  = link{"go", "setenv"}
	pyCall    = link{"python", "call"}
	pyAsync   = link{"python", "async"}
	pySpawn   = link{"python", "spawn"}
	pyFork    = link{"python", "fork"}
)

var chains = [][]link{
	{goCommand, pyCall},
	{goCommand, pyAsync},
	{goSetenv, pySpawn},
	{goSetenv, pyFork},
	{pyCall, goCommand},
	{pyAsync, goCommand},
	{pySpawn, goCommand},
	{pyFork, goCommand},
	{goCommand, pyCall, goCommand},
	{goSetenv, pyAsync, goSetenv},
	{goCommand, pySpawn, goCommand},
	{goSetenv, pyFork, goCommand},
	{pySpawn, goCommand, pyCall},
}

// The newest opentelemetry-python, and the oldest that vLLM allows.
var pythons = []string{"newest", "oldest"}

const (
	outerTrace = "0af7651916cd43dd8448eb211c80319c"
	outer      = "00-" + outerTrace + "-b7ad6b7169203331-01"
	stale      = "00-deaddeaddeaddeaddeaddeaddeaddead-deaddeaddeaddead-01"
)

// Every chain of processes is one trace in which each span is the child of the one before. The environments are those that a
// start of vLLM may find: none; a context in lower case beside another launcher's stale one in upper case; one in upper case.
func TestChains(t *testing.T) {
	environments := []struct {
		name    string
		vars    []string
		inOuter bool
	}{
		{"new trace", nil, false},
		{"stale upper case", []string{"traceparent=" + outer, "TRACEPARENT=" + stale, "TRACESTATE=stale=1"}, true},
		{"upper case", []string{"TRACEPARENT=" + outer}, true},
	}
	for i, chain := range chains {
		for j, env := range environments {
			version := pythons[(i+j)%len(pythons)]
			protocol := []string{"grpc", "http/protobuf"}[(i/2+j)%2]
			t.Run(fmt.Sprintf("%s/%s/%s/%s", describe(chain), env.name, version, protocol), func(t *testing.T) {
				t.Parallel()
				collector := forkspantest.NewCollector(t)
				vars := append(exportTo(collector, protocol), env.vars...)
				execute(t, environment(vars...), command(chain, version, 1)...)
				checkChain(t, collector.Spans(), chain, env.inOuter)
			})
		}
	}
}

// exportTo makes the variables with which vLLM and forkspan send to collector.
func exportTo(collector *forkspantest.Collector, protocol string) []string {
	endpoint := collector.Endpoint()
	if protocol == "http/protobuf" {
		endpoint = collector.TracesEndpoint()
	}
	return []string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + endpoint,
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=" + protocol,
	}
}

func describe(chain []link) string {
	var parts []string
	for _, l := range chain {
		parts = append(parts, l.language+" "+l.way)
	}
	return strings.Join(parts, " to ")
}

// command is the command line of the chain's processes from number first on.
func command(chain []link, version string, first int) []string {
	if len(chain) == 0 {
		return nil
	}
	rest := command(chain[1:], version, first+1)
	l, name := chain[0], fmt.Sprintf("step %d", first)
	if l.language == "go" {
		return append([]string{ours("step"), l.way, name}, rest...)
	}
	return append(python(version, "step.py", l.way, name), rest...)
}

// checkChain compares spans with the one tree that the chain must make.
func checkChain(t *testing.T, spans []forkspantest.Span, chain []link, inOuter bool) {
	t.Helper()
	var want strings.Builder
	depth := 0
	line := func(text string) {
		fmt.Fprintf(&want, "%s%s\n", strings.Repeat("  ", depth), text)
		depth++
	}
	for i, l := range chain {
		name := fmt.Sprintf("step %d", i+1)
		if i == 0 && inOuter {
			line(name + " [parent elsewhere]")
		} else {
			line(name)
		}
		if l.way == "spawn" || l.way == "fork" {
			line(name + " worker")
		}
	}
	if got := forkspantest.Tree(spans); got != want.String() {
		t.Errorf("tree:\n%swant:\n%s", got, &want)
	}
	ids := forkspantest.TraceIDs(spans)
	if len(ids) != 1 {
		t.Fatalf("traces %v, want one", ids)
	}
	if outerID, _ := trace.TraceIDFromHex(outerTrace); inOuter && ids[0] != outerID {
		t.Errorf("trace %s, want that of the environment", ids[0])
	}
}
