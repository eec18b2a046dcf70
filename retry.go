package forkspan

import (
	"context"
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
