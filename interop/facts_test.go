package interop

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"forkspan.dev/forkspan/forkspantest"
)

// What `forkspan run` builds on: with a traces endpoint that ends in "/", and the insecure variable beside it, every exporter
// comes to the port in plain text; those of OTLP/HTTP post to "/" itself, where a collector answers 404 and our receiver must not.
func TestFactPathOfTracesEndpoint(t *testing.T) {
	for _, c := range children {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			collector := forkspantest.NewCollector(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			command := c.command()
			cmd := exec.CommandContext(ctx, command[0], command[1:]...)
			cmd.Env = environment(
				"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+collector.Endpoint()+"/",
				"OTEL_EXPORTER_OTLP_TRACES_INSECURE=true",
				"INTEROP_NODE="+filepath.Join(cache, "node"),
			)
			out, err := cmd.CombinedOutput() // the 404 is an error to some
			requests := collector.Requests()
			if len(requests) == 0 {
				t.Fatalf("no request came: %v\n%s", err, out)
			}
			want := "/"
			if c.protocol == "grpc" {
				want = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
			}
			if got := requests[0]; got.Path != want || got.Protocol != c.protocol {
				t.Errorf("%s to %s, want %s to %s", got.Protocol, got.Path, c.protocol, want)
			}
		})
	}
}

// A program of which only the general endpoint is known posts where OTLP/HTTP says.
func TestFactPathOfGeneralEndpoint(t *testing.T) {
	for _, c := range children {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			collector := forkspantest.NewCollector(t)
			vars := environment("OTEL_EXPORTER_OTLP_ENDPOINT="+collector.Endpoint(), "INTEROP_NODE="+filepath.Join(cache, "node"))
			execute(t, vars, c.command()...)
			if got := forkspantest.Tree(collector.Spans()); got != "work\n" {
				t.Errorf("tree %q", got)
			}
			if got := collector.Requests()[0].Protocol; got != c.protocol {
				t.Errorf("protocol %q, want %q", got, c.protocol)
			}
		})
	}
}
