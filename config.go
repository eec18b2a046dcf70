package forkspan

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/redact"
	"go.opentelemetry.io/contrib/propagators/b3"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// reader takes settings from the environment and gathers what it could not use. An empty variable counts as unset
// (OpenTelemetry's environment variable specification).
type reader struct {
	errs  []error
	fatal bool // a setting left nothing to send spans with

	// noisy are variables with bad values that the SDK reads as well, and would complain about once more.
	noisy []string
}

func (r *reader) bad(name, value, used string, err error) {
	r.fatal = r.fatal || used == usedDisabled
	r.errs = append(r.errs, &ConfigError{Var: name, Value: redact.String(value), Used: used, Err: err})
}

// first returns the first variable that is set, and its value without blanks around it.
func (r *reader) first(names ...string) (name, value string) {
	for _, name := range names {
		if v := strings.TrimSpace(os.Getenv(name)); v != "" {
			return name, v
		}
	}
	return "", ""
}

// otlp returns a setting of the exporter: OTEL_EXPORTER_OTLP_TRACES_name before OTEL_EXPORTER_OTLP_name.
func (r *reader) otlp(name string) (string, string) {
	return r.first("OTEL_EXPORTER_OTLP_TRACES_"+name, "OTEL_EXPORTER_OTLP_"+name)
}

// boolean reads true and false in any letter case; anything else is an error and false.
func (r *reader) boolean(name, value string) bool {
	switch strings.ToLower(value) {
	case "true":
		return true
	case "false", "":
		return false
	}
	r.bad(name, value, "false", errors.New("neither true nor false"))
	return false
}

// integer returns the first of names that is set, which has to be least or more; def when it is not, or unset.
func (r *reader) integer(def, least int, names ...string) int {
	return r.between(def, least, math.MaxInt, names...)
}

// milliseconds is integer for durations; the greatest is what a time.Duration holds, 292 years.
func (r *reader) milliseconds(def time.Duration, least int, names ...string) time.Duration {
	most := int(min(math.MaxInt, math.MaxInt64/int64(time.Millisecond)))
	return time.Duration(r.between(int(def/time.Millisecond), least, most, names...)) * time.Millisecond
}

func (r *reader) between(def, least, most int, names ...string) int {
	name, value := r.first(names...)
	if name == "" {
		return def
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		r.bad(name, value, strconv.Itoa(def), errors.New("not a whole number"))
	case n < int64(least):
		r.bad(name, value, strconv.Itoa(def), fmt.Errorf("less than %d", least))
	case n > int64(most):
		r.bad(name, value, strconv.Itoa(def), fmt.Errorf("more than %d", most))
	default:
		return int(n)
	}
	return def
}

// disabled reports OTEL_SDK_DISABLED.
func (r *reader) disabled() bool {
	name, value := r.first("OTEL_SDK_DISABLED")
	return r.boolean(name, value)
}

// exporters is what OTEL_TRACES_EXPORTER asks for.
type exporters struct {
	named   bool // the variable is set
	otlp    bool
	console bool
}

// exporters reads OTEL_TRACES_EXPORTER. A bad value is no reason to be disabled where an option says where spans go.
func (r *reader) exporters(s *settings) exporters {
	name, value := r.first("OTEL_TRACES_EXPORTER")
	var e exporters
	var unknown []string
	e.named = name != ""
	for part := range strings.SplitSeq(value, ",") {
		switch part = strings.ToLower(strings.TrimSpace(part)); part {
		case "otlp":
			e.otlp = true
		case "console", "logging":
			e.console = true
		case "none", "":
		default:
			unknown = append(unknown, strconv.Quote(part))
		}
	}
	if len(unknown) > 0 {
		used := "the other exporters named"
		switch {
		case s.endpoint != "":
			used = "WithEndpoint"
		case !e.otlp && !e.console:
			used = usedDisabled
		}
		r.bad(name, value, used, fmt.Errorf("unknown exporter %s", strings.Join(unknown, ", ")))
	}
	return e
}

// sampler reads OTEL_TRACES_SAMPLER and its argument. The prediction says what the sampler is going to do.
func (r *reader) sampler() (sdktrace.Sampler, prediction) {
	const def = "parentbased_always_on"
	name, value := r.first("OTEL_TRACES_SAMPLER")
	kind := strings.ToLower(value)
	if name == "" {
		kind = def
	}
	base, parentBased := strings.CutPrefix(kind, "parentbased_")
	p := prediction{parentBased: parentBased}
	var s sdktrace.Sampler
	switch base {
	case "always_on":
		s, p.root = sdktrace.AlwaysSample(), sampled
	case "always_off":
		s, p.root = sdktrace.NeverSample(), unsampled
	case "traceidratio":
		s = sdktrace.TraceIDRatioBased(r.ratio())
	default:
		r.bad(name, value, def, errors.New("unknown sampler"))
		r.noisy = append(r.noisy, name)
		s, p = sdktrace.AlwaysSample(), prediction{parentBased: true, root: sampled}
	}
	if p.parentBased {
		s = sdktrace.ParentBased(s)
	}
	return s, p
}

