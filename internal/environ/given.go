package environ

import (
	"net/url"
	"strings"
)

// Outer is the run that a process was started in.
type Outer struct {
	RunID    string
	HostPort string // where it receives spans
}

// FindOuter returns the run that lookup's environment belongs to, if it names one and says where it listens.
func FindOuter(lookup func(string) (string, bool)) (Outer, bool) {
	id, _ := lookup(RunVariable)
	endpoint, _ := lookup("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	hostPort := endpoint
	if strings.Contains(endpoint, "://") {
		u, err := url.Parse(endpoint)
		if err != nil {
			return Outer{RunID: id}, false
		}
		hostPort = u.Host
	}
	hostPort = strings.TrimRight(hostPort, "/")
	return Outer{RunID: id, HostPort: hostPort}, id != "" && hostPort != ""
}

// WithoutOuter returns environ without what an outer run put in to be reached.
func WithoutOuter(environ []string) []string {
	v := newVars(environ, foldCase)
	if v.get(RunVariable) == "" {
		return environ
	}
	for _, name := range []string{"ENDPOINT", "INSECURE", "PROTOCOL"} {
		v.unset("OTEL_EXPORTER_OTLP_TRACES_" + name)
	}
	for _, name := range []string{RunVariable, JournalVariable, EndpointVariable} {
		v.unset(name)
	}
	return v.environ()
}

// Silenced returns the setting, as NAME=VALUE, that keeps processes with this environment from sending spans; empty when
// there is none.
func Silenced(lookup func(string) (string, bool)) string {
	if value, _ := lookup("OTEL_SDK_DISABLED"); strings.EqualFold(strings.TrimSpace(value), "true") {
		return "OTEL_SDK_DISABLED=" + value
	}
	value, _ := lookup("OTEL_TRACES_EXPORTER")
	if strings.TrimSpace(value) == "" {
		return ""
	}
	for name := range strings.SplitSeq(value, ",") {
		if strings.HasPrefix(strings.TrimSpace(name), "otlp") {
			return ""
		}
	}
	return "OTEL_TRACES_EXPORTER=" + value
}
