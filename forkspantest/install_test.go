package forkspantest_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"go.opentelemetry.io/otel"

	"forkspan.dev/forkspan"
	"forkspan.dev/forkspan/forkspantest"
)

const somebodysTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

func TestInstall(t *testing.T) {
	t.Setenv("traceparent", somebodysTrace)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	provider, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()

	t.Run("inner", func(t *testing.T) {
		recorder := forkspantest.Install(t)
		err := forkspan.Do(t.Context(), "load", func(ctx context.Context) error {
			_, span := otel.Tracer("library").Start(ctx, "read")
			span.End()
			return errors.New("no such file")
		})
		if err == nil {
			t.Error("the error is lost")
		}
		want := "load [error: *errors.errorString: no such file]\n  read\n"
		if got := recorder.Tree(); got != want {
			t.Errorf("tree:\n%swant:\n%s", got, want)
		}
		if _, err := forkspan.Init(t.Context(), "again"); !errors.Is(err, forkspan.ErrInitialised) {
			t.Errorf("second Init: %v", err)
		}
	})

	if forkspan.Enabled() {
		t.Error("the recorder is still the tracer")
	}
	if got := os.Getenv("traceparent"); got != somebodysTrace {
		t.Errorf("traceparent %q", got)
	}
	if otel.GetTracerProvider() != provider || otel.GetTextMapPropagator() != propagator {
		t.Error("the globals were not put back")
	}
}

// fakeTB keeps what Install says to a test, and stops it as FailNow does.
type fakeTB struct {
	testing.TB
	failed bool
}

func (f *fakeTB) Fatalf(string, ...any) {
	f.failed = true
	panic(f)
}

func TestInstallTwiceFails(t *testing.T) {
	forkspantest.Install(t)
	inner := &fakeTB{TB: t}
	defer func() {
		if recover() != any(inner) || !inner.failed {
			t.Error("a second recorder was installed")
		}
	}()
	forkspantest.Install(inner)
}
