package cli

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/recovery"
	"forkspan.dev/forkspan/internal/store"
	"forkspan.dev/forkspan/internal/timeline"
)

// jsonVersion is of the shapes in docs/json.md. It grows when a member changes or goes; new members alone leave it.
const jsonVersion = 1

type jsonRuns struct {
	Version int       `json:"version"`
	Runs    []jsonRun `json:"runs"`
}

type jsonRun struct {
	ID         string           `json:"id"`
	Kind       string           `json:"kind"`
	Name       string           `json:"name"`
	Command    []string         `json:"command,omitempty"`
	TraceID    string           `json:"traceId,omitempty"`
	Start      string           `json:"start"`
	Ready      string           `json:"ready,omitempty"`
	End        string           `json:"end,omitempty"`
	Running    bool             `json:"running"`
	Exit       *store.Exit      `json:"exit,omitempty"`
	DurationNs int64            `json:"durationNs,omitempty"`
	Processes  *int             `json:"processes,omitempty"`
	Spans      *int64           `json:"spans,omitempty"`
	Traces     *int             `json:"traces,omitempty"`
	Errors     *int             `json:"errors,omitempty"`
	Requests   *int             `json:"requests,omitempty"`
	Dropped    map[string]int64 `json:"dropped,omitempty"`
}

func runJSON(r store.Run) jsonRun {
	j := jsonRun{
		ID: r.ID, Kind: r.Kind, Name: r.Name, Command: r.Command, Start: jsonTime(r.Start), Ready: jsonTime(r.Ready),
		End: jsonTime(r.End), Running: recovery.Alive(r), Exit: r.Exit, Dropped: r.Account.Dropped,
	}
	if r.TraceID != (otlp.TraceID{}) {
		j.TraceID = hex.EncodeToString(r.TraceID[:])
	}
	return j
}

func runsJSON(runs []listedRun) jsonRuns {
	list := jsonRuns{Version: jsonVersion, Runs: []jsonRun{}}
	for i := range runs {
		r := &runs[i]
		j := runJSON(r.Run)
		j.DurationNs, j.Processes, j.Spans, j.Traces, j.Errors = r.duration, &r.processes, &r.spans, &r.traces, &r.errors
		if r.requests >= 0 {
			j.Requests = &r.requests
		}
		list.Runs = append(list.Runs, j)
	}
	return list
}

type jsonTraces struct {
	Version int         `json:"version"`
	Run     *jsonRun    `json:"run,omitempty"`
	Traces  []jsonTrace `json:"traces"`
}

type jsonTrace struct {
	TraceID    string `json:"traceId"`
	Root       string `json:"root"`
	Start      string `json:"start"`
	DurationNs int64  `json:"durationNs"`
	Spans      int    `json:"spans"`
	Errors     int    `json:"errors"`
	Processes  int    `json:"processes"`
}

func tracesJSON(src *source, traces []traceSummary) jsonTraces {
	list := jsonTraces{Version: jsonVersion, Run: src.runJSON(), Traces: []jsonTrace{}}
	for _, t := range traces {
		list.Traces = append(list.Traces, jsonTrace{
			TraceID: hex.EncodeToString(t.id[:]), Root: t.root, Start: jsonUnix(t.start), DurationNs: t.end - t.start,
			Spans: t.spans, Errors: t.errors, Processes: t.processes,
		})
	}
	return list
}

func (s *source) runJSON() *jsonRun {
	if s.run == nil {
		return nil
	}
	j := runJSON(*s.run)
	return &j
}

type jsonRequests struct {
	Version   int           `json:"version"`
	Run       *jsonRun      `json:"run,omitempty"`
	Processes []jsonProcess `json:"processes"`
	Requests  []*jsonSpan   `json:"requests"`
}

func requestsJSON(src *source, t *timeline.Timeline, rows []*timeline.Row) jsonRequests {
	list := jsonRequests{Version: jsonVersion, Run: src.runJSON(), Processes: processesJSON(t, nil), Requests: []*jsonSpan{}}
	for _, r := range rows {
		list.Requests = append(list.Requests, spanJSON(r))
	}
	return list
}

type jsonProcess struct {
	Label      string         `json:"label"`
	Service    string         `json:"service,omitempty"`
	Name       string         `json:"name,omitempty"`
	Kind       string         `json:"kind,omitempty"`
	PID        int            `json:"pid,omitempty"`
	Spans      int            `json:"spans"`
	Tree       []int          `json:"tree,omitempty"`
	Attributes map[string]any `json:"attributes"`
}

func processesJSON(t *timeline.Timeline, tree []store.Process) []jsonProcess {
	list := make([]jsonProcess, 0, len(t.Processes))
	for i := range t.Processes {
		p := &t.Processes[i]
		list = append(list, jsonProcess{
			Label: p.Label, Service: p.Service, Name: p.Name, Kind: p.Kind, PID: p.PID, Spans: p.Spans, Tree: treeIndices(p, tree),
			Attributes: attributesJSON(p.Attributes),
		})
	}
	return list
}

