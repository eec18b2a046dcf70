package forward

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/store"
)

// script is a transport whose answers take their time on the fake clock of a synctest bubble.
type script struct {
	mu    sync.Mutex
	steps []step // the last one for ever
	tries []time.Time
}

// then replaces what comes.
func (s *script) then(steps ...step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = steps
}

// tried is when there were tries.
func (s *script) tried() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tries)
}

type step struct {
	after time.Duration
	err   error
}

func (s *script) close() {}

func (s *script) send(ctx context.Context, _ []byte) (answer, error) {
	s.mu.Lock()
	now := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	s.tries = append(s.tries, time.Now())
	s.mu.Unlock()
	select {
	case <-time.After(now.after):
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	return answer{}, now.err
}

// bubble runs test with a store in memory and a forwarder of one request to s.
func bubble(t *testing.T, s *script, b *Backend, test func(t *testing.T, f *Forwarder)) {
	body := numbered(t, 0, 1, "s")
	warm, err := store.Open(t.Context(), store.Memory, store.Options{}) // the compressor outlives the bubble
	if err != nil {
		t.Fatal(err)
	}
	put(t, warm, "R", body)
	if _, err := warm.RequestsAfter(t.Context(), "R", 0); err != nil {
		t.Fatal(err)
	}
	if err := warm.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Memory, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, st, "R", body)
		f := openVia(t, st, b, s)
		test(t, f)
		f.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}

func plain() *Backend { return &Backend{Protocol: endpoint.HTTP, Address: "http://c:4318/v1/traces"} }

func busy(after time.Duration) step {
	return step{0, &failure{verdict: again, after: after, err: errors.New("busy")}}
}

// The pauses grow to half a minute; there is no last try.
func TestBackOff(t *testing.T) {
	s := &script{steps: []step{busy(0)}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		time.Sleep(time.Hour)
		tries := s.tried()
		if n := len(tries); n < 100 || n > 180 {
			t.Errorf("%d tries within an hour", n)
		}
		for i := range tries[1:] {
			pause, want := tries[i+1].Sub(tries[i]), min(firstPause<<min(i, 20), maxPause)
			if pause < want*4/5 || pause > want*6/5+time.Millisecond {
				t.Errorf("pause %d is %v, want about %v", i, pause, want)
			}
		}
		s.then(step{})
		time.Sleep(time.Minute)
		if got := f.Stats(); got.Sent != 1 || got.Failing || got.Reason != "" {
			t.Errorf("then: %+v", got)
		}
	})
}

// A pause that the backend asks for is kept, even at the end.
func TestRetryAfterIsWaitedFor(t *testing.T) {
	s := &script{steps: []step{busy(20 * time.Second), {}}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got := f.Drain(ctx); got.Sent != 1 {
			t.Errorf("%+v", got)
		}
		if pause := s.tried()[1].Sub(s.tried()[0]); pause < 20*time.Second || pause > 21*time.Second {
			t.Errorf("pause %v", pause)
		}
	})
}

// A drain does not wait for what cannot come in its time.
func TestDrainGivesUpEarly(t *testing.T) {
	s := &script{steps: []step{busy(20 * time.Second)}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if got := f.Drain(ctx); got.Waiting != 1 || time.Since(began) > time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
	})
}

