// Package supervise starts one command and stands in for it: signals go through, job control works, and the exit status
// is the command's own.
//
// What a command can notice of us: it is not the leader of its process group, its parent is ours rather than the
// shell's, and on Linux its orphans are adopted by us (see [Command].NoSubreaper). Standard input, output and error are
// our own descriptors, further descriptors we inherited reach it, as do the resource limits and, as far as the Go runtime
// leaves them to be seen, the signals ignored (HUP, INT, TSTP, TTIN, TTOU, CONT) and blocked at our start (all but those
// that end a Go program or that its runtime uses: HUP, INT, QUIT, TERM, ABRT, CHLD, URG, PROF and those of faults).
//
// If we are killed with SIGKILL the command runs on, as a child of the next subreaper or of init.
//
// macOS has no subreaper, so there the descendants of the command are not known. Windows has neither signals nor a
// process group to share: an interrupt from the console reaches the command by itself, and its exit code is all we learn.
package supervise
