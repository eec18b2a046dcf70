package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"forkspan.dev/forkspan/forkspantest"
)

// How long the streams to a real collector are: short, so that they can always run.
var (
	streamSpans = flag.Int("stream-spans", 10_000, "spans of each stream to the collector")
	streamBatch = flag.Int("stream-batch", 10, "spans of a request, on average")
	streamKills = flag.Int("stream-kills", 5, "how often the collector, and forkspan, is killed meanwhile")
)

// realCollector is an OpenTelemetry Collector that passes on what it takes to a sink before it answers: what it has
// acknowledged is in the sink even if it is killed at once.
type realCollector struct {
	sink    *forkspantest.Collector
	address string
	command *exec.Cmd
	ended   <-chan struct{}
}

func newRealCollector(t *testing.T) *realCollector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a free port
	if err != nil {
		t.Fatal(err)
	}
	c := &realCollector{sink: forkspantest.NewCollector(t), address: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// start returns when the collector listens.
func (c *realCollector) start() error {
	config := fmt.Sprintf(`yaml:{receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}}}},
		exporters: {otlphttp: {endpoint: "%s", sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}},
		service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [otlphttp]}}}}`,
		c.address, c.sink.Endpoint())
	c.command = exec.Command(filepath.Join(cache, "bin", "collector"), "--config", strings.Join(strings.Fields(config), " "))
	c.command.Env = environment()
	var said strings.Builder
	c.command.Stderr = &said
	if err := c.command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.command.Wait()
	}()
	c.ended = ended
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("the collector has ended: %s", said.String())
		case <-late:
			return fmt.Errorf("the collector does not listen: %w", err)
		}
	}
}

func (c *realCollector) kill() {
	if c.command == nil {
		return
	}
	_ = c.command.Process.Kill() // it may have ended by itself, which start has said
	<-c.ended
	c.command = nil
}

// check compares what has arrived with what was acknowledged.
func (c *realCollector) check(t *testing.T, acknowledged map[uint64]bool) {
	t.Helper()
	seen := make(map[uint64]int)
	for _, s := range c.sink.Spans() {
		if s.GetName() == streamed {
			seen[binary.BigEndian.Uint64(s.GetSpanId())]++
		}
	}
	lost, twice := 0, 0
	for id := range acknowledged {
		if seen[id] == 0 {
			lost++
		}
	}
	for _, n := range seen {
		twice += n - 1
	}
	t.Logf("%d spans acknowledged, %d lost, %d came twice", len(acknowledged), lost, twice)
	if lost > 0 || twice*100 > len(acknowledged) {
		t.Errorf("%d of %d spans were lost, %d came twice", lost, len(acknowledged), twice)
	}
}

// streamed is the name of the spans of a stream.
const streamed = "streamed"

// streamPace is the time from one request to the next.
const streamPace = 5 * time.Millisecond

// stream sends spans to a run's port and knows which were acknowledged.
type stream struct {
	next         uint64
	acknowledged map[uint64]bool
}

// post sends a request; the spans of one that is not acknowledged count as never sent.
func (s *stream) post(ctx context.Context, url string, spans int) error {
	var scope trace.ScopeSpans
	first := s.next
	for range spans {
		s.next++
		id := binary.BigEndian.AppendUint64(nil, s.next)
		scope.Spans = append(scope.Spans, &trace.Span{
			TraceId: append([]byte("streamed"), id...), SpanId: id, Name: streamed,
			StartTimeUnixNano: uint64(time.Now().UnixNano()), EndTimeUnixNano: uint64(time.Now().UnixNano()),
		})
	}
	body, err := proto.Marshal(&trace.TracesData{ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{&scope}}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(err, fmt.Errorf("status %d", resp.StatusCode))
	}
	for id := first + 1; id <= s.next; id++ {
		s.acknowledged[id] = true
	}
	return nil
}

// streamRun is a `forkspan run` whose port the test itself sends to.
type streamRun struct {
	command *exec.Cmd
	stdin   io.Closer
	url     string
	stderr  *strings.Builder
}

