// Package proctree watches the processes below one process: which there were, who started whom, when each began and ended,
// how it died, and what it used.
package proctree
