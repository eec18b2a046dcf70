package supervise

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is also the programs under test: SUPERVISE_ROLE says which.
const roleVariable = "SUPERVISE_ROLE"

var roles = map[string]func(args []string){}

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleVariable)]; ok {
		os.Unsetenv(roleVariable)
		role(os.Args[1:])
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func init() {
	roles["run"] = func(args []string) { runRole(Command{Path: args[0], Args: args[1:]}) }
}

// runRole does what forkspan run does about its command.
func runRole(cmd Command) {
	p, err := Start(cmd)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(err.(*StartError).Status)
	}
	o := p.Outcome()
	if os.Getenv("SUPERVISE_SHOW") != "" {
		fmt.Fprintf(os.Stderr, "%+v %s\n", o, o.End.Sub(p.Started()).Round(time.Millisecond))
	}
	Exit(o)
}
