package scriptspan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"forkspan.dev/forkspan/internal/environ"
)

// Send posts a request to the run that receives at hostPort and returns when that has stored it.
func Send(ctx context.Context, hostPort string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, environ.Endpoint(hostPort), bytes.NewReader(body))
	if err != nil {
		return errors.New("unusable address")
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	transport := &http.Transport{} // no proxy: the run is on this machine
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
