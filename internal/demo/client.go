package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// requestCount is how many requests the client sends, two at a time.
const requestCount = 6

// callersTrace stands for a gateway in front of the server that traces by itself.
const callersTrace = "00-5f0e3a1c9b7d48264f1e2d3c4b5a6978-00f067aa0ba902b7-01"

// request is the client: some of its requests bring a trace context, most do not.
func request(ctx context.Context, url string) error {
	errs := make(chan error, requestCount)
	var both sync.WaitGroup
	for offset := range 2 {
		both.Go(func() {
			for i := offset; i < requestCount; i += 2 {
				errs <- post(ctx, url, i == 0)
			}
		})
	}
	both.Wait()
	for range requestCount {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func post(ctx context.Context, url string, traced bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"prompt":"…","max_tokens":64}`))
	if err != nil {
		return err
	}
	if traced {
		req.Header.Set("traceparent", callersTrace)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
