package cli

import (
	"testing"
	"time"
)

func TestPollPause(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct{ last, idle, took, want time.Duration }{
		{pollBusy, pollIdle, 0, 30 * ms},
		{450 * ms, pollIdle, 0, pollIdle},
		{pollBusy, pollIdle, 5 * ms, 1000 * ms},           // many processes
		{pollBusy, pollIdle, 1000 * ms, 2000 * ms},        // a machine with other things to do
		{pollBusy, 2 * pollBusy, 1000 * ms, 8 * pollBusy}, // and somebody who waits for a span
	} {
		if got := pollPause(test.last, test.idle, test.took); got != test.want {
			t.Errorf("after %v and %v of %v: %v, not %v", test.last, test.took, test.idle, got, test.want)
		}
	}
}
