package forward

import (
	"strings"
	"testing"

	"forkspan.dev/forkspan/forkspantest"

	"forkspan.dev/forkspan/internal/endpoint"
)

// The user's certificates are used, also one of the client; a backend that cannot be trusted gets nothing.
func TestTLS(t *testing.T) {
	for _, protocol := range []string{endpoint.GRPC, endpoint.HTTP} {
		t.Run(protocol, func(t *testing.T) {
			c := forkspantest.NewCollector(t, forkspantest.WithTLS(), forkspantest.WithClientAuth())
			endpoint := []string{"ENDPOINT=https://" + c.Addr(), "PROTOCOL=" + protocol, "TIMEOUT=2000"}
			f := newSender(t, append(endpoint, "CERTIFICATE="+c.CAFile(), "CLIENT_CERTIFICATE="+c.ClientCertFile(),
				"CLIENT_KEY="+c.ClientKeyFile())...)
			f.Send(request(t, 2), 2)
			if got := f.Close(t.Context()); got.Taken != 2 || len(c.Spans()) != 2 {
				t.Errorf("%+v, the collector has %d", got, len(c.Spans()))
			}

			f = newSender(t, endpoint...)
			f.Send(request(t, 2), 2)
			if got := f.Close(t.Context()); got.Failed != 2 || !strings.Contains(got.Reason, "certificate") {
				t.Errorf("with an unknown authority: %+v", got)
			}
		})
	}
}
