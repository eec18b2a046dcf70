package scriptspan

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"forkspan.dev/forkspan/internal/commandspan"
	"forkspan.dev/forkspan/internal/otlp"
	"forkspan.dev/forkspan/internal/store"
)

// Span is a span that a script makes, with what the process that ends it needs to know.
type Span struct {
	commandspan.Span
	Resource []otlp.Field
	Run      string     // it belongs to
	HostPort string     // where that run receives spans; empty for a run of scripts, which has no process
	Before   []Variable // the environment to go back to at the end
}

// RunID is the id of the run that all the spans belong to which scripts make of one trace, the same for every process.
func RunID(trace otlp.TraceID) string {
	hash := sha256.Sum256(append([]byte("forkspan script\n"), trace[:]...))
	return store.RunIDOf(hash[:])
}

// Encode returns the span as an OTLP request.
func (s *Span) Encode(version string) []byte {
	return commandspan.EncodeScript(s.Resource, version, s.Span)
}

// Traceparent is the span's context for its children. The sampled flag is always set: who starts a span wants the trace.
func (s *Span) Traceparent() string { return fmt.Sprintf("00-%x-%x-01", s.TraceID, s.SpanID) }

// state is a span between its start and its end. What OTLP has is in the request.
type state struct {
	Request    []byte     `json:"request"`
	TraceState string     `json:"traceState,omitempty"`
	Sampled    bool       `json:"sampled"`
	Remote     bool       `json:"remote,omitempty"`
	Run        string     `json:"run"`
	HostPort   string     `json:"hostPort,omitempty"`
	Before     []Variable `json:"before"`
}

// State is what [Open] makes the span of again.
func (s *Span) State() []byte {
	b, err := json.Marshal(state{
		Request: s.Encode(""), TraceState: s.TraceState, Sampled: s.Sampled, Remote: s.Remote,
		Run: s.Run, HostPort: s.HostPort, Before: s.Before,
	})
	if err != nil {
		panic(err) // bytes and texts
	}
	return b
}

// Open reads what [Span.State] has written.
func Open(b []byte) (*Span, error) {
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return nil, fmt.Errorf("read open span: %w", err)
	}
	decoded, err := otlp.Decode(st.Request)
	if err == nil && len(decoded) != 1 {
		err = errors.New("not one span")
	}
	if err != nil {
		return nil, fmt.Errorf("read open span: %w", err)
	}
	d := &decoded[0]
	return &Span{
		Span: commandspan.Span{
			TraceID: d.TraceID, SpanID: d.SpanID, ParentID: d.ParentID, TraceState: st.TraceState, Remote: st.Remote,
			Sampled: st.Sampled, Name: d.Name, Start: d.Start, End: d.End, Kind: d.Kind, Attributes: d.Attributes(),
			Events: d.Events(), Links: d.Links(), Succeeded: d.Status == otlp.StatusOK, Failed: d.Status == otlp.StatusError,
			Message: d.Message,
		},
		Resource: d.Process.Attributes, Run: st.Run, HostPort: st.HostPort, Before: st.Before,
	}, nil
}
