package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// headStart is what the command beside a receiver gets before anything is sent.
const headStart = 2 * time.Second

// beside is a command that runs beside a receiver.
type beside struct {
	cmd *exec.Cmd
}

// startBeside returns when the command has printed a line.
func startBeside(ctx context.Context, command string) (*beside, error) {
	args := strings.Fields(command)
	b := &beside{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.stop()
		return nil, fmt.Errorf("%s says %q: %w", args[0], line, err)
	}
	return b, nil
}

// cpu is what the command has used so far of the processors, see proc_pid_stat(5).
func (b *beside) cpu() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(b.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, err
	}
	const tick = 10 * time.Millisecond
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}

// stop ends the command.
func (b *beside) stop() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait() // which says that it was killed
}
