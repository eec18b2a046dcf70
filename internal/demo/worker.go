package demo

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"forkspan.dev/forkspan"
)

// outOfMemory is how the demo's last worker ends.
type outOfMemory struct{}

func (outOfMemory) Error() string { return "tried to allocate 2.00 GiB (planned for this demo)" }

// work is a worker: it loads its share of the model and waits for orders.
func (p *Process) work(ctx context.Context, rank int) error {
	err := phase(ctx, "Worker init", 20,
		part("Init device", 110+40*rank),
		part("Load model", 10,
			part("Initialize model", 70),
			part("Load weights", 620+130*rank)),
		part("Compile graph", 260))
	if err != nil {
		return err
	}
	engine := newLink(os.Stdin, os.Stdout)
	if err := engine.send(message{Op: "ready"}); err != nil {
		return err
	}
	m, err := engine.receive()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case m.Op != "fail":
		return errors.New("no such order")
	}
	err = forkspan.Do(ctx, "Execute model", func(context.Context) error {
		time.Sleep(150 * time.Millisecond)
		return outOfMemory{}
	})
	p.logf("out of memory: %v", err)
	return err
}
