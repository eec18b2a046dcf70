package environ

import (
	"net"
	"strings"
)

// RunVariable names the run a process belongs to. A forkspan that finds it set adds a span to that run.
const RunVariable = "FORKSPAN_RUN"

// JournalVariable names the folder where processes of a run keep journals of their spans.
const JournalVariable = "FORKSPAN_JOURNAL"

// EndpointVariable repeats the endpoint of a run, so that who keeps journals knows whether somebody has changed it since.
const EndpointVariable = "FORKSPAN_RUN_ENDPOINT"

// RunAttribute is the resource attribute that names the run.
const RunAttribute = "forkspan.run.id"

// flushDelay is the batch processor's delay for children, in milliseconds: what a killed child may lose.
const flushDelay = "500"

// TraceContext is the parent that processes take from their environment, as the W3C values.
type TraceContext struct {
	Traceparent, Tracestate, Baggage string
}

// Child says what the processes of a run are told.
type Child struct {
	HostPort string       // of the port that receives their spans; empty leaves all OTLP settings alone
	RunID    string       // becomes FORKSPAN_RUN and a resource attribute
	Journal  string       // folder of journals; empty for none
	Service  string       // service name where the user gave none
	Context  TraceContext // empty values are removed from the environment
}

// Endpoint is the value of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT for a port. The slash is for HTTP exporters, which take the
// variable as the whole URL; gRPC exporters drop it.
func Endpoint(hostPort string) string { return "http://" + hostPort + "/" }

// Environ returns the environment of a child, made from base. base itself is not changed.
//
// Protocol variables are left alone: the port speaks every OTLP protocol, whatever a child picks.
func (c Child) Environ(base []string) []string { return c.environ(base, foldCase) }

func (c Child) environ(base []string, fold bool) []string {
	v := newVars(base, fold)
	c.Context.write(v)
	v.set(RunVariable, c.RunID)
	if !hasServiceName(v) && c.Service != "" {
		v.set("OTEL_SERVICE_NAME", c.Service)
	}
	v.set("OTEL_RESOURCE_ATTRIBUTES", withRunAttribute(v.get("OTEL_RESOURCE_ATTRIBUTES"), c.RunID))
	v.unset(EndpointVariable)
	if c.HostPort != "" {
		exportTo(v, c.HostPort)
		v.set(EndpointVariable, Endpoint(c.HostPort))
	}
	v.unset(JournalVariable)
	if c.Journal != "" {
		v.set(JournalVariable, c.Journal)
	}
	return v.environ()
}

// Nested returns the environment of a command that runs inside another run: only the parent of its spans changes.
func Nested(base []string, parent TraceContext) []string {
	v := newVars(base, foldCase)
	parent.write(v)
	return v.environ()
}

func (t TraceContext) write(v *vars) {
	v.both("traceparent", t.Traceparent)
	v.both("tracestate", t.Tracestate)
	v.both("baggage", t.Baggage)
}

// exportTo makes any OTLP exporter send its traces to hostPort in plain text, and leaves metrics and logs where they went.
func exportTo(v *vars, hostPort string) {
	const prefix = "OTEL_EXPORTER_OTLP_"
	v.set(prefix+"TRACES_ENDPOINT", Endpoint(hostPort))
	v.set(prefix+"TRACES_INSECURE", "true")
	for _, name := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "HEADERS", "COMPRESSION"} {
		v.unset(prefix + "TRACES_" + name)
	}
	// A certificate that is set for all signals makes exporters want TLS, or fail to read it, for traces as well.
	general := []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"}
	// Ours takes gzip; other encodings, which not every exporter of a signal knows, stay with the other signals.
	if c := v.get(prefix + "COMPRESSION"); c != "gzip" {
		general = append(general, "COMPRESSION")
	}
	for _, name := range general {
		if value := v.get(prefix + name); value != "" {
			v.setDefault(prefix+"METRICS_"+name, value)
			v.setDefault(prefix+"LOGS_"+name, value)
			v.unset(prefix + name)
		}
	}
	v.setDefault("OTEL_BSP_SCHEDULE_DELAY", flushDelay)
	bypassProxies(v, hostPort)
}

// bypassProxies keeps proxies out of the way to hostPort. The lower- and the upper-case variable are read by different
// programs, and each hides the other: where only one is set, the new one starts from its value.
func bypassProxies(v *vars, hostPort string) {
	hosts := []string{"127.0.0.1", "localhost"}
	if host, _, err := net.SplitHostPort(hostPort); err == nil && host != hosts[0] {
		hosts = append(hosts, host)
	}
	upper, hasUpper := v.lookup("NO_PROXY")
	lower, hasLower := v.lookup("no_proxy")
	if !hasUpper {
		upper = lower
	}
	if !hasLower {
		lower = upper
	}
	v.set("NO_PROXY", withHosts(upper, hosts))
	v.set("no_proxy", withHosts(lower, hosts))
	// gRPC's own variable, where it is set, hides no_proxy.
	if list, ok := v.lookup("no_grpc_proxy"); ok {
		v.set("no_grpc_proxy", withHosts(list, hosts))
	}
}

// withHosts appends the hosts that list lacks. A lone "*" stays alone: it means every host only then.
func withHosts(list string, hosts []string) string {
	if strings.TrimSpace(list) == "*" {
		return list
	}
	have := make(map[string]bool)
	for item := range strings.SplitSeq(list, ",") {
		have[strings.TrimSpace(item)] = true
	}
	list = strings.TrimRight(list, ", ")
	for _, host := range hosts {
		if have[host] {
			continue
		}
		if list != "" {
			list += ","
		}
		list += host
	}
	return list
}

func hasServiceName(v *vars) bool {
	if v.get("OTEL_SERVICE_NAME") != "" {
		return true
	}
	for item := range strings.SplitSeq(v.get("OTEL_RESOURCE_ATTRIBUTES"), ",") {
		key, value, _ := strings.Cut(item, "=")
		if strings.TrimSpace(key) == "service.name" && strings.TrimSpace(value) != "" {
			return true
		}
	}
	return false
}

// withRunAttribute adds the run to a list of resource attributes, in place of an outer run's.
func withRunAttribute(list, runID string) string {
	var kept []string
	for item := range strings.SplitSeq(list, ",") {
		key, _, _ := strings.Cut(item, "=")
		if key = strings.TrimSpace(key); key != "" && key != RunAttribute {
			kept = append(kept, item)
		}
	}
	return strings.Join(append(kept, RunAttribute+"="+runID), ",")
}

// With returns environ with a variable set.
func With(environ []string, name, value string) []string {
	v := newVars(environ, foldCase)
	v.set(name, value)
	return v.environ()
}
