// Command spawn measures what a wrapper adds to the shortest command there is: `true`, bare, under `forkspan run`, and
// under any rivals named by flag, in turn, so that a machine that changes its speed changes it for all of them.
//
//	go run ./spawn --forkspan ../forkspan --rival '/path/to/otel-cli exec --' -n 100
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// contender is one way to run the command, with the figures of its runs.
type contender struct {
	name   string
	prefix []string
	wall   []time.Duration
	cpu    []time.Duration
	rss    []int64 // bytes
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("spawn: ")
	binary := flag.String("forkspan", "forkspan", "the forkspan binary")
	n := flag.Int("n", 50, "counted runs of each contender")
	command := flag.String("command", "true", "the command that is wrapped")
	contenders := []*contender{{name: "bare"}}
	flag.Func("rival", "a rival's words before the command, for example 'otel-cli exec --' (may be repeated)", func(s string) error {
		contenders = append(contenders, &contender{name: s, prefix: strings.Fields(s)})
		return nil
	})
	flag.Parse()

	state, err := os.MkdirTemp("", "spawn-")
	if err != nil {
		log.Fatalf("make state folder: %v", err)
	}
	defer os.RemoveAll(state)
	db := filepath.Join(state, "forkspan.db")
	contenders = append(contenders, &contender{name: "forkspan run", prefix: []string{*binary, "--db", db, "run", "--"}})

	const warmup = 3
	for round := range *n + warmup {
		for _, c := range contenders {
			if err := c.run(strings.Fields(*command), round >= warmup); err != nil {
				log.Fatalf("run %s: %v", c.name, err)
			}
		}
	}

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "contender\twall median\tp90\tadded\tCPU median\tpeak memory\t")
	bare := quantile(contenders[0].wall, 0.5)
	for _, c := range contenders {
		median := quantile(c.wall, 0.5)
		fmt.Fprintf(w, "%s\t%.2f ms\t%.2f ms\t%.2f ms\t%.2f ms\t%.1f MB\t\n", c.name,
			ms(median), ms(quantile(c.wall, 0.9)), ms(median-bare), ms(quantile(c.cpu, 0.5)), float64(slices.Max(c.rss))/1e6)
	}
	if err := w.Flush(); err != nil {
		log.Fatalf("write table: %v", err)
	}
}

// run runs the command once and keeps the figures when they count.
func (c *contender) run(command []string, counts bool) error {
	argv := append(slices.Clone(c.prefix), command...)
	cmd := exec.Command(argv[0], argv[1:]...)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	wall := time.Since(start)
	if !counts {
		return nil
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	c.wall = append(c.wall, wall)
	c.cpu = append(c.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	c.rss = append(c.rss, usage.Maxrss*1024)
	return nil
}

func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1))]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
