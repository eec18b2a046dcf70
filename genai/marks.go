package genai

import "time"

// Marks are the points in time of a request; the package comment defines them. A mark that did not happen is the zero time.
type Marks struct {
	Received   time.Time
	Headers    time.Time
	FirstEvent time.Time
	FirstToken time.Time
	FirstText  time.Time
	LastToken  time.Time
	End        time.Time // zero while the request is under way
	Gaps       Gaps      // between the events that carry tokens
}

// TimeToFirstToken returns the time from the request's arrival to its first token, and whether there was one.
func (m Marks) TimeToFirstToken() (time.Duration, bool) { return between(m.Received, m.FirstToken) }

// TimeToFirstEvent returns the time from the request's arrival to the first event of its answer, and whether there was one.
// The conventions call it time to first chunk.
func (m Marks) TimeToFirstEvent() (time.Duration, bool) { return between(m.Received, m.FirstEvent) }

// Duration returns the time from the request's arrival to its end, and whether it has ended.
func (m Marks) Duration() (time.Duration, bool) { return between(m.Received, m.End) }

// TimePerOutputToken returns the mean time of a token after the first, by the server's count of the tokens of one answer. It
// is not known without first and last token, and for less than two tokens.
func (m Marks) TimePerOutputToken(outputTokens int64) (time.Duration, bool) {
	d, ok := between(m.FirstToken, m.LastToken)
	if !ok || outputTokens < 2 {
		return 0, false
	}
	return d / time.Duration(outputTokens-1), true
}

func between(from, to time.Time) (time.Duration, bool) {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return 0, false
	}
	return to.Sub(from), true
}
