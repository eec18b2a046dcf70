package proctree

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the programs under test: the variable says which.
const roleVariable = "PROCTREE_ROLE"

var roles = map[string]func(args []string){}

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleVariable)]; ok {
		os.Unsetenv(roleVariable)
		role(os.Args[1:])
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
