package forward

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/endpoint"
)

// A backend that repeats what it was sent to know us by does not get it into the store or onto the screen.
func TestBackendRepeatsTheSecret(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("user:pass/word"))
	for name, tt := range map[string]struct{ header, says string }{
		"plain":    {"api-key=0123 abc", "bad key 0123 abc"},
		"bearer":   {"authorization=Bearer 0123abc", "token 0123abc has expired"},
		"password": {"authorization=Basic " + basic, "no user with pass/word"},
		"escaped":  {"api-key=0123 abc", "no route for /?key=0123+abc"},
	} {
		for _, protocol := range []string{endpoint.GRPC, endpoint.HTTP} {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				c, st := forkspantest.NewCollector(t), openStore(t)
				c.AnswerAll(forkspantest.Answer{Code: codes.Unauthenticated, Message: tt.says})
				n := fill(t, st, "R", 0, 1, 2)
				said := make(chan string, 1)
				f := openTo(t, st, backendOf(t, c, protocol, "HEADERS="+tt.header), Options{Notify: func(msg string) { said <- msg }})
				f.Drain(waiting(t))
				stats := f.Close()
				if stats.Dead != int64(n) {
					t.Fatalf("%+v", stats)
				}
				letters, err := st.DeadLetters(t.Context(), f.route.ID, 0)
				if err != nil || len(letters) != 1 {
					t.Fatalf("%v, %v", letters, err)
				}
				route, err := st.Route(t.Context(), f.route.ID)
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range []string{stats.Reason, letters[0].Reason, route.Error, <-said} {
					for _, secret := range []string{"0123", "abc", "pass", basic} {
						if strings.Contains(text, secret) {
							t.Errorf("%q has %q", text, secret)
						}
					}
					if !strings.Contains(text, "[redacted]") {
						t.Errorf("%q does not say what the backend said", text)
					}
				}
			})
		}
	}
}

// What answers every request with a page has taken no spans.
func TestPageForPeople(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<html>log in")
	}))
	defer server.Close()
	st := openStore(t)
	n := fill(t, st, "R", 0, 3, 2)
	b, err := FromEnviron(environment("ENDPOINT="+server.URL, "PROTOCOL="+endpoint.HTTP))
	if err != nil {
		t.Fatal(err)
	}
	f := openTo(t, st, b, Options{})
	f.Drain(waiting(t))
	if got := f.Close(); got.Sent != 0 || got.Dead+got.Waiting != int64(n) || got.Dead != 2 || !strings.Contains(got.Reason, "page") {
		t.Errorf("%+v", got)
	}
}