func startStreamRun(t *testing.T, env []string, args ...string) *streamRun {
	t.Helper()
	r := &streamRun{stderr: new(strings.Builder)}
	r.command = exec.Command(ours("forkspan"), append(append([]string{"run"}, args...),
		"--", "sh", "-c", "echo $OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; exec cat")...)
	r.command.Env, r.command.Stderr = env, r.stderr
	stdin, err := r.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	r.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, r.stderr)
	}
	r.url = strings.TrimSpace(line)
	return r
}

// end lets the run end by itself.
func (r *streamRun) end(t *testing.T) {
	t.Helper()
	_ = r.stdin.Close()
	if err := r.command.Wait(); err != nil {
		t.Errorf("%v: %s", err, r.stderr)
	}
	t.Log(strings.TrimSpace(r.stderr.String()))
}

// kill kills forkspan; its command ends with its stdin.
func (r *streamRun) kill(t *testing.T) {
	t.Helper()
	if err := r.command.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = r.stdin.Close()
	_ = r.command.Wait() // it was killed
	http.DefaultClient.CloseIdleConnections()
}

// A collector that is down for the whole run gets all spans once it is there.
func TestCollectorIsDownForTheRun(t *testing.T) {
	c := newRealCollector(t)
	env := environment("HOME="+t.TempDir(), "XDG_STATE_HOME=", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+c.address)
	s := &stream{acknowledged: map[uint64]bool{}}
	r := startStreamRun(t, env)
	for range *streamSpans / *streamBatch {
		if err := s.post(t.Context(), r.url, *streamBatch); err != nil {
			t.Fatal(err)
		}
	}
	r.end(t)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	t.Log(strings.TrimSpace(execute(t, env, ours("forkspan"), "forward")))
	c.check(t, s.acknowledged)
}

// The collector is killed again and again during a stream of spans.
func TestCollectorIsKilled(t *testing.T) {
	c := newRealCollector(t)
	env := environment("HOME="+t.TempDir(), "XDG_STATE_HOME=", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+c.address)
	s := &stream{acknowledged: map[uint64]bool{}}
	r := startStreamRun(t, env, "--drain", "60s")
	var killing sync.WaitGroup
	next := make(chan struct{})
	killing.Go(func() {
		for {
			if err := c.start(); err != nil {
				t.Error(err)
			}
			if _, more := <-next; !more {
				return
			}
			c.kill()
		}
	})
	requests := *streamSpans / *streamBatch
	pace := time.NewTicker(streamPace)
	defer pace.Stop()
	for i := range requests {
		if err := s.post(t.Context(), r.url, 1+rand.IntN(2**streamBatch-1)); err != nil {
			t.Error(err)
			break
		}
		if i%max(1, requests / *streamKills) == 0 {
			next <- struct{}{}
		}
		<-pace.C
	}
	close(next)
	killing.Wait()
	r.end(t)
	c.check(t, s.acknowledged)
}

// forkspan is killed again and again during a stream of spans, and so is the collector: whatever forkspan has acknowledged
// arrives, sent by one of the next.
func TestForkspanIsKilled(t *testing.T) {
	c := newRealCollector(t)
	env := environment("HOME="+t.TempDir(), "XDG_STATE_HOME=", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+c.address)
	s := &stream{acknowledged: map[uint64]bool{}}
	for round := range *streamKills {
		if round%4 == 0 {
			c.kill()
			if err := c.start(); err != nil {
				t.Fatal(err)
			}
		}
		r := startStreamRun(t, env)
		requests := *streamSpans / *streamBatch / *streamKills
		last := requests/2 + rand.IntN(requests/2+1)
		pace := time.NewTicker(streamPace)
		for i := range requests {
			if i == last {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(rand.N(streamPace), func() {
					_ = r.command.Process.Kill()
					cancel()
				})
				_ = s.post(ctx, r.url, *streamBatch) // it may have been acknowledged
				<-ctx.Done()
				break
			}
			if err := s.post(t.Context(), r.url, 1+rand.IntN(2**streamBatch-1)); err != nil {
				t.Fatal(err)
			}
			<-pace.C
		}
		pace.Stop()
		r.kill(t)
	}
	t.Log(strings.TrimSpace(execute(t, env, ours("forkspan"), "forward")))
	c.check(t, s.acknowledged)
	if n := len(s.acknowledged); n < *streamSpans/3 {
		t.Errorf("only %d spans were acknowledged", n)
	}
}