type jsonSpan struct {
	TraceID       string         `json:"traceId"`
	SpanID        string         `json:"spanId"`
	ParentSpanID  string         `json:"parentSpanId,omitempty"`
	Name          string         `json:"name"`
	Kind          string         `json:"kind"`
	Process       int            `json:"process"`
	Depth         int            `json:"depth"`
	Start         string         `json:"start"`
	End           string         `json:"end,omitempty"`
	DurationNs    int64          `json:"durationNs"`
	SelfNs        int64          `json:"selfNs"`
	FirstTokenNs  int64          `json:"firstTokenNs,omitempty"`
	Status        string         `json:"status"`
	Message       string         `json:"message,omitempty"`
	Request       bool           `json:"request,omitempty"`
	Critical      bool           `json:"critical,omitempty"`
	Unfinished    bool           `json:"unfinished,omitempty"`
	MissingParent bool           `json:"missingParent,omitempty"`
	Cycle         bool           `json:"cycle,omitempty"`
	Context       bool           `json:"context,omitempty"`
	Scope         *jsonScope     `json:"scope,omitempty"`
	Attributes    map[string]any `json:"attributes"`
	Events        []jsonEvent    `json:"events,omitempty"`
	Links         []jsonLink     `json:"links,omitempty"`
}

type jsonScope struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type jsonEvent struct {
	Time       string         `json:"time"`
	Name       string         `json:"name"`
	Attributes map[string]any `json:"attributes"`
}

type jsonLink struct {
	TraceID    string         `json:"traceId"`
	SpanID     string         `json:"spanId"`
	Attributes map[string]any `json:"attributes"`
}

var (
	kindNames   = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}
	statusNames = [...]string{"unset", "ok", "error"}
)

// spanJSON is a row of one span with all that is known of it.
func spanJSON(r *timeline.Row) *jsonSpan {
	s := r.Span
	j := &jsonSpan{
		TraceID: hex.EncodeToString(s.TraceID[:]), SpanID: hex.EncodeToString(s.SpanID[:]), Name: s.Name,
		Kind: nameOf(kindNames[:], int(s.Kind)), Process: r.Process, Depth: r.Depth, Start: jsonUnix(s.Start),
		DurationNs: r.Duration, SelfNs: r.Self, FirstTokenNs: r.FirstToken, Status: nameOf(statusNames[:], int(s.Status)), Message: s.Message,
		Request: r.Trace < 0, Critical: r.Critical, Unfinished: r.Unfinished, MissingParent: r.MissingParent, Cycle: r.Cycle,
		Context: r.Context, Attributes: attributesJSON(s.Attributes()),
	}
	if s.ParentID != (otlp.SpanID{}) {
		j.ParentSpanID = hex.EncodeToString(s.ParentID[:])
	}
	if s.End != 0 {
		j.End = jsonUnix(s.End)
	}
	if s.Scope != nil && s.Scope.Name != "" {
		j.Scope = &jsonScope{s.Scope.Name, s.Scope.Version}
	}
	for _, e := range s.Events() {
		j.Events = append(j.Events, jsonEvent{jsonUnix(e.Time), e.Name, attributesJSON(e.Attributes)})
	}
	for _, l := range s.Links() {
		j.Links = append(j.Links, jsonLink{
			hex.EncodeToString(l.TraceID[:]), hex.EncodeToString(l.SpanID[:]), attributesJSON(l.Attributes),
		})
	}
	return j
}

func nameOf(names []string, at int) string {
	if at < len(names) {
		return names[at]
	}
	return names[0]
}

func attributesJSON(fields []otlp.Field) map[string]any {
	m := make(map[string]any, len(fields))
	for _, f := range fields {
		m[f.Key] = valueJSON(f.Value)
	}
	return m
}

// valueJSON is an attribute's value: bytes are base64, numbers that JSON lacks are text.
func valueJSON(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case []otlp.Field:
		return attributesJSON(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = valueJSON(v[i])
		}
		return list
	}
	return v
}

func jsonTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func jsonUnix(ns int64) string { return jsonTime(time.Unix(0, ns)) }

// writeJSON prints one document, indented.
func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// writeShowJSON writes the spans one by one: there may be a million.
func writeShowJSON(out *bufio.Writer, src *source, t *timeline.Timeline) error {
	head := struct {
		Version int      `json:"version"`
		Run     *jsonRun `json:"run,omitempty"`
		Start   string   `json:"start"`
		End     string   `json:"end"`
		jsonTree
		Processes []jsonProcess `json:"processes"`
	}{jsonVersion, src.runJSON(), jsonUnix(t.Start), jsonUnix(t.End), treeJSON(src), processesJSON(t, src.tree)}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(head); err != nil {
		return err
	}
	if _, err := out.WriteString(strings.TrimSuffix(text.String(), "}\n") + ",\"spans\":["); err != nil {
		return err
	}
	separator := "\n"
	for i := range t.Rows {
		if t.Rows[i].Span == nil {
			continue
		}
		text.Reset()
		if err := enc.Encode(spanJSON(&t.Rows[i])); err != nil {
			return err
		}
		if _, err := out.WriteString(separator + strings.TrimSuffix(text.String(), "\n")); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err := out.WriteString("\n]}\n")
	return err
}
