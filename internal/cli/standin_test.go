package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// standIns are programs that scripts run beside forkspan; each is this test binary under another name.
//
//	otlpchild grpc|http NAME       send a span with an upstream exporter, set up by the environment alone
//	latechild                      send a span, make the file sent, and once orphaned send another; with HOLD set it never ends
//	withport COMMAND ARGS…         run a command that inherits a listening socket; {port} in the arguments is its port
//	slowserver [SPAN…]             send spans, then serve the socket of withport until GET /quit or SIGTERM
//	blackhole COMMAND ARGS…        run a command with {port} of a socket that accepts and never answers
//	ask PATH                       GET a path of withport's socket; its port is in the file port
//	waitfor FILE TEXT              wait until a file has a text in it
//	leavejournal DIR               die in the middle of a span whose journal is in a folder
var standIns = map[string]func() error{
	"otlpchild":  otlpChild,
	"latechild":  lateChild,
	"withport":   func() error { return withSocket(true) },
	"blackhole":  func() error { return withSocket(false) },
	"slowserver": slowServer,
	"ask":        ask,
	"waitfor":    waitFor,

	"leavejournal": leaveJournal,
}

// commands are all programs of the scripts.
func commands() map[string]func() {
	all := map[string]func(){"forkspan": func() { os.Exit(Main(os.Args[1:], Standard())) }}
	for name, run := range standIns {
		all[name] = func() {
			if err := run(); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				os.Exit(1)
			}
		}
	}
	return all
}

// newProvider returns a provider that exports each span at once.
func newProvider(protocol string, opts ...sdktrace.TracerProviderOption) (*sdktrace.TracerProvider, error) {
	var exporter sdktrace.SpanExporter
	var err error
	if protocol == "grpc" {
		exporter, err = otlptracegrpc.New(context.Background())
	} else {
		exporter, err = otlptracehttp.New(context.Background())
	}
	return sdktrace.NewTracerProvider(append(opts, sdktrace.WithSyncer(exporter))...), err
}

// sendSpan exports a span below the environment's.
func sendSpan(provider *sdktrace.TracerProvider, name string) {
	carrier := propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT")}
	_, span := provider.Tracer("test").Start(propagation.TraceContext{}.Extract(context.Background(), carrier), name)
	span.End()
}

func otlpChild() error {
	provider, err := newProvider(os.Args[1])
	if err != nil {
		return err
	}
	sendSpan(provider, os.Args[2])
	return provider.Shutdown(context.Background())
}

func lateChild() error {
	parent := os.Getppid()
	provider, err := newProvider("grpc")
	if err != nil {
		return err
	}
	sendSpan(provider, "early")
	if err := os.WriteFile("sent", nil, 0o600); err != nil {
		return err
	}
	for os.Getppid() == parent || os.Getenv("HOLD") != "" {
		time.Sleep(time.Millisecond)
	}
	sendSpan(provider, "late")
	return provider.Shutdown(context.Background())
}

// socketVariable tells that descriptor 3 is a listening socket.
const socketVariable = "STANDIN_SOCKET"

func withSocket(inherit bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile("port", []byte(port), 0o600); err != nil {
		return err
	}
	replace := func(list []string) (out []string) {
		for _, s := range list {
			out = append(out, strings.ReplaceAll(s, "{port}", port))
		}
		return out
	}
	attr := &os.ProcAttr{Env: replace(os.Environ()), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}
	if inherit {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		attr.Files = append(attr.Files, f)
		attr.Env = append(attr.Env, socketVariable+"=3")
	} else {
		go func() {
			for {
				if _, err := l.Accept(); err != nil {
					return
				}
			}
		}()
	}
	argv := replace(os.Args[1:])
	process, err := os.StartProcess(lookPath(argv[0]), argv, attr)
	if err != nil {
		return err
	}
	state, err := process.Wait()
	if err != nil {
		return err
	}
	os.Exit(state.ExitCode())
	return nil
}

func lookPath(name string) string {
	for dir := range strings.SplitSeq(os.Getenv("PATH"), string(os.PathListSeparator)) {
		if path := dir + "/" + name; isFile(path) {
			return path
		}
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func slowServer() error {
	for _, name := range os.Args[1:] {
		os.Args = []string{"otlpchild", "http", name}
		if err := otlpChild(); err != nil {
			return err
		}
	}
	if os.Getenv(socketVariable) == "" {
		return errors.New("no socket")
	}
	l, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quit" {
			stop()
		}
	})}
	go server.Serve(l)
	<-ctx.Done()
	fmt.Println("served")
	return server.Shutdown(context.Background())
}

func ask() error {
	port, err := os.ReadFile("port")
	if err != nil {
		return err
	}
	resp, err := http.Get("http://127.0.0.1:" + string(port) + os.Args[1])
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func waitFor() error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		data, err := os.ReadFile(os.Args[1])
		if err == nil && bytes.Contains(data, []byte(os.Args[2])) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("no %q in %s", os.Args[2], os.Args[1])
}
