package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"forkspan.dev/forkspan/internal/environ"
	"forkspan.dev/forkspan/internal/forward"
	"forkspan.dev/forkspan/internal/passon"
	"forkspan.dev/forkspan/internal/peer"
	"forkspan.dev/forkspan/internal/receive"
	"forkspan.dev/forkspan/internal/store"
)

const serveLong = `Stand as a receiver of OpenTelemetry spans: OTLP over gRPC and HTTP, either on either port, 4317 and 4318 of this
machine. Spans are stored, and passed on to --forward or OTEL_EXPORTER_OTLP_ENDPOINT when there is one: what waits
for it survives a restart. Metrics and logs are only passed on; without such a backend they are refused.

Other users of this machine are refused (--any-user takes them). Beyond this machine a token is needed; senders show it
with OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN.

/healthz, /readyz and /metrics answer on the same ports. docs/serve.md has a systemd unit and a Kubernetes sidecar.`

const serveExample = `  forkspan serve
  forkspan serve --forward https://collector.example.com:4317
  forkspan serve --listen 0.0.0.0 --token-file /run/secrets/forkspan
  forkspan ls --traces --all-runs              # what has come`

type serveFlags struct {
	listen    []string
	token     string
	tokenFile string
	anyUser   bool
	health    string
	forward   string
	verbatim  bool
	drain     time.Duration
	quiet     bool
}

func newServe(a *app) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:     "serve",
		Short:   "Stand as a receiver of spans",
		Long:    serveLong,
		Example: serveExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown argument %q", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return a.serve(f) },
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.listen, "listen", nil,
		"`ADDR` to listen at, with a port or at 4317 and 4318 (default 127.0.0.1; may be repeated)")
	flags.StringVar(&f.token, "token", "", "token that senders must show; better in FORKSPAN_SERVE_TOKEN or a file")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with that token")
	flags.BoolVar(&f.anyUser, "any-user", false, "take spans of other users of this machine, too")
	flags.StringVar(&f.health, "health", "", "`ADDR` to answer /healthz, /readyz and /metrics at, for probes: to anyone, without a token")
	flags.StringVar(&f.forward, "forward", "", "pass spans on to the backend at `URL` (default: OTEL_EXPORTER_OTLP_ENDPOINT's)")
	flags.BoolVar(&f.verbatim, "verbatim", false, "pass spans on as they came: no new ids for ranks that share theirs")
	flags.DurationVar(&f.drain, "drain", 10*time.Second, "time to pass spans on at the end")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing but errors")
	_ = c.RegisterFlagCompletionFunc("token-file", completeFiles)
	c.MarkFlagsMutuallyExclusive("token", "token-file")
	a.addStoreFlags(c)
	return c
}

// server is one `forkspan serve`.
type server struct {
	*app
	flags    serveFlags
	begun    time.Time
	store    *store.Store
	receiver *receive.Server
	forward  *forward.Forwarder // nil when spans are not passed on
	backend  *forward.Backend   // nil likewise
	serveSink
}

// defaultPorts are those of OTLP/gRPC and OTLP/HTTP. Both protocols are spoken on both.
var defaultPorts = []string{"4317", "4318"}

// memoryGoal is the heap from which on the garbage collector works harder, in bytes.
const memoryGoal = 144 << 20