// ratio reads OTEL_TRACES_SAMPLER_ARG, a number from 0 to 1. The default is 1.
func (r *reader) ratio() float64 {
	name, value := r.first("OTEL_TRACES_SAMPLER_ARG")
	if name == "" {
		return 1
	}
	f, err := strconv.ParseFloat(value, 64)
	if err == nil && f >= 0 && f <= 1 {
		return f
	}
	r.bad(name, value, "1.0", errors.New("not a number from 0 to 1"))
	r.noisy = append(r.noisy, "OTEL_TRACES_SAMPLER")
	return 1
}

// propagators reads OTEL_PROPAGATORS. The default is tracecontext and baggage.
func (r *reader) propagators() []propagation.TextMapPropagator {
	name, value := r.first("OTEL_PROPAGATORS")
	def := []propagation.TextMapPropagator{strictTraceContext{}, propagation.Baggage{}}
	if name == "" {
		return def
	}
	ps := []propagation.TextMapPropagator{}
	var unknown []string
	none := false
	for part := range strings.SplitSeq(value, ",") {
		switch part = strings.ToLower(strings.TrimSpace(part)); part {
		case "tracecontext":
			ps = append(ps, strictTraceContext{})
		case "baggage":
			ps = append(ps, propagation.Baggage{})
		case "b3":
			ps = append(ps, b3.New(b3.WithInjectEncoding(b3.B3SingleHeader)))
		case "b3multi":
			ps = append(ps, b3.New(b3.WithInjectEncoding(b3.B3MultipleHeader)))
		case "none":
			none = true
		case "":
		default:
			unknown = append(unknown, strconv.Quote(part))
		}
	}
	if none {
		ps = ps[:0]
	}
	if len(unknown) > 0 {
		used := "the other propagators named"
		if len(ps) == 0 && !none {
			ps, used = def, "tracecontext,baggage"
		}
		r.bad(name, value, used, fmt.Errorf("unknown propagator %s", strings.Join(unknown, ", ")))
	}
	return ps
}

// limits reads OTEL_SPAN_*_LIMIT, OTEL_EVENT_*_LIMIT, OTEL_LINK_*_LIMIT and the general OTEL_ATTRIBUTE_*_LIMIT.
func (r *reader) limits() sdktrace.SpanLimits {
	l := sdktrace.NewSpanLimits()
	l.AttributeValueLengthLimit = r.integer(sdktrace.DefaultAttributeValueLengthLimit, -1, // which is no limit
		"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
	l.AttributeCountLimit = r.integer(sdktrace.DefaultAttributeCountLimit, 0,
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
	l.EventCountLimit = r.integer(sdktrace.DefaultEventCountLimit, 0, "OTEL_SPAN_EVENT_COUNT_LIMIT")
	l.LinkCountLimit = r.integer(sdktrace.DefaultLinkCountLimit, 0, "OTEL_SPAN_LINK_COUNT_LIMIT")
	l.AttributePerEventCountLimit = r.integer(sdktrace.DefaultAttributePerEventCountLimit, 0,
		"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT")
	l.AttributePerLinkCountLimit = r.integer(sdktrace.DefaultAttributePerLinkCountLimit, 0,
		"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")
	return l
}

// batchLimits reads OTEL_BSP_*.
func (r *reader) batchLimits() batchLimits {
	l := batchLimits{
		delay:   r.milliseconds(sdktrace.DefaultScheduleDelay*time.Millisecond, 1, "OTEL_BSP_SCHEDULE_DELAY"),
		timeout: r.milliseconds(sdktrace.DefaultExportTimeout*time.Millisecond, 1, "OTEL_BSP_EXPORT_TIMEOUT"),
		queue:   r.integer(sdktrace.DefaultMaxQueueSize, 1, "OTEL_BSP_MAX_QUEUE_SIZE"),
		batch:   r.integer(sdktrace.DefaultMaxExportBatchSize, 1, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
	}
	if l.batch > l.queue {
		if name, value := r.first("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"); name != "" {
			r.bad(name, value, strconv.Itoa(l.queue), errors.New("greater than the queue's size"))
		}
		l.batch = l.queue
	}
	return l
}

// codeNames reads OTEL_SEMCONV_STABILITY_OPT_IN for the names of the code.* attributes: code for the stable ones,
// code/dup for both, which wins.
func (r *reader) codeNames() codeNames {
	names := vllmNames
	_, value := r.first("OTEL_SEMCONV_STABILITY_OPT_IN")
	for part := range strings.SplitSeq(value, ",") {
		switch strings.TrimSpace(part) {
		case "code/dup":
			return bothNames
		case "code":
			names = stableNames
		}
	}
	return names
}
