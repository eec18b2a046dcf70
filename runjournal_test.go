package forkspan_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/journal"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// underRun is an environment like that of a process of forkspan run.
type underRun struct {
	tail      *journal.Tail
	dir       string
	collector *forkspantest.Collector
}

func newUnderRun(t *testing.T) *underRun {
	t.Helper()
	u := &underRun{dir: t.TempDir(), collector: forkspantest.NewCollector(t)}
	var err error
	if u.tail, err = journal.OpenTail(u.dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = u.tail.Close(true) })
	t.Setenv("FORKSPAN_JOURNAL", u.dir)
	t.Setenv("FORKSPAN_RUN_ENDPOINT", u.collector.TracesEndpoint())
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", u.collector.TracesEndpoint())
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
	return u
}

// taken are the names of the spans that have come by the journal, sorted.
func (u *underRun) taken(t *testing.T) (finished, unfinished []string) {
	t.Helper()
	added, err := u.tail.Poll()
	if err != nil {
		t.Fatal(err)
	}
	gather := func(names []string, body []byte) []string {
		var data tracepb.TracesData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Fatal(err)
		}
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					names = append(names, s.Name)
				}
			}
		}
		slices.Sort(names)
		return names
	}
	for _, j := range added {
		for body := range j.Requests() {
			finished = gather(finished, body)
		}
		for body := range j.UnfinishedRequests() {
			unfinished = gather(unfinished, body)
		}
	}
	return finished, unfinished
}

// exported are the names of the spans that the collector has got, sorted.
func (u *underRun) exported() (names []string) {
	for _, s := range u.collector.Spans() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

func TestInitBelowRunNeedsNoNetwork(t *testing.T) {
	u := newUnderRun(t)
	tr, err := forkspan.Init(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, outer := forkspan.Start(t.Context(), "outer")
	forkspan.Do(ctx, "inner", func(context.Context) error { return nil })
	if finished, unfinished := u.taken(t); !slices.Equal(finished, []string{"inner"}) || !slices.Equal(unfinished, []string{"outer"}) {
		t.Errorf("finished %v, unfinished %v", finished, unfinished)
	}
	outer.End()
	if err := tr.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	outer.End()
	if finished, unfinished := u.taken(t); !slices.Equal(finished, []string{"outer"}) || unfinished != nil {
		t.Errorf("finished %v, unfinished %v", finished, unfinished)
	}
	if got := u.collector.Requests(); len(got) > 0 {
		t.Errorf("%d requests over the network", len(got))
	}
	if s := tr.Stats(); s != (forkspan.Stats{Started: 2, Ended: 2, Exported: 2}) {
		t.Errorf("%+v", s)
	}
}

// What the journal does not take goes over the network, and nothing goes both ways.
func TestRunEndsBeforeItsProcess(t *testing.T) {
	u := newUnderRun(t)
	tr, err := forkspan.Init(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	do := func(name string) { forkspan.Do(t.Context(), name, func(context.Context) error { return nil }) }
	do("before")
	_, across := forkspan.Start(t.Context(), "across")
	if err := u.tail.Stop(); err != nil {
		t.Fatal(err)
	}
	across.End()
	do("after 1")
	do("after 2")
	if finished, unfinished := u.taken(t); !slices.Equal(finished, []string{"before"}) || !slices.Equal(unfinished, []string{"across"}) {
		t.Errorf("finished %v, unfinished %v", finished, unfinished)
	}
	if gone, err := u.tail.Close(true); err != nil || !gone {
		t.Errorf("folder gone %v, %v", gone, err)
	}
	do("long after")
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := u.exported(); !slices.Equal(got, []string{"across", "after 1", "after 2", "long after"}) {
		t.Errorf("exported %v", got)
	}
	if s := tr.Stats(); s.Started != 5 || s.Exported != 5 || s.Lost() != 0 || s.Unjournaled == 0 {
		t.Errorf("%+v", s)
	}
	// A process that is started now finds no folder, and makes none.
	tr, err = forkspan.Init(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	do("another process")
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(u.dir); !os.IsNotExist(err) || len(u.exported()) != 5 {
		t.Errorf("exported %v, folder: %v", u.exported(), err)
	}
}

// The journal is for programs that have left it to the environment where spans go.
func TestJournalOfARunIsNotForAll(t *testing.T) {
	type want struct{ journal, network, enabled bool }
	elsewhere := forkspantest.NewCollector(t)
	for _, tt := range []struct {
		name string
		env  map[string]string
		opts []forkspan.Option
		want want
	}{
		{"as it comes", nil, nil, want{true, false, true}},
		{"endpoint in another form", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "$HOSTPORT"}, nil, want{true, false, true}},
		{"no endpoint", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ""}, nil, want{true, false, true}},
		{"exporter named", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, nil, want{true, false, true}},
		{"protocol chosen", nil, []forkspan.Option{forkspan.WithProtocol("http/json")}, want{true, false, true}},
		{"exporter none", map[string]string{"OTEL_TRACES_EXPORTER": "none"}, nil, want{}},
		{"disabled", map[string]string{"OTEL_SDK_DISABLED": "true"}, nil, want{}},
		{"without export", nil, []forkspan.Option{forkspan.WithoutExport()}, want{}},
		{"another endpoint", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": elsewhere.TracesEndpoint()}, nil, want{enabled: true}},
		{"endpoint by option", nil, []forkspan.Option{forkspan.WithEndpoint("$ENDPOINT")}, want{false, true, true}},
		{"own journal", nil, []forkspan.Option{forkspan.WithJournal(t.TempDir())}, want{false, true, true}},
		{"run without a port", map[string]string{"FORKSPAN_RUN_ENDPOINT": ""}, nil, want{false, true, true}},
		{"no folder", map[string]string{"FORKSPAN_JOURNAL": filepath.Join(t.TempDir(), "gone")}, nil, want{false, true, true}},
		{"nobody reads the folder", map[string]string{"FORKSPAN_JOURNAL": t.TempDir()}, nil, want{false, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnderRun(t)
			for name, value := range tt.env {
				if value == "$HOSTPORT" {
					value = u.collector.Addr() + "/v1/traces"
				}
				t.Setenv(name, value)
			}
			opts := tt.opts
			if tt.name == "endpoint by option" {
				opts = []forkspan.Option{forkspan.WithEndpoint(u.collector.TracesEndpoint())}
			}
			tr, err := forkspan.Init(t.Context(), "test", opts...)
			if err != nil {
				t.Fatal(err)
			}
			got := want{enabled: tr.Enabled()}
			forkspan.Do(t.Context(), "span", func(context.Context) error { return nil })
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			finished, _ := u.taken(t)
			got.journal, got.network = len(finished) == 1, len(u.exported()) == 1
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
