// Command forkspan traces a tree of processes: it runs a command, receives the spans of all its descendants, stores them
// and draws them.
package main

import (
	"os"

	"forkspan.dev/forkspan/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Standard()))
}
