// Package cli is the forkspan command, one file a subcommand.
//
// Commands write data to stdout and everything about themselves to stderr. An error is one line `forkspan: verb noun: cause`,
// with a hint on a line of its own where the user can do something about it.
package cli
