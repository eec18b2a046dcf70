package forkspan

import (
	"fmt"
	"strings"

	"forkspan.dev/forkspan/internal/redact"
)

// ConfigError is a setting that could not be used. [Init] returns it, or several of them joined; find the first with
// errors.As.
type ConfigError struct {
	Var   string // the environment variable, or the option in the form "WithEndpoint"
	Value string // as it was found; secrets are replaced by "[redacted]"
	Used  string // what was done instead, such as "parentbased_always_on" or "tracing disabled"
	Err   error  // why the value is of no use
}

// Error says which setting is wrong, why, and what was used instead.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("read %s=%q: %v; used instead: %s", e.Var, e.Value, e.Err, e.Used)
}

// Unwrap returns the reason.
func (e *ConfigError) Unwrap() error { return e.Err }

// usedDisabled is what Used says when a bad setting leaves nothing to send spans with.
const usedDisabled = "tracing disabled"

// maskEndpoint hides user and password of an endpoint, in whatever shape it is, and tokens in its query.
func maskEndpoint(raw string) string {
	if at := strings.LastIndexByte(raw, '@'); at >= 0 {
		start := 0
		if i := strings.Index(raw, "//"); i >= 0 && i < at {
			start = i + 2
		}
		raw = raw[:start] + redact.Mark + raw[at:]
	}
	return redact.String(raw)
}

// maskHeader hides the value of a "key=value" header.
func maskHeader(pair string) string {
	if key, _, ok := strings.Cut(pair, "="); ok {
		return key + "=" + redact.Mark
	}
	return redact.Mark
}
