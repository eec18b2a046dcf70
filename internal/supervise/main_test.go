package supervise

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the programs under test: the variable says which.
const roleVariable = "SUPERVISE_ROLE"

var roles = map[string]func(args []string){
	"run":         func(args []string) { runRole(Command{Path: args[0], Args: args[1:]}) },
	"noSubreaper": func(args []string) { runRole(Command{Path: args[0], Args: args[1:], NoSubreaper: true}) },
}

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleVariable)]; ok {
		os.Unsetenv(roleVariable)
		role(os.Args[1:])
		os.Exit(0)
	}
	// What was ignored when the tests were started (nohup, a shell's &) is at its default for what they start: Go does
	// that for each signal that is asked for.
	for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	goleak.VerifyTestMain(m)
}

func mustStart(cmd Command) *Process {
	p, err := Start(cmd)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(err.(*StartError).Status)
	}
	return p
}

// runRole does what forkspan run does about its command. With SUPERVISE_LINGER it waits for what the command leaves.
func runRole(cmd Command) {
	p := mustStart(cmd)
	o := p.Outcome()
	if linger := os.Getenv("SUPERVISE_LINGER"); linger != "" {
		if linger == "report" {
			fmt.Fprintln(os.NewFile(3, "report"), "ended")
		}
		fmt.Printf("left: %d\n", len(p.Descendants(context.Background())))
	}
	Exit(o)
}
