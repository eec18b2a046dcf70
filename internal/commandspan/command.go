package commandspan

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/redact"
	"forkspan.dev/forkspan/internal/supervise"
)

// maxArgs bounds the recorded command line, in bytes: some tools pass whole files in it.
const maxArgs = 32 << 10

// Scrub returns a command line as it may be recorded: without secrets, valid UTF-8, and not overlong.
func Scrub(argv []string) []string {
	out := redact.Args(argv)
	left := maxArgs
	for i, arg := range out {
		if arg = strings.ToValidUTF8(arg, "\uFFFD"); len(arg) > left {
			out[i] = cutText(arg, left)
			return out[:i+1]
		}
		out[i] = arg
		left -= len(arg)
	}
	return out
}

// cutText cuts what is longer than most bytes.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

// Resource is the resource of forkspan's own spans: the user's attributes, the service and the run. It has no process id:
// the spans are about processes, they do not come from them.
func Resource(lookup func(string) (string, bool), service, runID string) []otlp.Field {
	var fields []otlp.Field
	list, _ := lookup("OTEL_RESOURCE_ATTRIBUTES")
	for item := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(item, "=")
		key = strings.TrimSpace(key)
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || key == "" || key == environ.RunAttribute || !utf8.ValidString(key+decoded) {
			continue
		}
		if key == "service.name" {
			service = decoded
			continue
		}
		if redact.SecretName(key) {
			decoded = redact.Mark
		}
		fields = append(fields, otlp.Field{Key: key, Value: redact.String(decoded)})
	}
	if name, _ := lookup("OTEL_SERVICE_NAME"); name != "" {
		service = name
	}
	host, _ := os.Hostname()
	return append(fields,
		otlp.Field{Key: "service.name", Value: strings.ToValidUTF8(service, "\uFFFD")},
		otlp.Field{Key: "host.name", Value: host},
		otlp.Field{Key: sdkNameKey, Value: sdkName},
		otlp.Field{Key: "telemetry.sdk.language", Value: "go"},
		otlp.Field{Key: environ.RunAttribute, Value: runID},
	)
}

// Started returns the attributes that are known when a command has been started. argv is scrubbed.
func Started(argv []string, pid int) []otlp.Field {
	args := make([]any, len(argv))
	for i, arg := range argv {
		args[i] = arg
	}
	fields := []otlp.Field{
		{Key: "process.pid", Value: int64(pid)},
		{Key: "process.parent_pid", Value: int64(os.Getpid())},
		{Key: "process.command_args", Value: args},
	}
	if len(argv) > 0 {
		fields = append(fields, otlp.Field{Key: "process.executable.name", Value: BaseName(argv[0])})
	}
	if dir, err := os.Getwd(); err == nil {
		fields = append(fields, otlp.Field{Key: "process.working_directory", Value: strings.ToValidUTF8(dir, "\uFFFD")})
	}
	return fields
}

// Ended returns the attributes that are known when a command has ended.
func Ended(o supervise.Outcome) []otlp.Field {
	var fields []otlp.Field
	if o.Signal != 0 {
		fields = append(fields,
			otlp.Field{Key: "forkspan.exit.signal", Value: SignalName(o.Signal)},
			otlp.Field{Key: "forkspan.exit.core_dumped", Value: o.CoreDumped})
	} else {
		fields = append(fields, otlp.Field{Key: "process.exit.code", Value: int64(o.Code)})
	}
	return append(fields, usage(o)...)
}

// usage returns what a process has taken.
func usage(o supervise.Outcome) []otlp.Field {
	fields := []otlp.Field{
		{Key: "forkspan.cpu.user_seconds", Value: seconds(o.User)},
		{Key: "forkspan.cpu.system_seconds", Value: seconds(o.System)},
	}
	if o.MaxRSS > 0 {
		fields = append(fields, otlp.Field{Key: "forkspan.memory.peak_bytes", Value: o.MaxRSS})
	}
	return fields
}

// seconds is exact to the microsecond, which is what systems account in.
func seconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }

// How says how a command ended: "exited 7" or "was ended by SIGTERM".
func How(o supervise.Outcome) string {
	switch {
	case o.Signal != 0 && o.CoreDumped:
		return fmt.Sprintf("was ended by %s (core dumped)", SignalName(o.Signal))
	case o.Signal != 0:
		return "was ended by " + SignalName(o.Signal)
	}
	return fmt.Sprintf("exited %d", o.Code)
}

// BaseName is the name of a program without its folder and, on Windows, its suffix.
func BaseName(program string) string {
	name := program
	if i := strings.LastIndexAny(name, pathSeparators); i >= 0 {
		name = name[i+1:]
	}
	if name = strings.TrimSuffix(name, executableSuffix); name == "" {
		return program
	}
	return strings.ToValidUTF8(name, "\uFFFD")
}
