package spanfile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/redact"
	"forkspan.dev/forkspan/internal/store"
)

// Head is what a file of ours tells of a run before its spans. It is an OTLP request without spans, whose resource has it
// as attributes: other readers find nothing in it.
type Head struct {
	Run       store.Run
	Processes []store.Process
}

// The scope and the attributes of a head. Their form is in docs/export.md.
const (
	headScope     = "forkspan.dev/forkspan/file"
	headRun       = "forkspan.run"
	headProcesses = "forkspan.processes"
)

// headJSON is the text of [headRun].
type headJSON struct {
	ID       string        `json:"id"`
	Kind     string        `json:"kind"`
	Name     string        `json:"name"`
	Command  []string      `json:"command,omitempty"`
	TraceID  string        `json:"traceId"`
	SpanID   string        `json:"spanId"`
	ParentID string        `json:"parentId"`
	Start    time.Time     `json:"start"`
	Ready    time.Time     `json:"ready,omitzero"`
	End      time.Time     `json:"end,omitzero"`
	Exit     *store.Exit   `json:"exit,omitempty"`
	Account  store.Account `json:"account"`
}

// The part of OTLP JSON that a head is.
type (
	headRequest struct {
		ResourceSpans []headResourceSpans `json:"resourceSpans"`
	}
	headResourceSpans struct {
		Resource   headAttributes `json:"resource"`
		ScopeSpans []headScopes   `json:"scopeSpans"`
	}
	headScopes struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
	}
	headAttributes struct {
		Attributes []headAttribute `json:"attributes"`
	}
	headAttribute struct {
		Key   string `json:"key"`
		Value struct {
			Text string `json:"stringValue"`
		} `json:"value"`
	}
)

func (h *headAttributes) add(key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	a := headAttribute{Key: key}
	a.Value.Text = string(text)
	h.Attributes = append(h.Attributes, a)
	return nil
}

// encode returns the request. A file may go anywhere: what was stored before secrets were known by their present marks is
// looked at once more. spansToo says that what was taken from spans is, too.
func (h *Head) encode(spansToo bool) ([]byte, error) {
	r := &h.Run
	head := headJSON{
		ID: r.ID, Kind: r.Kind, Name: redact.String(r.Name), Command: redact.Args(r.Command), TraceID: hex.EncodeToString(r.TraceID[:]),
		SpanID: hex.EncodeToString(r.SpanID[:]), ParentID: hex.EncodeToString(r.ParentID[:]), Start: r.Start.UTC(),
		Exit: r.Exit, Account: r.Account,
	}
	if !r.Ready.IsZero() {
		head.Ready = r.Ready.UTC()
	}
	if !r.End.IsZero() {
		head.End = r.End.UTC()
	}
	processes := make([]store.Process, len(h.Processes))
	for i := range h.Processes {
		processes[i] = h.Processes[i].Scrubbed(spansToo)
	}
	one := headResourceSpans{ScopeSpans: make([]headScopes, 1)}
	one.ScopeSpans[0].Scope.Name = headScope
	err := one.Resource.add(headRun, head)
	if err == nil && len(processes) > 0 {
		err = one.Resource.add(headProcesses, processes)
	}
	text, err2 := json.Marshal(headRequest{[]headResourceSpans{one}})
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("describe run %s: %w", r.ID, err)
	}
	return otlp.FromJSON(text)
}

// isHead tells a head from other requests without spans.
func isHead(body []byte) bool { return bytes.Contains(body, []byte(headScope)) }

// decodeHead reads what encode has written. What it says is not trusted further than any file is.
func decodeHead(body []byte) (h Head, err error) {
	line, err := otlp.AppendJSON(nil, body)
	if err != nil {
		return h, err
	}
	var request headRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return h, err
	}
	var head headJSON
	for _, r := range request.ResourceSpans {
		for _, a := range r.Resource.Attributes {
			switch a.Key {
			case headRun:
				err = json.Unmarshal([]byte(a.Value.Text), &head)
			case headProcesses:
				err = json.Unmarshal([]byte(a.Value.Text), &h.Processes)
			}
			if err != nil {
				return h, err
			}
		}
	}
	if !store.IsRunID(head.ID) {
		return h, fmt.Errorf("%q is not the id of a run", head.ID)
	}
	if head.Start.IsZero() || !slices.Contains([]string{"run", "import", "proxy", "script", "serve"}, head.Kind) {
		return h, errors.New("a run without a start or of no known kind")
	}
	h.Run = store.Run{
		ID: head.ID, Kind: head.Kind, Name: head.Name, Command: head.Command, Start: head.Start, Ready: head.Ready, End: head.End,
		Exit: head.Exit, Account: head.Account,
	}
	for _, id := range []struct {
		to   []byte
		text string
	}{{h.Run.TraceID[:], head.TraceID}, {h.Run.SpanID[:], head.SpanID}, {h.Run.ParentID[:], head.ParentID}} {
		if len(id.text) != hex.EncodedLen(len(id.to)) {
			return h, fmt.Errorf("%q is not an id", id.text)
		}
		if _, err := hex.Decode(id.to, []byte(id.text)); err != nil {
			return h, err
		}
	}
	return h, nil
}
