package cli

import (
	"encoding/hex"

	"forkspan.dev/forkspan/internal/report"
)

type jsonRequestReport struct {
	Version int       `json:"version"`
	Runs    []jsonRun `json:"runs,omitempty"`
	Sources []string  `json:"sources"`
	Warmup  string    `json:"warmup"`
	jsonRequestCounts
	Groups  []jsonRequestGroup `json:"groups"`
	Slowest []jsonSlowRequest  `json:"slowest"`
}

type jsonRequestCounts struct {
	Requests       int           `json:"requests"`
	WarmupRequests int           `json:"warmupRequests"`
	Failed         int           `json:"failed"`
	Unfinished     int           `json:"unfinished"`
	Failures       []jsonFailure `json:"failures,omitempty"`
	InputTokens    int64         `json:"inputTokens"`
	OutputTokens   int64         `json:"outputTokens"`
	Start          string        `json:"start,omitempty"`
	End            string        `json:"end,omitempty"`
}

type jsonFailure struct {
	Type  string `json:"type"`
	Count int    `json:"count"`
}

type jsonRequestGroup struct {
	Run       string `json:"run,omitempty"`
	Model     string `json:"model,omitempty"`
	Route     string `json:"route,omitempty"`
	Operation string `json:"operation,omitempty"`
	jsonRequestCounts
	Client     map[string]jsonMeasure `json:"client,omitempty"`
	Server     map[string]jsonMeasure `json:"server,omitempty"`
	Difference map[string]jsonMeasure `json:"difference,omitempty"`
}

type jsonMeasure struct {
	All           any `json:"all"`
	WithoutWarmup any `json:"withoutWarmup"`
}

type jsonTimes struct {
	Count   int    `json:"count"`
	P50     *int64 `json:"p50Ns,omitempty"`
	P90     *int64 `json:"p90Ns,omitempty"`
	P99     *int64 `json:"p99Ns,omitempty"`
	Slowest *int64 `json:"slowestNs,omitempty"`
}

type jsonSpeeds struct {
	Count   int     `json:"count"`
	P50     float64 `json:"p50,omitempty"`
	P90     float64 `json:"p90,omitempty"`
	P99     float64 `json:"p99,omitempty"`
	Slowest float64 `json:"slowest,omitempty"`
}

type jsonSlowRequest struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	Source       string `json:"source"`
	Model        string `json:"model,omitempty"`
	Route        string `json:"route,omitempty"`
	Operation    string `json:"operation,omitempty"`
	Failure      string `json:"failure,omitempty"`
	Warmup       bool   `json:"warmup,omitempty"`
	Start        string `json:"start"`
	EndToEndNs   int64  `json:"endToEndNs"`
	FirstTokenNs *int64 `json:"firstTokenNs,omitempty"`
	OutputTokens int64  `json:"outputTokens,omitempty"`
}

// measureNames are the members of a side.
var measureNames = map[string]string{
	"first token": "firstToken", "inter-token": "interToken", "end to end": "endToEnd", "queue": "queue", "prefill": "prefill",
	"decode": "decode", report.TokensPerSecond: "tokensPerSecond",
}

func requestReportJSON(all []*reported, r *report.Requests, opts report.Options) jsonRequestReport {
	j := jsonRequestReport{
		Version: jsonVersion, Sources: []string{}, Warmup: opts.Warmup.String(), jsonRequestCounts: countsJSON(&r.Group),
		Groups: []jsonRequestGroup{}, Slowest: []jsonSlowRequest{},
	}
	for _, source := range all {
		j.Sources = append(j.Sources, source.Name)
		if source.run != nil {
			j.Runs = append(j.Runs, *source.run)
		}
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		group := jsonRequestGroup{
			Run: g.Run, Model: g.Model, Route: g.Route, Operation: g.Operation, jsonRequestCounts: countsJSON(g),
		}
		sides := map[string]*map[string]jsonMeasure{
			report.Client: &group.Client, report.Server: &group.Server, report.Difference: &group.Difference,
		}
		for _, v := range g.Views {
			*sides[v.Side] = viewJSON(v)
		}
		j.Groups = append(j.Groups, group)
	}
	for i := range r.Slow {
		s := &r.Slow[i]
		slow := jsonSlowRequest{
			TraceID: hex.EncodeToString(s.TraceID[:]), SpanID: hex.EncodeToString(s.SpanID[:]), Source: s.Run, Model: s.Model,
			Route: s.Route, Operation: s.Operation, Failure: s.Failure, Warmup: s.Warmup, Start: jsonUnix(s.Start),
			EndToEndNs: s.EndToEnd, OutputTokens: s.Output,
		}
		if s.FirstToken >= 0 {
			slow.FirstTokenNs = &s.FirstToken
		}
		j.Slowest = append(j.Slowest, slow)
	}
	return j
}

func countsJSON(g *report.Group) jsonRequestCounts {
	j := jsonRequestCounts{
		Requests: g.Requests, WarmupRequests: g.Warmup, Failed: g.Failed, Unfinished: g.Unfinished,
		InputTokens: g.Input, OutputTokens: g.Output,
	}
	for _, f := range g.Failures {
		j.Failures = append(j.Failures, jsonFailure{f.Kind, f.Count})
	}
	if g.Start != 0 {
		j.Start = jsonUnix(g.Start)
	}
	if g.End != 0 {
		j.End = jsonUnix(g.End)
	}
	return j
}

func viewJSON(v report.View) map[string]jsonMeasure {
	side := map[string]jsonMeasure{}
	for _, m := range v.Measures {
		figures := timesJSON
		if m.Name == report.TokensPerSecond {
			figures = speedsJSON
		}
		side[measureNames[m.Name]] = jsonMeasure{All: figures(m.All), WithoutWarmup: figures(m.Warm)}
	}
	return side
}

func timesJSON(d report.Distribution) any {
	if d.Count == 0 {
		return jsonTimes{}
	}
	return jsonTimes{Count: d.Count, P50: &d.P50, P90: &d.P90, P99: &d.P99, Slowest: &d.Slowest}
}

// speedsJSON writes thousandths as fractions.
func speedsJSON(d report.Distribution) any {
	return jsonSpeeds{d.Count, float64(d.P50) / 1000, float64(d.P90) / 1000, float64(d.P99) / 1000, float64(d.Slowest) / 1000}
}
