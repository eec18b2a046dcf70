package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

const (
	plainBody  = `{"model":"m","messages":[{"role":"user","content":"Say hello."}],"max_tokens":16}`
	streamBody = `{"model":"m","messages":[{"role":"user","content":"Say hello."}],"max_tokens":16,"stream":true}`
)

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}
}

func post(ctx context.Context, client *http.Client, url, mode, body string) (*http.Response, error) {
	if mode != "" {
		url += "?mode=" + mode
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return client.Do(r)
}

// hop is the time that a proxy adds to a request that is answered in one piece, one request at a time.
func hop(contenders []*contender, _ *upstream, s settings) error {
	took := make([][]time.Duration, len(contenders))
	client := newClient()
	for round := range s.n + 100 {
		for i, c := range contenders {
			begin := time.Now()
			res, err := post(context.Background(), client, c.url+path, "", plainBody)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || len(body) != len(whole) {
				return fmt.Errorf("%s: %d bytes, %w", c.name, len(body), err)
			}
			if round >= 100 {
				took[i] = append(took[i], time.Since(begin))
			}
		}
	}
	w := table("contender", "median", "p99", "hop median", "hop p99", "× bare", "× bare p99")
	base, p99 := quantile(took[0], 0.5), quantile(took[0], 0.99)
	bare, bare99 := quantile(took[1], 0.5)-base, quantile(took[1], 0.99)-p99
	for i, c := range contenders {
		d, d99 := quantile(took[i], 0.5), quantile(took[i], 0.99)
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t%v\t%.2f\t%.2f\t\n", c.name, us(d), us(d99), us(d-base), us(d99-p99),
			float64(d-base)/float64(bare), float64(d99-p99)/float64(bare99))
	}
	return w.Flush()
}

// chunks is what many paced streams at once cost.
func chunks(contenders []*contender, _ *upstream, s settings) error {
	w := table("contender", "streams", "errors", "took", "CPU a chunk", "memory at 10 %", "at 50 %", "at 100 %")
	want := int64(s.chunks*len(piece) + len(lastData))
	for _, c := range contenders[1:] {
		var memory [3]int64
		var failed atomic.Int64
		cpu, begin := c.cpu(), time.Now()
		parallel(s.streams, s.atOnce, newClient(), func(client *http.Client, i int) {
			switch i {
			case s.streams / 10:
				memory[0] = c.resident()
			case s.streams / 2:
				memory[1] = c.resident()
			case s.streams - s.atOnce/2:
				memory[2] = c.resident()
			}
			res, err := post(context.Background(), client, c.url+path, "stream", streamBody)
			if err != nil {
				failed.Add(1)
				return
			}
			n, err := io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err != nil || n != want {
				failed.Add(1)
			}
		})
		spent := c.cpu() - cpu
		fmt.Fprintf(w, "%s\t%d\t%d\t%v\t%v\t%s\t%s\t%s\t\n", c.name, s.streams, failed.Load(), time.Since(begin).Round(time.Second),
			us(spent/time.Duration(s.streams*s.chunks)), mb(memory[0]), mb(memory[1]), mb(memory[2]))
	}
	return w.Flush()
}

// cut counts streams that do not arrive whole when the server answers at once, before it has read the request.
func cut(contenders []*contender, _ *upstream, s settings) error {
	w := table("contender", "streams", "cut", "took")
	for _, c := range contenders {
		var failed atomic.Int64
		begin := time.Now()
		parallel(s.streams, 16, newClient(), func(client *http.Client, _ int) {
			res, err := post(context.Background(), client, c.url+path, "at-once", streamBody)
			if err != nil {
				failed.Add(1)
				return
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || !strings.HasSuffix(string(body), lastData) {
				failed.Add(1)
			}
		})
		fmt.Fprintf(w, "%s\t%d\t%d\t%v\t\n", c.name, s.streams, failed.Load(), time.Since(begin).Round(time.Millisecond))
	}
	return w.Flush()
}

// leave is the time from a client's leaving, in the middle of a stream, until the server sees that.
func leave(contenders []*contender, u *upstream, s settings) error {
	took := make([][]time.Duration, len(contenders))
	client := newClient()
	for range min(s.n, 500) {
		for i, c := range contenders {
			ctx, cancel := context.WithCancel(context.Background())
			res, err := post(ctx, client, c.url+path, "hang", streamBody)
			if err != nil {
				cancel()
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if _, err := io.ReadFull(res.Body, make([]byte, len(piece))); err != nil {
				cancel()
				return fmt.Errorf("%s: %w", c.name, err)
			}
			begin := time.Now()
			cancel()
			select {
			case at := <-u.gone:
				took[i] = append(took[i], at.Sub(begin))
			case <-time.After(10 * time.Second):
				return errors.New(c.name + ": the server never saw that the client had left")
			}
			res.Body.Close()
		}
	}
	w := table("contender", "median", "p99", "most")
	for i, c := range contenders {
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t\n", c.name, us(quantile(took[i], 0.5)), us(quantile(took[i], 0.99)), us(quantile(took[i], 1)))
	}
	return w.Flush()
}

// parallel calls f n times, some at once.
func parallel(n, atOnce int, client *http.Client, f func(client *http.Client, i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(client, i)
			}
		})
	}
	workers.Wait()
	client.CloseIdleConnections()
}

func table(columns ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join(columns, "\t")+"\t")
	return w
}

func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1))]
}

func us(d time.Duration) string {
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}

func mb(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
