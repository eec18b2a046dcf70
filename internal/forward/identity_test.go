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

// Requests of no run go to who receives at the time: not, later, to who received before and comes back.
func TestReceiversTakeTurns(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	key := func(name string) *Backend { return backendOf(t, c, endpoint.HTTP, "HEADERS=api-key="+name) }
	sent := func(name string) (keys []string) {
		for _, r := range c.Requests() {
			if len(r.Spans) > 0 && r.Spans[0].GetName() == name {
				keys = append(keys, r.Header.Get("api-key"))
			}
		}
		return keys
	}
	receive := func(backend *Backend, name string, down bool) {
		t.Helper()
		status := 0
		if down {
			status = http.StatusServiceUnavailable
		}
		c.AnswerAll(forkspantest.Answer{Status: status})
		f, err := Open(t.Context(), st, backend, Options{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, st, "", numbered(t, int(name[0]), 1, name))
		f.Wake()
		patience := waiting(t)
		if down {
			patience = soon(t)
		}
		f.Drain(patience)
		f.Close()
	}
	receive(key("A"), "1 of A, down", true)
	receive(key("B"), "2 of B, down", true)
	receive(key("A"), "3 of A", false)
	receive(key("B"), "4 of B", false)
	routes, err := st.WaitingRoutes(t.Context())
	if err != nil || len(routes) != 0 {
		t.Errorf("%+v wait, %v", routes, err)
	}
	all, err := st.Routes(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, r := range all {
		if requests, spans, err := st.Unsent(t.Context(), r); err != nil || requests != 0 || spans != 0 || r.Sent != 2 {
			t.Errorf("%+v: %d requests, %d spans wait, %v", r, requests, spans, err)
		}
	}
	for name, want := range map[string]string{"1 of A, down": "A", "2 of B, down": "B", "3 of A": "A", "4 of B": "B"} {
		keys := sent(name)
		if len(keys) == 0 {
			t.Errorf("%s was not sent", name)
		}
		for _, key := range keys {
			if key != want {
				t.Errorf("%s was sent with the key of %s", name, key)
			}
		}
	}
}
