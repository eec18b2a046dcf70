package forward

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"forkspan.dev/forkspan/forkspantest"
	"forkspan.dev/forkspan/internal/endpoint"
	"forkspan.dev/forkspan/internal/store"
)

// helperVariable makes the test binary forward a store's run instead of testing.
const helperVariable = "FORKSPAN_FORWARD_TEST_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(helperVariable); path != "" {
		if err := forwardUntilDone(path); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// forwardUntilDone writes a line when it begins to send, and ends when nothing waits.
func forwardUntilDone(path string) error {
	ctx := context.Background()
	st, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return err
	}
	b, err := FromEnviron(os.LookupEnv)
	if err != nil {
		return err
	}
	f, err := Open(ctx, st, b, Options{Run: "R"})
	if err != nil {
		return err
	}
	_, _ = os.Stdout.WriteString("sending\n")
	f.Drain(ctx)
	f.Close()
	return st.Close()
}

// The forwarding process is killed at random moments, again and again: all spans arrive, and hardly any twice.
func TestKilledWhileForwarding(t *testing.T) {
	for _, protocol := range []string{endpoint.GRPC, endpoint.HTTP} {
		t.Run(protocol, func(t *testing.T) {
			c := forkspantest.NewCollector(t)
			path := filepath.Join(t.TempDir(), "forkspan.db")
			st, err := store.Open(t.Context(), path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			const rounds, requests = 15, 6000 // with four requests under way each time still 1 %
			n := fill(t, st, "R", 0, requests, 2)
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			finished := false
			for round := 0; !finished && round < 10*rounds; round++ {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), helperVariable+"="+path, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.Endpoint(),
					"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
					t.Fatalf("%v: %s", err, stderr.String())
				}
				if round < rounds {
					// The moment of death is counted in what has arrived.
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_, _ = c.WaitRequests(ctx, len(c.Requests())+rand.IntN(requests/rounds))
					cancel()
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
				finished = cmd.Wait() == nil
			}
			spans := c.Spans()
			if distinct(spans) != n {
				t.Errorf("%d of %d spans arrived", distinct(spans), n)
			}
			if twice := len(spans) - n; twice > n/100 {
				t.Errorf("%d of %d spans came twice", twice, n)
			} else {
				t.Logf("%d of %d spans came twice", twice, n)
			}
		})
	}
}
