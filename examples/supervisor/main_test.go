package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
)

// childVariable makes the test binary the server that is started.
const childVariable = "SUPERVISOR_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		_ = os.WriteFile(path, []byte(os.Getenv("traceparent")), 0o600)
		return
	}
	os.Exit(m.Run())
}

func TestSupervise(t *testing.T) {
	spans := forkspantest.Install(t)
	server := forkspantest.NewModelServer(t)
	seen := t.TempDir() + "/seen"
	t.Setenv(childVariable, seen)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := supervise(ctx, server.URL()+"/health", []string{os.Args[0]}); err == nil {
		t.Error("a server that ends is an error")
	}
	if got := spans.Tree(); got != "Start server\n  Wait until ready\n" {
		t.Errorf("got\n%s", got)
	}
	start, _ := spans.Find("Start server")
	traceparent, err := os.ReadFile(seen)
	if err != nil || !strings.Contains(string(traceparent), start.SpanContext().SpanID().String()) {
		t.Errorf("the server's traceparent is %q, %v", traceparent, err)
	}
}
