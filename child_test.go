package forkspan_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// with returns a context with a remote span and baggage in it.
func with(t *testing.T, parent, state, bag string) context.Context {
	ctx := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}).Extract(t.Context(),
		propagation.MapCarrier{"traceparent": parent, "tracestate": state, "baggage": bag})
	if parent != "" && !trace.SpanContextFromContext(ctx).IsValid() {
		t.Fatalf("%s is no parent", parent)
	}
	return ctx
}

func TestEnviron(t *testing.T) {
	root := forkspan.Extract(t.Context(), propagation.MapCarrier{})
	tests := []struct {
		name string
		ctx  context.Context
		env  []string
		want []string
	}{
		{"span", with(t, envParent, "", ""), []string{"A=1"},
			[]string{"A=1", "traceparent=" + envParent, "TRACEPARENT=" + envParent}},
		{"everything", with(t, envParent, "a=1", "k=v"), nil,
			[]string{"traceparent=" + envParent, "TRACEPARENT=" + envParent, "tracestate=a=1", "TRACESTATE=a=1",
				"baggage=k=v", "BAGGAGE=k=v"}},
		{"stale values", with(t, envParent, "", ""),
			[]string{"TRACEPARENT=" + envParent2, "tracestate=x=1", "TRACESTATE=x=1", "A=1"},
			[]string{"TRACEPARENT=" + envParent, "A=1", "traceparent=" + envParent}},
		{"duplicates", with(t, envParent, "", ""),
			[]string{"A=1", "traceparent=a", "B=1", "traceparent=b", "A=2", "odd"},
			[]string{"B=1", "traceparent=" + envParent, "A=2", "odd", "TRACEPARENT=" + envParent}},
		{"no span: handed on in both spellings", t.Context(),
			[]string{"TRACEPARENT=" + envParent, "TRACESTATE=a=1", "baggage=k=v"},
			[]string{"TRACEPARENT=" + envParent, "TRACESTATE=a=1", "baggage=k=v", "traceparent=" + envParent, "tracestate=a=1",
				"BAGGAGE=k=v"}},
		{"no span: lower case wins", t.Context(), []string{"TRACEPARENT=" + envParent2, "traceparent=" + envParent},
			[]string{"TRACEPARENT=" + envParent, "traceparent=" + envParent}},
		{"no span: garbage is left", t.Context(), []string{"traceparent=x", "TRACEPARENT=" + envParent},
			[]string{"traceparent=x", "TRACEPARENT=" + envParent}},
		{"new root", root,
			[]string{"traceparent=" + envParent, "TRACEPARENT=" + envParent, "TRACESTATE=a=1", "BAGGAGE=k=v", "A=1"},
			[]string{"A=1"}},
		{"nothing", t.Context(), []string{"A=1"}, []string{"A=1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := test.env
			if env == nil {
				env = []string{}
			}
			before := append([]string(nil), env...)
			want := test.want
			if runtime.GOOS == "windows" {
				t.Log("names have no case here; compared without the lower-case spellings")
				want = nil
				for _, kv := range test.want {
					if name, _, _ := strings.Cut(kv, "="); strings.ToUpper(name) == name {
						want = append(want, kv)
					}
				}
			}
			if got := forkspan.Environ(test.ctx, env); !sameSet(got, want) {
				t.Errorf("\n%q, want\n%q", got, want)
			}
			if !equal(env, before) {
				t.Error("the caller's slice was changed")
			}
		})
	}
}

func TestEnvironOfTheProcessIsHandedOn(t *testing.T) {
	t.Setenv("TRACEPARENT", envParent)
	if got := forkspan.Environ(t.Context(), []string{"A=1"}); !sameSet(got,
		[]string{"A=1", "traceparent=" + envParent, "TRACEPARENT=" + envParent}) {
		t.Errorf("%q", got)
	}
}

func TestPropagate(t *testing.T) {
	cmd := exec.Command("x")
	cmd.Env = []string{"A=1"}
	forkspan.Propagate(with(t, envParent, "", ""), cmd)
	if !sameSet(cmd.Env, []string{"A=1", "traceparent=" + envParent, "TRACEPARENT=" + envParent}) {
		t.Errorf("%q", cmd.Env)
	}
}

