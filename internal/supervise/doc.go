// Package supervise starts one command and stands in for it: signals go through, job control works, and the exit status
// is the command's own.
package supervise
