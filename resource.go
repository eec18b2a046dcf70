package forkspan

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk"
	"go.opentelemetry.io/otel/sdk/resource"
)

// newResource describes this process. Later sources win: what can be found out, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_SERVICE_NAME, options, and last the vllm.* attributes, as in vLLM.
func newResource(s *settings, module string) *resource.Resource {
	found := []attribute.KeyValue{
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.name", "opentelemetry"),
		attribute.String("telemetry.sdk.version", sdk.Version()),
		attribute.String("service.instance.id", newUUID()),
		attribute.Int("process.pid", os.Getpid()),
	}
	if module != "" {
		found = append(found, attribute.String("service.name", module))
	}
	if host, err := os.Hostname(); err == nil {
		found = append(found, attribute.String("host.name", host))
	}
	if path, err := os.Executable(); err == nil {
		found = append(found, attribute.String("process.executable.name", filepath.Base(path)))
	}
	attrs := append(found, resource.Environment().Attributes()...)
	attrs = append(attrs, s.attributes...)
	if s.serviceName != "" {
		attrs = append(attrs, attribute.String("service.name", s.serviceName))
	}
	attrs = append(attrs,
		attribute.String("vllm.instrumenting_module_name", module),
		attribute.String("vllm.process_id", strconv.Itoa(os.Getpid())))
	return resource.NewSchemaless(append(attrs, s.identity...)...)
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
