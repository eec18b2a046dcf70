package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forkspan.dev/forkspan/forkspantest"
)

func TestGateway(t *testing.T) {
	spans := forkspantest.Install(t)
	upstream := forkspantest.NewModelServer(t)
	routes := gateway{}
	if err := routes.add(forkspantest.ModelName + "=" + upstream.URL()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(routes.handler())
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for model, want := range map[string]int{forkspantest.ModelName: http.StatusOK, "unknown": http.StatusBadRequest} {
		res, err := http.Post(server.URL+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model":"`+model+`","stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(res.Body); err != nil || res.StatusCode != want {
			t.Errorf("%s: status %d, %v", model, res.StatusCode, err)
		}
		res.Body.Close()
	}
	if _, err := spans.WaitSpans(ctx, 5); err != nil {
		t.Fatal(err)
	}
	if got := spans.Tree(); !strings.Contains(got, "POST /v1/chat/completions [server]\n  choose server\n  chat fake-model [client]\n") {
		t.Errorf("got\n%s", got)
	}
}
