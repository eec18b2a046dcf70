package receive

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"google.golang.org/grpc/codes"

	"forkspan.dev/forkspan/internal/peer"
)

// admits tells whether a connection may be read from. Where senders show no token, a process on this machine must be ours or
// root's; where the system does not tell whose it is, it is let in. One that is closed already, as after a look whether
// somebody listens here, is nobody's.
func (s *Server) admits(c net.Conn) bool {
	if s.options.AnyUser || s.options.Token != "" || !isLoopback(c.RemoteAddr()) {
		return true
	}
	owner, err := peer.Find(c.LocalAddr(), c.RemoteAddr())
	if err != nil {
		return errors.Is(err, peer.ErrUnknown)
	}
	if owner.UID == os.Getuid() || owner.UID == os.Geteuid() || owner.UID == 0 {
		return true
	}
	s.strangers.Add(1)
	return false
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

var (
	errToken  = &refusal{codes.Unauthenticated, "the request carries no valid token"}
	errHost   = &refusal{codes.PermissionDenied, "the request is for another host"}
	errOrigin = &refusal{codes.PermissionDenied, "requests from web pages are refused"}
)

// authorize says by the Authorization header whether a request's sender may send, before anything of its body is read.
func (s *Server) authorize(authorization string) *refusal {
	if s.options.Token == "" {
		return nil
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(s.options.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
		s.unauthorized.Add(1)
		return errToken
	}
	return nil
}

// checkOrigin refuses what a browser sends for a page from elsewhere. A page may reach us under a name of its own that it makes
// resolve to our address (DNS rebinding): its requests then are for a host that is not ours. Where a token is wanted, which such
// a page does not have, any name will do. gRPC needs no such check: browsers cannot speak it.
func (s *Server) checkOrigin(r *http.Request) *refusal {
	if s.options.Token == "" && !s.isOurs(r.Host) {
		s.unauthorized.Add(1)
		return errHost
	}
	if s.origin.Check(r) != nil {
		s.unauthorized.Add(1)
		return errOrigin
	}
	return nil
}

// isOurs tells whether a Host header names this machine: by an address, which no page can rebind, by localhost, by a name that
// containers have for their host, or by the one it was told.
func (s *Server) isOurs(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	switch name {
	case "", "localhost", "host.docker.internal", "host.containers.internal":
		return true
	case strings.ToLower(s.options.Host):
		return true
	}
	return strings.HasSuffix(name, ".localhost")
}
