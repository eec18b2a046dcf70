package doctor

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Status is how a check came out.
type Status string

// The outcomes of checks.
const (
	OK      Status = "ok"
	Info    Status = "info"    // worth knowing, neither good nor bad
	Warning Status = "warning" // may be meant so
	Problem Status = "problem" // spans get lost, or are not where they are looked for
)

// The sections of a report, in their order.
const (
	Export  = "export"  // what the environment says
	Context = "context" // sampling and propagation
	Network = "network" // the way to the endpoint
	Store   = "store"
	Machine = "machine"
)

var sections = []string{Export, Context, Network, Store, Machine}

// Check is one thing that was looked at.
type Check struct {
	ID      string `json:"id"` // stays the same between versions, such as endpoint-refused
	Section string `json:"section"`
	Status  Status `json:"status"`
	Text    string `json:"text"`           // what is so, and why
	Hint    string `json:"hint,omitempty"` // what to do about it
}

// Setting is one setting of the export of traces, as it is resolved.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // without secrets
	Source string `json:"source"` // the variable or option it comes from, or default
}

// Report is what was found.
type Report struct {
	Settings []Setting
	Checks   []Check // by section
}

// Count returns how many checks came out so.
func (r *Report) Count(s Status) (n int) {
	for i := range r.Checks {
		if r.Checks[i].Status == s {
			n++
		}
	}
	return n
}

// Options say what to examine.
type Options struct {
	Environ  []string      // NAME=value
	Endpoint string        // in place of the environment's; empty for that
	Protocol string        // likewise
	Send     bool          // also send a test span
	Timeout  time.Duration // of the whole; 5 s when 0
	Store    string        // file of the store
	Version  string        // of forkspan
}

const defaultTimeout = 5 * time.Second

// Examine looks at everything. It returns when ctx ends or the timeout is over, with what was found by then.
func Examine(ctx context.Context, o Options) *Report {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	d := &examination{Options: o, env: environment(o.Environ)}
	d.resolve()
	d.examineContext()
	var all sync.WaitGroup
	all.Go(func() { d.examineNetwork(ctx) })
	all.Go(func() { d.examineStore(ctx) })
	all.Go(func() { d.examineMachine(ctx) })
	all.Wait()
	slices.SortStableFunc(d.report.Checks, func(a, b Check) int {
		return slices.Index(sections, a.Section) - slices.Index(sections, b.Section)
	})
	return &d.report
}

// examination is one call of Examine.
type examination struct {
	Options
	env    environment
	mu     sync.Mutex // guards report
	report Report

	target *target // where traces go; nil when that is nowhere, or unusable
}

func (d *examination) add(section, id string, status Status, text, hint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report.Checks = append(d.report.Checks, Check{ID: id, Section: section, Status: status, Text: text, Hint: hint})
}

func (d *examination) setting(name, value, source string) {
	d.report.Settings = append(d.report.Settings, Setting{name, value, source})
}

// environment is a list of NAME=value.
type environment []string

// lookup finds a variable; of several of one name the last counts, as for a process.
func (e environment) lookup(name string) (string, bool) {
	for _, entry := range slices.Backward(e) {
		if n, value, ok := strings.Cut(entry, "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// first returns the first variable that is set and not blank, and its value without blanks around it.
func (e environment) first(names ...string) (name, value string) {
	for _, name := range names {
		if v, _ := e.lookup(name); strings.TrimSpace(v) != "" {
			return name, strings.TrimSpace(v)
		}
	}
	return "", ""
}

// otlp returns OTEL_EXPORTER_OTLP_TRACES_name, else OTEL_EXPORTER_OTLP_name.
func (e environment) otlp(name string) (variable, value string) {
	return e.first("OTEL_EXPORTER_OTLP_TRACES_"+name, "OTEL_EXPORTER_OTLP_"+name)
}