// A drain makes one more try though the pause is not over: the backend may be back.
func TestDrainTriesOnceMore(t *testing.T) {
	s := &script{steps: []step{busy(0)}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		time.Sleep(10 * time.Minute)
		s.then(step{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if got := f.Drain(ctx); got.Sent != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A backend that answers after 30 s is waited for; one that takes longer than we wait gets more time with each try, unless the
// user has set how long.
func TestSlowBackend(t *testing.T) {
	s := &script{steps: []step{{after: 30 * time.Second}}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		time.Sleep(10 * time.Minute)
		if got := f.Stats(); got.Sent != 1 || len(s.tried()) != 1 {
			t.Errorf("%+v, %d tries", got, len(s.tried()))
		}
	})
	s = &script{steps: []step{{after: 3 * time.Minute}}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		time.Sleep(time.Hour)
		if got := f.Stats(); got.Sent != 1 || len(s.tried()) != 3 {
			t.Errorf("%+v, %d tries", got, len(s.tried()))
		}
	})
	s = &script{steps: []step{{after: 30 * time.Second}}}
	b := plain()
	b.Timeout = 10 * time.Second
	bubble(t, s, b, func(t *testing.T, f *Forwarder) {
		time.Sleep(10 * time.Minute)
		if got := f.Stats(); got.Sent != 0 || got.Reason != "no answer in time" || !got.Failing {
			t.Errorf("%+v", got)
		}
	})
}

// After a refusal of us the next try is made a minute later, with what was refused.
func TestRefusalIsTriedAgain(t *testing.T) {
	no := step{0, &failure{verdict: noAccess, err: errors.New("status 401")}}
	s := &script{steps: []step{no, no, no, {}}}
	bubble(t, s, plain(), func(t *testing.T, f *Forwarder) {
		time.Sleep(time.Second)
		put(t, f.store, "R", numbered(t, 5, 1, "s"))
		f.Wake()
		time.Sleep(90 * time.Second)
		if got := f.Stats(); got.Dead != 1 || len(s.tried()) != 2 {
			t.Errorf("after some refusals: %+v, %d tries", got, len(s.tried()))
		}
		time.Sleep(10 * time.Minute)
		if got := f.Drain(t.Context()); got.Sent != 2 || got.Waiting != 0 || got.Dead != 0 || len(s.tried()) != 5 {
			t.Errorf("%+v, %d tries", got, len(s.tried()))
		}
		if letters, err := f.store.DeadLetters(t.Context(), 0, 0); err != nil || len(letters) != 0 {
			t.Errorf("%d dead letters, %v", len(letters), err)
		}
	})
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-3": 0, "x": 0, "1.5": 0, "99999999999999": maxAfter,
		"Sun, 01 Mar 2026 12:00:30 GMT":  30 * time.Second,
		"Sunday, 01-Mar-26 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Fri, 01 Mar 2126 11:00:00 GMT":  maxAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for status, want := range map[int]verdict{
		400: refused, 401: noAccess, 403: noAccess, 404: noAccess, 405: noAccess, 413: tooLarge, 422: refused, 429: again, 500: refused,
		502: again, 503: again, 504: again, 501: refused, 302: noAccess,
	} {
		if got := httpFailure(&http.Response{StatusCode: status}, nil, time.Now()); got.verdict != want {
			t.Errorf("status %d: %d, want %d", status, got.verdict, want)
		}
	}
	for code, want := range map[codes.Code]verdict{
		codes.InvalidArgument: refused, codes.Unauthenticated: noAccess, codes.PermissionDenied: noAccess, codes.Unimplemented: noAccess,
		codes.Unavailable: again, codes.DeadlineExceeded: again, codes.Canceled: again, codes.Aborted: again, codes.OutOfRange: again,
		codes.DataLoss: again, codes.ResourceExhausted: again, codes.Internal: refused, codes.Unknown: refused,
	} {
		if got := grpcFailure(status.Error(code, "x")); got.verdict != want {
			t.Errorf("%v: %d, want %d", code, got.verdict, want)
		}
	}
	large := status.New(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 4)")
	if got := grpcFailure(large.Err()); got.verdict != tooLarge {
		t.Errorf("too large: %+v", got)
	}
	asked, err := large.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if got := grpcFailure(asked.Err()); got.verdict != again || got.after != 3*time.Second {
		t.Errorf("with RetryInfo: %+v", got)
	}
}

// A backend's words are one short line without control characters.
func TestWordsOfBackends(t *testing.T) {
	long := "a\x1b[31m\nb\xff" + string(make([]byte, 10_000))
	resp := &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {"application/json"}}}
	body, err := json.Marshal(map[string]string{"message": long})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		httpFailure(resp, body, time.Now()).Error(), grpcFailure(status.Error(codes.Internal, long)).Error(),
	} {
		if len(text) > 2*maxText || strings.ContainsAny(text, "\x1b\n\x00") || !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
	}
}
