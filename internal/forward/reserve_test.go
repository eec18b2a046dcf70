package forward

import (
	"context"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/endpoint"
)

// A forwarder that cannot be opened keeps nobody else from the route, whether the route was reserved before or not.
func TestFailedOpenGivesUp(t *testing.T) {
	c, st := forkspantest.NewCollector(t), openStore(t)
	b := backendOf(t, c, endpoint.HTTP)
	reserved, err := Reserve(t.Context(), st, b, "R", Settings{})
	if err != nil {
		t.Fatal(err)
	}
	route, err := st.Route(t.Context(), reserved.route)
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, opts := range []Options{{Run: "R", Reserved: reserved}, {Run: "R"}} {
		if _, err := openRoute(canceled, st, route, b, opts); err == nil {
			t.Fatal("it is open")
		}
		again, err := reserve(st, route.ID)
		if err != nil {
			t.Fatal(err)
		}
		again.unlock()
	}
}
