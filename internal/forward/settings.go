package forward

import (
	"encoding/json"

	"forkspan.dev/forkspan/internal/otlp"
)

// Settings say what becomes of a run's spans on their way out. They are kept with the run's route, so that a later forkspan goes
// on as the first.
type Settings struct {
	Verbatim   bool          `json:"verbatim,omitempty"`   // everything goes as it came
	Unfinished bool          `json:"unfinished,omitempty"` // at the run's end unfinished spans go too, ended as interrupted
	Processes  bool          `json:"processes,omitempty"`  // at the run's end a span for each of its processes goes, too
	Finished   []int64       `json:"finished,omitempty"`   // what of that has been settled, see [leftover]
	Ended      bool          `json:"ended,omitempty"`      // all of it has
	Ratio      *float64      `json:"ratio,omitempty"`      // of the requests that get a trace of their own, how many go; nil for all
	Trace      otlp.TraceID  `json:"trace,omitzero"`       // of the run
	Ambient    []otlp.SpanID `json:"ambient,omitempty"`    // spans whose context the environment of the run's processes carries
}

// finishing tells whether something is left for the run's end.
func (s *Settings) finishing() bool { return (s.Unfinished || s.Processes) && !s.Ended }

func (s *Settings) encode() string {
	b, _ := json.Marshal(s) // plain values only
	return string(b)
}

// decodeSettings reads what encode wrote; what cannot be read counts as the defaults.
func decodeSettings(text string) (s Settings) {
	_ = json.Unmarshal([]byte(text), &s)
	return s
}
