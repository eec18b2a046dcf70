package forkspan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pauses between attempts to export, all within the exporter's timeout.
const (
	retryFirst = time.Second
	retryMax   = 5 * time.Second
)

// retryError is a failure that may pass, such as a collector that is being restarted (OTLP specification, "Failures").
type retryError struct {
	err   error
	after time.Duration // the least time that the collector asked for
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// jitter spreads a pause by a fifth to either side, so that a fleet does not come back at the same moment.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// sleep waits, and reports false at once where ctx would end before that, and when it ends meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer is what the collector said to an export that it took.
type answer struct {
	taken    bool
	rejected int // spans that it turned down
}

type answerKey struct{}

// withAnswer asks the client for the collector's answer: an exporter's error does not say how many spans were rejected.
func withAnswer(ctx context.Context, a *answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

// noteAnswer notes a partial success, or a whole one, and makes an error of what the collector had to say.
func noteAnswer(ctx context.Context, rejected int64, message string) error {
	rejected = max(0, rejected)
	if a, ok := ctx.Value(answerKey{}).(*answer); ok {
		*a = answer{taken: true, rejected: int(rejected)}
	}
	if rejected == 0 && message == "" {
		return nil
	}
	return fmt.Errorf("collector rejected %d spans: %s", rejected, message)
}