func (a *app) serve(f serveFlags) error {
	usage := func(err error) error { return &exitError{status: statusUsage, err: fmt.Errorf("serve: %w", err)} }
	addresses, name, beyond, err := listenAddresses(f.listen)
	if err != nil {
		return usage(err)
	}
	token, err := readToken(f.token, f.tokenFile)
	if err != nil {
		return usage(err)
	}
	if beyond != "" && token == "" {
		return withHint(usage(fmt.Errorf("%s is open to other machines, which takes a token", beyond)),
			"--token-file FILE or FORKSPAN_SERVE_TOKEN; forkspan help serve says how senders show it")
	}
	if f.drain < 0 {
		return usage(errors.New("--drain is negative"))
	}
	listeners, err := listenAll(addresses, len(f.listen) == 0)
	if err != nil {
		return withHint(fmt.Errorf("serve: %w", err), "--listen 127.0.0.1:0 takes any free port")
	}
	defer closeAll(listeners)
	if f.health != "" {
		l, err := listenAt(f.health)
		if err != nil {
			return fmt.Errorf("serve: --health: %w", err)
		}
		defer l.Close()
		listeners = append(listeners, l) // the last one
	}
	ctx, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer forget()
	s := &server{app: a, flags: f, begun: time.Now()}
	if s.store, err = a.openStore(ctx); err != nil {
		return withHint(fmt.Errorf("serve: %w", err), "--db FILE chooses another place")
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
	s.serveSink.server = s
	options := receive.Options{Token: token, AnyUser: f.anyUser, Host: name, Pages: s.pages()}
	closePasser := s.connect(listeners, &options)
	s.receiver = receive.New(s, options)
	err = s.run(ctx, forget, listeners)
	closePasser()
	return errors.Join(err, s.store.Close())
}

// run serves until ctx ends; from then on forget makes the next signal end the program.
func (s *server) run(ctx context.Context, forget func(), listeners []net.Listener) error {
	var serving sync.WaitGroup
	failed := make(chan error, len(listeners))
	if s.flags.health != "" {
		last := len(listeners) - 1
		stop := s.serveHealth(listeners[last])
		defer stop()
		listeners = listeners[:last]
	}
	var where []string
	for _, l := range listeners {
		where = append(where, l.Addr().String())
		serving.Go(func() {
			if err := s.receiver.Serve(l); err != nil {
				failed <- err
			}
		})
	}
	s.say("listening at %s · store %s%s", strings.Join(where, ", "), s.store.Path(), s.onward())
	notifySystemd("READY=1")
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	forget()
	notifySystemd("STOPPING=1")
	last, cancel := context.WithTimeout(context.Background(), servePatience)
	defer cancel()
	_ = s.receiver.Shutdown(last) // what was cut off is its sender's to count
	serving.Wait()
	if s.forward != nil {
		drain, cancel := context.WithTimeout(context.Background(), s.flags.drain)
		defer cancel()
		s.forward.Drain(drain)
		s.sent = s.forward.Close()
	}
	s.say("%s", s.account())
	return err
}

// servePatience is how long requests under way may take to finish at the end.
const servePatience = 10 * time.Second

func (s *server) say(format string, args ...any) {
	if !s.flags.quiet {
		fmt.Fprintf(s.Stderr, "forkspan: "+format+"\n", args...)
	}
}

// connect begins to pass on what is stored, and lets metrics and logs through, when there is a backend.
func (s *server) connect(listeners []net.Listener, options *receive.Options) (closePasser func()) {
	closePasser = func() {}
	lookup := environ.Lookup(os.Environ())
	if s.flags.forward == "" && environ.Silenced(lookup) != "" {
		return closePasser
	}
	b, err := forward.Find(s.flags.forward, lookup)
	switch {
	case err != nil:
		s.note(fmt.Sprintf("spans are not passed on: %v", err))
		return closePasser
	case b == nil:
		return closePasser
	case isOurselves(b, listeners):
		s.note(fmt.Sprintf("spans are not passed on: %s is this receiver", b.Name()))
		return closePasser
	}
	settings := forward.Settings{Verbatim: s.flags.verbatim, Ratio: samplingRatio(lookup)}
	s.forward, err = forward.Open(context.Background(), s.store, b, forward.Options{Settings: settings, Notify: s.note})
	if err != nil {
		s.note(fmt.Sprintf("spans are not passed on: %v", err))
		return closePasser
	}
	s.backend = b
	passer, err := passon.New(b)
	if err != nil {
		s.note(fmt.Sprintf("metrics and logs are refused: %v", err))
		return closePasser
	}
	options.PassOn = func(ctx context.Context, other receive.OtherRequest) ([]byte, error) {
		return passer.Pass(ctx, other.Signal, other.JSON, other.Body)
	}
	return passer.Close
}

// isOurselves tells whether a backend is one of our own ports, to which spans would come back for ever.
func isOurselves(b *forward.Backend, listeners []net.Listener) bool {
	hostPort := b.Name()
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil || b.Socket != "" {
		return false
	}
	for _, l := range listeners {
		at, err := netip.ParseAddrPort(l.Addr().String())
		if err != nil || strconv.Itoa(int(at.Port())) != port {
			continue
		}
		addresses, err := net.LookupHost(host)
		if err != nil {
			continue
		}
		for _, a := range addresses {
			ip, err := netip.ParseAddr(a)
			if err == nil && (ip.Unmap() == at.Addr().Unmap() || at.Addr().IsUnspecified() && isLocal(ip) || ip.IsUnspecified()) {
				return true
			}
		}
	}
	return false
}

// isLocal tells whether an address is one of this machine's.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip.AsSlice())
	})
}

// listenAddresses are the host:ports to listen at, a name among the hosts, and the first that other machines reach.
func listenAddresses(listen []string) (addresses []string, name, beyond string, err error) {
	if len(listen) == 0 {
		listen = []string{"127.0.0.1", "::1"}
	}
	for _, text := range listen {
		host, port, splitErr := net.SplitHostPort(text)
		ports := []string{port}
		if splitErr != nil {
			host, ports = strings.Trim(text, "[]"), defaultPorts
		}
		ip, ipErr := netip.ParseAddr(host)
		_, portErr := strconv.ParseUint(ports[0], 10, 16)
		if text == "" || portErr != nil || ipErr != nil && strings.ContainsAny(host, ":/ ") {
			return nil, "", "", fmt.Errorf("--listen: %q is no address", text)
		}
		switch {
		case ipErr == nil && ip.IsLoopback(), strings.EqualFold(host, "localhost"):
		case beyond == "":
			beyond = text
		}
		if ipErr != nil {
			name = host
		}
		for _, port := range ports {
			addresses = append(addresses, net.JoinHostPort(host, port))
		}
	}
	return addresses, name, beyond, nil
}

// listenAll listens at all addresses, or at those of IPv4 alone where IPv6 is only a default.
func listenAll(addresses []string, lenient bool) (listeners []net.Listener, err error) {
	for _, address := range addresses {
		l, err := listenAt(address)
		switch {
		case err == nil:
			listeners = append(listeners, l)
		case lenient && strings.HasPrefix(address, "[") && !errors.Is(err, syscall.EADDRINUSE):
		default:
			closeAll(listeners)
			return nil, err
		}
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// listenAt says who has a port that is taken.
func listenAt(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, err
	}
	holder := "another program"
	if at, err := net.ResolveTCPAddr("tcp", address); err == nil {
		if pid, name, ok := peer.Holder(at.AddrPort()); ok {
			holder = fmt.Sprintf("%s (process %d)", name, pid)
		}
	}
	return nil, fmt.Errorf("listen at %s: the port is taken by %s", address, holder)
}

// readToken returns the token that senders must show; empty for none.
func readToken(token, file string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		if token = strings.TrimSpace(string(b)); token == "" {
			return "", fmt.Errorf("--token-file: %s is empty", file)
		}
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("want one word of printable ASCII for a token")
	}
	return token, nil
}
