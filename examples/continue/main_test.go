package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// childVariable makes the test binary stand in for Python: it prints the parent that it was given.
const childVariable = "CONTINUE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		_, _ = os.Stdout.WriteString(os.Getenv("traceparent"))
		return
	}
	os.Exit(m.Run())
}

func TestContinue(t *testing.T) {
	spans := forkspantest.Install(t)
	t.Setenv(childVariable, "1")
	r := httptest.NewRequest(http.MethodPost, "/tokens", strings.NewReader("Hello, world!"))
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	w := httptest.NewRecorder()
	handler(os.Args[0]).ServeHTTP(w, r)
	span, ok := spans.Find("Count tokens")
	if !ok || span.Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Fatalf("got\n%s", spans.Tree())
	}
	want := "00-0af7651916cd43dd8448eb211c80319c-" + span.SpanContext().SpanID().String() + "-01"
	if got := w.Body.String(); got != want {
		t.Errorf("the child's parent is %q, want %q", got, want)
	}
}
