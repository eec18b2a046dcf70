package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// sampled is how many of the traces sent are asked for afterwards.
const sampled = 40

// tryAgain is when a request is sent again that a receiver could not take for the moment.
const tryAgain = 100 * time.Millisecond

// sendAll sends the spans and returns ids of some of the traces, spread over the whole time, and how often a request had to be
// sent again.
func sendAll(ctx context.Context, opts options, t target) ([][16]byte, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	requests := opts.spans / opts.batch
	ids := make([][16]byte, sampled)
	var next, again atomic.Int64
	var senders sync.WaitGroup
	for n := range opts.senders {
		senders.Go(func() {
			send, closeSender, err := newSender(t)
			if err != nil {
				cancel(err)
				return
			}
			defer closeSender()
			b := newBatch(opts.batch, uint64(n)+1)
			for {
				i := int(next.Add(1)) - 1
				if i >= requests || ctx.Err() != nil {
					return
				}
				id := b.next()
				for {
					err := send(ctx, b.body)
					if err == nil {
						break
					}
					if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
						cancel(fmt.Errorf("send request: %w", err))
						return
					}
					again.Add(1)
					time.Sleep(tryAgain)
				}
				if every := max(1, requests/sampled); i%every == 0 && i/every < sampled {
					ids[i/every] = id
				}
			}
		})
	}
	senders.Wait()
	return ids, again.Load(), context.Cause(ctx)
}

// sender sends one request and returns when it is acknowledged.
type sender func(ctx context.Context, body []byte) error

func newSender(t target) (sender, func(), error) {
	if t.proto == "http" {
		transport := &http.Transport{MaxIdleConnsPerHost: 1}
		url := "http://" + t.addr + t.path
		return func(ctx context.Context, body []byte) error { return post(ctx, transport, url, body) }, transport.CloseIdleConnections, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+t.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		return nil, nil, err
	}
	const method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	return func(ctx context.Context, body []byte) error {
		var answer []byte
		return conn.Invoke(ctx, method, body, &answer)
	}, func() { conn.Close() }, nil
}

func post(ctx context.Context, transport http.RoundTripper, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, answer)
		if res.StatusCode == http.StatusServiceUnavailable {
			err = status.Error(codes.Unavailable, err.Error())
		}
	}
	return err
}

// raw sends bytes as they are.
type raw struct{}

// Marshal implements encoding.CodecV2.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (raw) Name() string { return "proto" }
