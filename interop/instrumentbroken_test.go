package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// An exception of a signal handler that hits while the journal gets a file costs the span that it breaks off, and no other.
func TestInstrumentInterrupted(t *testing.T) {
	for _, version := range pythons {
		for _, when := range []string{"open", "created", "opened"} {
			t.Run(version+"/"+when, func(t *testing.T) {
				t.Parallel()
				i := instrument(t)
				out, err := i.command(version, "interrupted.py", when).Output()
				if err != nil {
					t.Fatal(err)
				}
				broken := "span " + strings.TrimSpace(string(out))
				if broken == "span " {
					t.Fatal("nothing was broken off")
				}
				c := i.read()
				there := names(c.finished)
				for n := range 300 {
					if name := fmt.Sprint("span ", n); name != broken && !slices.Contains(there, name) {
						t.Errorf("%s is not in the journal", name)
					}
				}
				if open := names(c.unfinished); len(open) > 1 || len(open) == 1 && open[0] != broken {
					t.Errorf("unfinished spans %q", open)
				}
			})
		}
	}
}
