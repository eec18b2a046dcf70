package forkspan

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk"
	"go.opentelemetry.io/otel/sdk/resource"
)

// resource describes this process. Later sources win: what can be found out, OTEL_RESOURCE_ATTRIBUTES, options,
// OTEL_SERVICE_NAME or its option, and last the vllm.* attributes, as in vLLM.
func (r *reader) resource(s *settings, module string) *resource.Resource {
	found := []attribute.KeyValue{
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.name", "opentelemetry"),
		attribute.String("telemetry.sdk.version", sdk.Version()),
		attribute.String("service.instance.id", newUUID()),
		attribute.Int("process.pid", os.Getpid()),
	}
	if host, err := os.Hostname(); err == nil {
		found = append(found, attribute.String("host.name", host))
	}
	service := "unknown_service" // the resource conventions' default, with the executable's name where that is known
	if path, err := os.Executable(); err == nil {
		service += ":" + filepath.Base(path)
		found = append(found, attribute.String("process.executable.name", filepath.Base(path)))
	}
	if module != "" {
		service = module
	}
	found = append(found, attribute.String("service.name", service))
	attrs := append(found, r.resourceAttributes()...)
	attrs = append(attrs, s.attributes...)
	name := s.serviceName
	if name == "" {
		_, name = r.first("OTEL_SERVICE_NAME")
	}
	if name != "" {
		attrs = append(attrs, attribute.String("service.name", name))
	}
	attrs = append(attrs,
		attribute.String("vllm.instrumenting_module_name", module),
		attribute.String("vllm.process_id", strconv.Itoa(os.Getpid())))
	return resource.NewSchemaless(append(attrs, s.identity...)...)
}

// resourceAttributes reads OTEL_RESOURCE_ATTRIBUTES, a list of key=value with URL-escaped values. What has no equals sign
// or no key is left out; a value that is not escaped properly is taken as it is.
func (r *reader) resourceAttributes() []attribute.KeyValue {
	name, list := r.first("OTEL_RESOURCE_ATTRIBUTES")
	var attrs []attribute.KeyValue
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, raw, ok := strings.Cut(part, "=")
		key, raw = strings.TrimSpace(key), strings.TrimSpace(raw)
		if !ok || key == "" {
			r.bad(name, part, "the other attributes", errors.New("not in the form key=value"))
			r.noisy = append(r.noisy, name)
			continue
		}
		value, err := url.PathUnescape(raw)
		if err != nil {
			r.bad(name, part, "the value as it is", errors.New("invalid URL escape"))
			r.noisy = append(r.noisy, name)
			value = raw
		}
		attrs = append(attrs, attribute.String(key, value))
	}
	return attrs
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
