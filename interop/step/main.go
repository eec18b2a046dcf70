// Command step is one process of a chain: step HOW NAME [COMMAND...] runs COMMAND inside a span NAME, in the way HOW says:
// "command" with forkspan.Command, "setenv" with forkspan.Setenv around os/exec.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	"forkspan.dev/forkspan"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	tracer, err := forkspan.Init(ctx, "interop.step")
	if err != nil {
		log.Fatal(err)
	}
	stepErr := step(ctx, os.Args[1], os.Args[2], os.Args[3:])
	if err := tracer.Shutdown(ctx); err != nil {
		log.Fatalf("shut down: %v", err)
	}
	if stepErr != nil {
		log.Fatal(stepErr)
	}
}

func step(ctx context.Context, how, name string, command []string) (err error) {
	ctx, span := forkspan.Start(ctx, name)
	defer forkspan.End(span, &err)
	if len(command) == 0 {
		return nil
	}
	var cmd *exec.Cmd
	switch how {
	case "command":
		cmd = forkspan.Command(ctx, command[0], command[1:]...)
	case "setenv":
		restore := forkspan.Setenv(ctx)
		defer restore()
		cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	default:
		return fmt.Errorf("unknown way %q", how)
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	return nil
}
