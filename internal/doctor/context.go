package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// examineContext looks at what decides whether a span is recorded, and whose child it is.
func (d *examination) examineContext() {
	parent := d.parent()
	parentBased := d.examineSampler(parent.context.IsSampled())
	d.examinePropagators()
	d.examineParent(parent, parentBased)
	d.examineResource()
}

// examineSampler tells whether a parent's flag decides; parentSampled is the flag of the environment's.
func (d *examination) examineSampler(parentSampled bool) (parentBased bool) {
	_, value := d.env.first("OTEL_TRACES_SAMPLER")
	argVariable, arg := d.env.first("OTEL_TRACES_SAMPLER_ARG")
	if value == "" {
		d.setting("sampler", "parentbased_always_on", fromDefault)
		if arg != "" {
			d.add(Context, "sampler-argument-unused", Warning, argVariable+" is set, and OTEL_TRACES_SAMPLER is not: it has no effect",
				"OTEL_TRACES_SAMPLER=parentbased_traceidratio")
		}
		return true
	}
	d.setting("sampler", shown(value), "OTEL_TRACES_SAMPLER")
	base, parentBased := strings.CutPrefix(strings.ToLower(value), "parentbased_")
	switch base {
	case "always_on":
		d.add(Context, "sampler", OK, "every trace is sampled", "")
	case "always_off":
		d.samplerOff("OTEL_TRACES_SAMPLER="+shown(value), parentBased && parentSampled, "OTEL_TRACES_SAMPLER=parentbased_always_on, or unset it")
	case "traceidratio":
		d.examineRatio(argVariable, arg, parentBased && parentSampled)
	default:
		d.add(Context, "sampler-unknown", Problem, fmt.Sprintf("OTEL_TRACES_SAMPLER=%s is a sampler that not every SDK knows; "+
			"forkspan's library takes parentbased_always_on", shown(value)), "OTEL_TRACES_SAMPLER=parentbased_always_on")
		parentBased = true
	}
	return parentBased
}

// samplerOff says that a setting samples nothing, but for what is below the environment's parent where that decides.
func (d *examination) samplerOff(setting string, parentDecides bool, hint string) {
	status, rest := Problem, ""
	if parentDecides {
		status, rest = Warning, "; what is below the environment's parent is"
	}
	d.add(Context, "sampler-off", status, setting+": no trace that begins here is sampled"+rest, hint)
}

func (d *examination) examineRatio(variable, arg string, parentDecides bool) {
	if arg == "" {
		d.add(Context, "sampler", OK, "every trace is sampled: OTEL_TRACES_SAMPLER_ARG is not set, and is 1.0 then", "")
		return
	}
	d.setting("sampler argument", shown(arg), variable)
	ratio, err := strconv.ParseFloat(arg, 64)
	switch {
	case err != nil || !(ratio >= 0 && ratio <= 1):
		d.add(Context, "sampler-argument-malformed", Problem, fmt.Sprintf("%s=%q is not a number from 0 to 1: SDKs take 1.0, or fail",
			variable, shown(arg)), variable+"=0.1 samples one trace in ten")
	case ratio == 0:
		d.samplerOff(variable+"="+arg, parentDecides, variable+"=1.0")
	case ratio < 1:
		d.add(Context, "sampler", Info, fmt.Sprintf("one trace in %.4g is sampled", 1/ratio), "")
	}
}

func (d *examination) examinePropagators() {
	_, value := d.env.first("OTEL_PROPAGATORS")
	if value == "" {
		d.setting("propagators", "tracecontext,baggage", fromDefault)
		return
	}
	d.setting("propagators", shown(value), "OTEL_PROPAGATORS")
	known, w3c := true, false
	for name := range strings.SplitSeq(strings.ToLower(value), ",") {
		switch name = strings.TrimSpace(name); name {
		case "tracecontext":
			w3c = true
		case "baggage", "b3", "b3multi", "none", "", "jaeger", "xray", "ottrace":
		default:
			known = false
			d.add(Context, "propagator-unknown", Problem, fmt.Sprintf("OTEL_PROPAGATORS: %q is no propagator", shown(name)),
				"OTEL_PROPAGATORS=tracecontext,baggage")
		}
	}
	if known && !w3c {
		d.add(Context, "propagator-foreign", Warning, "OTEL_PROPAGATORS leaves tracecontext out: requests to and from others begin new traces",
			"OTEL_PROPAGATORS=tracecontext,baggage")
	}
}

// parent is the span that the environment names.
type parent struct {
	variable, value string // empty for none
	two             bool   // the other spelling has another value
	context         trace.SpanContext
}

func (d *examination) parent() (p parent) {
	lower, ok := d.env.lookup("traceparent")
	upper, both := d.env.lookup("TRACEPARENT")
	p.variable, p.value = "traceparent", lower
	if !ok {
		p.variable, p.value = "TRACEPARENT", upper
	}
	p.two = ok && both && upper != lower
	carrier := propagation.MapCarrier{"traceparent": p.value}
	p.context = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	return p
}

// examineParent looks at the span that the environment names.
func (d *examination) examineParent(p parent, parentBased bool) {
	if p.two {
		d.add(Context, "parent-two", Warning, "traceparent and TRACEPARENT differ: some programs read one, some the other", "unset one of them")
	}
	if p.value == "" {
		return
	}
	parent, variable := p.context, p.variable
	d.setting("parent", shown(p.value), variable)
	switch {
	case !parent.IsValid():
		d.add(Context, "parent-malformed", Problem, variable+" is no trace context: a new trace is begun", "unset "+variable)
	case parent.IsSampled():
		d.add(Context, "parent", OK, "spans go below "+parent.SpanID().String()+" of trace "+parent.TraceID().String(), "")
	case parentBased:
		d.add(Context, "parent-unsampled", Problem, variable+" names a parent that is not sampled: nor are the spans below it",
			"unset "+variable+", or let it end in -01; OTEL_TRACES_SAMPLER=always_on samples all the same")
	default:
		d.add(Context, "parent", Info, variable+" names a parent that is not sampled; the sampler does not heed it", "")
	}
}

func (d *examination) examineResource() {
	_, list := d.env.first("OTEL_RESOURCE_ATTRIBUTES")
	name, service := d.env.first("OTEL_SERVICE_NAME")
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		if !ok || strings.TrimSpace(key) == "" {
			d.add(Context, "resource-malformed", Problem, "OTEL_RESOURCE_ATTRIBUTES is not a list of name=value: SDKs drop some of it, or all",
				"OTEL_RESOURCE_ATTRIBUTES=name=value,name=value")
			break
		}
		if strings.TrimSpace(key) == "service.name" && service == "" {
			name, service = "OTEL_RESOURCE_ATTRIBUTES", value
		}
	}
	if service != "" {
		d.setting("service", shown(service), name)
	}
}
