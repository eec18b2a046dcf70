package forward

import (
	"errors"
	"net/http"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/endpoint"
)

// What was to go with one tenant's key never goes with another's, unless that is asked for.
func TestTenantsOfOneBackend(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	a, b := backendOf(t, c, endpoint.HTTP, "HEADERS=api-key=of A"), backendOf(t, c, endpoint.HTTP, "HEADERS=api-key=of B")
	n := fill(t, st, "R", 0, 3, 2)
	c.AnswerAll(forkspantest.Answer{Status: http.StatusServiceUnavailable})
	f := openTo(t, st, a, Options{})
	if stats := f.Drain(soon(t)); stats.Waiting != int64(n) {
		t.Fatalf("%+v", stats)
	}
	f.Close()
	Background(waiting(t), st, b, nil)
	if got := len(c.Spans()); got != 0 {
		t.Fatalf("%d spans of A came with the key of B", got)
	}
	routes, err := st.WaitingRoutes(t.Context())
	if err != nil || len(routes) != 1 {
		t.Fatalf("%v, %v", routes, err)
	}
	if _, err := Resume(t.Context(), st, routes[0], b, Options{}); !errors.Is(err, ErrOthers) {
		t.Errorf("with the key of B: %v", err)
	}
	c.AnswerAll(forkspantest.Answer{})
	again, err := Resume(t.Context(), st, routes[0], b, Options{Adopt: true})
	if err != nil {
		t.Fatal(err)
	}
	again.Drain(waiting(t))
	if stats := again.Close(); stats.Sent != int64(n) || stats.Waiting != 0 || distinct(c.Spans()) != n {
		t.Errorf("adopted: %+v, %d spans", stats, distinct(c.Spans()))
	}
}

// Backends are told apart by who sends, not by when the same one got a new certificate or another order of headers.
func TestIdentity(t *testing.T) {
	of := func(env ...string) string {
		b, err := FromEnviron(environment(env...))
		if err != nil {
			t.Fatal(err)
		}
		return b.Target().Identity
	}
	const host = "ENDPOINT=https://c:4318"
	for name, same := range map[string][2]string{
		"nothing":  {of(host), ""},
		"order":    {of(host, "HEADERS=a=1,b=2"), of(host, "HEADERS=b=2,a=1")},
		"spelling": {of(host, "HEADERS=A=%31"), of(host, "HEADERS=a=1")},
	} {
		if same[0] != same[1] {
			t.Errorf("%s: %q and %q", name, same[0], same[1])
		}
	}
	seen := map[string]string{}
	for _, env := range []string{"HEADERS=a=1", "HEADERS=a=2", "HEADERS=b=1", "HEADERS=a=1,b=2", "HEADERS=a=1b2"} {
		id := of(host, env)
		if id == "" || seen[id] != "" {
			t.Errorf("%s has the identity of %q", env, seen[id])
		}
		seen[id] = env
	}
	for _, url := range []string{"http://c/v1/traces?key=1", "http://c/v1/traces?key=2"} {
		id := of("TRACES_ENDPOINT="+url, "PROTOCOL=http/protobuf")
		if id == "" || seen[id] != "" {
			t.Errorf("%s has the identity of %q", url, seen[id])
		}
		seen[id] = url
	}
}
