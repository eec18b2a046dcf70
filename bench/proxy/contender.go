package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"forkspan.dev/forkspan/genai/genaihttp"
)

// contender is one way from the client to the server.
type contender struct {
	name string
	url  string
	pids []int     // empty: CPU and memory are not known
	cmd  *exec.Cmd // nil when others have started it
}

// start starts a proxy; the last but one argument is where it listens.
func start(name string, argv ...string) (*contender, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &contender{name: name, url: "http://" + argv[len(argv)-2], pids: []int{cmd.Process.Pid}, cmd: cmd}, nil
}

func (c *contender) stop() {
	_ = c.cmd.Process.Signal(os.Interrupt)
	_ = c.cmd.Wait()
}

// wait waits until the contender answers.
func (c *contender) wait() error {
	address := strings.TrimPrefix(c.url, "http://")
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for %s: %w", c.name, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cpu is the time that the contender's processes have used.
func (c *contender) cpu() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	var total time.Duration
	for _, pid := range c.pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] {
			n, _ := strconv.Atoi(f)
			total += time.Duration(n) * tick
		}
	}
	return total
}

// resident is the memory of the contender's processes now, in bytes.
func (c *contender) resident() int64 {
	var total int64
	for _, pid := range c.pids {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(statm)); len(fields) > 1 {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			total += n * int64(os.Getpagesize())
		}
	}
	return total
}

// serveBare is the least that a proxy in Go can be. With the middleware it is what a gateway of a user's own is.
func serveBare(listen, upstream string, middleware bool) error {
	u, err := target(upstream)
	if err != nil {
		return err
	}
	var h http.Handler = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	if middleware {
		h = genaihttp.Handler(h, genaihttp.WithTracerProvider(sdktrace.NewTracerProvider()))
	}
	return http.ListenAndServe(listen, h)
}
