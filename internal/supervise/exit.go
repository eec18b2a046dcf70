package supervise

import "os"

// Exit ends this process as the command ended: with its exit code, or by the same signal (with no core dumped). As PID 1,
// on Windows, and where the signal does not end us, the code is 128 plus the signal. It does not return.
func Exit(o Outcome) {
	if o.Signal == 0 {
		os.Exit(o.Code)
	}
	endBySignal(o.Signal)
	os.Exit(128 + int(o.Signal))
}