// A process in the middle that records nothing, and a worker below it that does.
func TestRealProcessesJoinTheTrace(t *testing.T) {
	c := forkspantest.NewCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.Endpoint())
	t.Setenv("TRACEPARENT", envParent2) // stale
	tr := start(t)
	for _, role := range []string{"worker", "silent"} {
		ctx, span := forkspan.Start(forkspan.Extract(t.Context(), propagation.MapCarrier{}), role)
		cmd := forkspan.Command(ctx, os.Args[0])
		cmd.Env = append(cmd.Env, roleVar+"="+role)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", role, err, out)
		}
		span.End()
	}
	if err := tr.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = `silent
  Worker init vllm.process_name=Worker_0
worker
  Worker init vllm.process_name=Worker_0
`
	lines := strings.SplitAfter(c.Tree("vllm.process_name"), "\n")
	if len(lines) == 5 && strings.HasPrefix(lines[0], "worker") {
		lines[0], lines[2] = lines[2], lines[0]
	}
	if got := strings.Join(lines, ""); got != want {
		t.Errorf("the collector has\n%s", got)
	}
}

func traceEnv() string {
	var found []string
	for _, name := range traceNames {
		if v, ok := os.LookupEnv(name); ok {
			found = append(found, name+"="+v)
		}
	}
	return strings.Join(found, " ")
}

func TestSetenv(t *testing.T) {
	t.Setenv("TRACEPARENT", envParent2)
	t.Setenv("baggage", "old=1")
	before := traceEnv()
	restore := forkspan.Setenv(with(t, envParent, "a=1", "k=v"))
	if got := traceEnv(); got != "traceparent="+envParent+" TRACEPARENT="+envParent+
		" tracestate=a=1 TRACESTATE=a=1 baggage=k=v BAGGAGE=k=v" {
		t.Errorf("environment %s", got)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=environ")
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "traceparent="+envParent+"\n") {
		t.Errorf("a child sees %s (%v)", out, err)
	}
	forkspan.Setenv(t.Context())() // without a span: nothing happens
	restore()
	restore()
	if got := traceEnv(); got != before {
		t.Errorf("environment %s, want %s", got, before)
	}
}

func TestSetenvOutOfOrder(t *testing.T) {
	a, b := with(t, envParent, "", "k=v"), with(t, envParent2, "", "")
	restoreA := forkspan.Setenv(a)
	restoreB := forkspan.Setenv(b)
	restoreA()
	if got := traceEnv(); got != "traceparent="+envParent2+" TRACEPARENT="+envParent2 {
		t.Errorf("environment %s", got)
	}
	restoreB()
	if got := traceEnv(); got != "" {
		t.Errorf("left behind: %s", got)
	}
	restoreA = forkspan.Setenv(a)
	forkspan.Setenv(b)()
	if got := traceEnv(); !strings.Contains(got, envParent) || strings.Contains(got, envParent2) {
		t.Errorf("environment %s", got)
	}
	restoreA()
}

func TestSetenvConcurrently(t *testing.T) {
	t.Setenv("TRACEPARENT", envParent2)
	before := os.Environ()
	_, _ = record(t, forkspan.WithoutEnvironment())
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			ctx, span := forkspan.Start(t.Context(), "compile")
			defer span.End()
			member, _ := baggage.NewMember("k", span.SpanContext().SpanID().String())
			bag, _ := baggage.New(member)
			if rand.N(2) == 0 {
				ctx = baggage.ContextWithBaggage(ctx, bag)
			}
			restore := forkspan.Setenv(ctx)
			runtime.Gosched()
			if tp := os.Getenv("traceparent"); len(tp) != 55 {
				t.Errorf("traceparent = %q", tp)
			}
			inner := forkspan.Setenv(ctx)
			runtime.Gosched()
			if rand.N(2) == 0 {
				restore, inner = inner, restore
			}
			inner()
			restore()
		})
	}
	wg.Wait()
	if after := os.Environ(); !sameSet(before, after) {
		t.Errorf("environment %q, was %q", after, before)
	}
}
