// Command proxy measures what a proxy in front of an LLM server adds: none, a bare httputil.ReverseProxy, the same behind the
// middleware, `forkspan proxy`, and rivals named by flag, in turn, so that a machine that changes its speed changes it for all
// of them.
//
//	go build -o /tmp/forkspan ../cmd/forkspan
//	go run ./proxy --forkspan /tmp/forkspan --rival nginx=http://127.0.0.1:18080,$(cat nginx.pid) hop cut chunks leave
//
// A rival is started by the user, with the fake server of this program (--upstream) behind it; its figures of CPU and memory
// need the process ids. nginx.conf is the configuration for nginx.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"forkspan.dev/forkspan/internal/proxy"
)

// settings are the flags of the scenarios.
type settings struct {
	n       int           // requests of each contender
	streams int           // of the scenarios chunks and cut
	chunks  int           // of one stream
	atOnce  int           // streams
	pace    time.Duration // between two chunks of a stream
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("proxy: ")
	if len(os.Args) == 4 && (os.Args[1] == "bare" || os.Args[1] == "middleware") {
		log.Fatal(serveBare(os.Args[2], os.Args[3], os.Args[1] == "middleware"))
	}
	var s settings
	binary := flag.String("forkspan", "", "the forkspan binary")
	upstream := flag.String("upstream", "127.0.0.1:18000", "where the fake server listens")
	flag.IntVar(&s.n, "n", 2000, "requests of each contender in hop and leave")
	flag.IntVar(&s.streams, "streams", 10000, "streams of each contender in chunks and cut")
	flag.IntVar(&s.chunks, "chunks", 500, "chunks of a stream")
	flag.IntVar(&s.atOnce, "at-once", 200, "streams at once")
	flag.DurationVar(&s.pace, "pace", 10*time.Millisecond, "time between two chunks of a stream")
	var rivals []*contender
	flag.Func("rival", "name=URL[,pid…] of a proxy that is running (may be repeated)", func(v string) error {
		c, err := parseRival(v)
		rivals = append(rivals, c)
		return err
	})
	flag.Parse()
	if err := run(*binary, *upstream, rivals, s, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(binary, address string, rivals []*contender, s settings, names []string) error {
	server, err := startUpstream(address, s)
	if err != nil {
		return err
	}
	defer server.close()
	direct := "http://" + address
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	bare, err := start("bare ReverseProxy", self, "bare", "127.0.0.1:18001", direct)
	if err != nil {
		return err
	}
	defer bare.stop()
	behind, err := start("the same behind the middleware", self, "middleware", "127.0.0.1:18003", direct)
	if err != nil {
		return err
	}
	defer behind.stop()
	contenders := []*contender{{name: "direct", url: direct}, bare, behind}
	if binary != "" {
		folder, err := os.MkdirTemp("", "bench-proxy-")
		if err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		defer os.RemoveAll(folder)
		ours, err := start("forkspan proxy", binary, "--db", folder+"/forkspan.db",
			"proxy", "-q", "--listen", "127.0.0.1:18002", direct)
		if err != nil {
			return err
		}
		defer ours.stop()
		contenders = append(contenders, ours)
	}
	contenders = append(contenders, rivals...)
	for _, c := range contenders {
		if err := c.wait(); err != nil {
			return err
		}
	}
	scenarios := map[string]func([]*contender, *upstream, settings) error{
		"hop": hop, "chunks": chunks, "cut": cut, "leave": leave,
	}
	for _, name := range names {
		scenario, ok := scenarios[name]
		if !ok {
			return fmt.Errorf("no scenario %q", name)
		}
		fmt.Printf("\n%s\n", name)
		if err := scenario(contenders, server, s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func parseRival(v string) (*contender, error) {
	name, rest, ok := strings.Cut(v, "=")
	parts := strings.Split(rest, ",")
	if _, err := url.Parse(parts[0]); !ok || err != nil {
		return nil, fmt.Errorf("want name=URL[,pid…]")
	}
	c := &contender{name: name, url: parts[0]}
	for _, p := range parts[1:] {
		pid, err := strconv.Atoi(p)
		if err != nil {
			return nil, fmt.Errorf("process id %q: %w", p, err)
		}
		c.pids = append(c.pids, pid)
	}
	return c, nil
}

// target reads a server's address.
func target(s string) (*url.URL, error) { return proxy.ParseUpstream(s) }
