package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"

	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// server is a running receiver.
type server struct {
	cmd    *exec.Cmd
	output bytes.Buffer // what it says, for the error when it fails
	exited chan error
}

// startServer starts the target's command and waits until it accepts connections.
func startServer(ctx context.Context, t target, dir string) (*server, error) {
	args := strings.Fields(strings.ReplaceAll(t.server, "{dir}", dir))
	s := &server{cmd: exec.CommandContext(ctx, args[0], args[1:]...), exited: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.exited <- s.cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", t.addr)
		if err == nil {
			return s, c.Close()
		}
		select {
		case err := <-s.exited:
			return nil, fmt.Errorf("%s ended: %w\n%s", args[0], err, &s.output)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(err, s.cmd.Process.Kill())
		}
	}
}

// stop ends the receiver and adds to r what is known then.
func (s *server) stop(r *result, opts options, data string) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		return errors.Join(errors.New("the receiver does not end"), s.cmd.Process.Kill())
	}
	state := s.cmd.ProcessState
	r.cpu = float64((state.UserTime() + state.SystemTime()).Microseconds()) / float64(opts.spans)
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		r.memory = float64(usage.Maxrss) / 1024
	}
	size, err := diskUsage(data)
	r.disk = float64(size) / float64(opts.spans)
	return err
}

// diskUsage returns the bytes that the files below dir occupy.
func diskUsage(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			size += stat.Blocks * 512
		}
		return nil
	})
	return size, err
}

// findTraces asks for traces by id and returns the median and the longest time of an answer.
func findTraces(ctx context.Context, t target, ids [][16]byte) (middle, slowest time.Duration, err error) {
	var times []time.Duration
	for _, id := range ids {
		if id == ([16]byte{}) {
			continue
		}
		url := strings.ReplaceAll(t.query, "{trace}", hex.EncodeToString(id[:]))
		// Some receivers show what they took only after a while; the time of the answer that has the trace counts.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			began := time.Now()
			found, err := find(ctx, url)
			if err != nil {
				return 0, 0, err
			}
			if found {
				times = append(times, time.Since(began))
				break
			}
			if time.Now().After(deadline) {
				return 0, 0, fmt.Errorf("trace %x is not there", id)
			}
		}
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)-1], nil
}

// find reports whether url answers with a trace of ours.
func find(ctx context.Context, url string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode == http.StatusOK && bytes.Contains(body, []byte("llm_request")), err
}
