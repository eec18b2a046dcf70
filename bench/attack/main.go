// Command attack does to a receiver of OTLP what no sender should, for a while, so that its memory and the speed of other
// senders can be measured meanwhile:
//
//	attack -addr 127.0.0.1:14317 -for 20s
//
// Most of its connections are slow: they drip a header, a body, or HTTP/2's preface, or open a gRPC stream and are silent, or
// stall in the middle of a message, some once they have brought a whole one. A few others send bodies of 100 MB and gzip bombs, over both protocols, one after the other.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
)

const (
	large  = 100 << 20
	bombed = 1 << 30 // bytes that a gzip bomb over HTTP becomes
	drip   = 200 * time.Millisecond
	method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:14317", "address of the receiver")
	duration := flag.Duration("for", 20*time.Second, "how long")
	conns := flag.Int("conns", 1000, "slow connections")
	kinds := flag.String("kinds", "header,body,stall,little,proven,preface,silent,message,frames,large,bomb,grpclarge,grpcbomb", "what to do")
	flag.Parse()
	a := &attack{addr: *addr}
	if slices.Contains(strings.Split(*kinds, ","), "bomb") {
		a.bomb = zipped(bombed)
	}
	fmt.Println("attacking", a.addr)
	ctx, cancel := context.WithTimeout(context.Background(), *duration)
	defer cancel()
	var all sync.WaitGroup
	var slow []func(context.Context, net.Conn)
	for kind := range strings.SplitSeq(*kinds, ",") {
		if fn := dripping[kind]; fn != nil {
			slow = append(slow, fn)
			continue
		}
		fn := map[string]func(context.Context) error{
			"large": a.large, "bomb": a.zipBomb, "grpclarge": a.grpcLarge, "grpcbomb": a.grpcBomb,
		}[kind]
		if fn == nil {
			fmt.Fprintf(os.Stderr, "attack: unknown kind %q\n", kind)
			os.Exit(2)
		}
		all.Go(func() { repeat(ctx, fn) })
	}
	for i := range *conns {
		if len(slow) > 0 {
			all.Go(func() { repeat(ctx, func(ctx context.Context) error { return a.slow(ctx, slow[i%len(slow)]) }) })
		}
	}
	all.Wait()
}

type attack struct {
	addr string
	bomb []byte
}

func repeat(ctx context.Context, fn func(context.Context) error) {
	for ctx.Err() == nil {
		if fn(ctx) != nil {
			pause(ctx, 50*time.Millisecond) // the receiver is not there yet
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// slow runs a slow kind on a connection of its own until either side has enough.
func (a *attack) slow(ctx context.Context, fn func(context.Context, net.Conn)) error {
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	fn(ctx, c)
	return nil
}

// drop writes text byte by byte, and what follows for ever.
func drop(ctx context.Context, c net.Conn, text string, then byte) {
	for {
		b := then
		if text != "" {
			b, text = text[0], text[1:]
		}
		if _, err := c.Write([]byte{b}); err != nil || !pause(ctx, drip) {
			return
		}
	}
}

// Heads of requests of several lengths.
const (
	headStart    = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: "
	head         = headStart + "50000000\r\n\r\n"
	littleHead   = headStart + "100000\r\n\r\n"
	emptyRequest = headStart + "0\r\n\r\n"
)

var dripping = map[string]func(context.Context, net.Conn){
	"header": func(ctx context.Context, c net.Conn) {
		_, _ = io.WriteString(c, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\n")
		for i := range 1000 { // much at once, then little
			fmt.Fprintf(c, "a%d:\r\n", i)
		}
		drop(ctx, c, "", 'x')
	},
	"body": func(ctx context.Context, c net.Conn) {
		_, _ = io.WriteString(c, head)
		drop(ctx, c, "", 10)
	},
	"stall": func(ctx context.Context, c net.Conn) { // after as much as a buffer must grow to
		_, _ = io.WriteString(c, head)
		_, _ = c.Write(make([]byte, 1<<20))
		_, _ = io.Copy(io.Discard, c)
	},
	"little": func(ctx context.Context, c net.Conn) { // as "stall", but a request that looks like anybody's
		_, _ = io.WriteString(c, littleHead)
		_, _ = c.Write(make([]byte, 50<<10))
		_, _ = io.Copy(io.Discard, c)
	},
	"proven": func(ctx context.Context, c net.Conn) { // the same once the connection has brought a request
		_, _ = io.WriteString(c, emptyRequest)
		if _, err := c.Read(make([]byte, 1<<10)); err != nil {
			return
		}
		_, _ = io.WriteString(c, head)
		_, _ = c.Write(make([]byte, 1<<20))
		_, _ = io.Copy(io.Discard, c)
	},
	"preface": func(ctx context.Context, c net.Conn) { drop(ctx, c, http2.ClientPreface, 0) },
	"silent": func(ctx context.Context, c net.Conn) {
		for i := range 100 {
			if openStream(c, uint32(2*i+1), i == 0) != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	},
	"message": func(ctx context.Context, c net.Conn) { // of 60 MB, that stalls
		if openStream(c, 1, true) != nil {
			return
		}
		f := http2.NewFramer(c, nil)
		_ = f.WriteData(1, false, []byte{0, 3, 0x93, 0x87, 0})
		for range 60 {
			if f.WriteData(1, false, make([]byte, 16<<10)) != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	},
	"frames": func(ctx context.Context, c net.Conn) { // a message in frames of one byte
		if openStream(c, 1, true) != nil {
			return
		}
		f := http2.NewFramer(c, nil)
		_ = f.WriteData(1, false, []byte{0, 3, 0x93, 0x87, 0})
		for {
			if f.WriteData(1, false, []byte{1}) != nil || !pause(ctx, drip/10) {
				return
			}
		}
	},
}

// openStream begins a call on a raw connection.
func openStream(c net.Conn, id uint32, first bool) error {
	f := http2.NewFramer(c, nil)
	if first {
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			return err
		}
		if err := f.WriteSettings(); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "localhost"}, {"content-type", "application/grpc"},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1], Sensitive: true})
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true})
}

func zipped(n int64) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.Copy(w, zeros(n))
	_ = w.Close()
	return b.Bytes()
}

func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (a *attack) post(ctx context.Context, body io.Reader, encoding string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.addr+"/v1/traces", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", encoding)
	t := &http.Transport{DisableKeepAlives: true}
	res, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func (a *attack) large(ctx context.Context) error {
	return paced(a.post(ctx, zeros(large), "identity"), ctx)
}

func (a *attack) zipBomb(ctx context.Context) error {
	return paced(a.post(ctx, bytes.NewReader(a.bomb), "gzip"), ctx)
}

func (a *attack) grpcLarge(ctx context.Context) error {
	return paced(a.call(ctx, make([]byte, large)), ctx)
}

func (a *attack) grpcBomb(ctx context.Context) error {
	return paced(a.call(ctx, make([]byte, large), grpc.UseCompressor(grpcgzip.Name)), ctx)
}

// paced waits a little after each heavy request: what is measured is the receiver, not who gets the processor.
func paced(err error, ctx context.Context) error {
	pause(ctx, time.Second)
	return err
}

func (a *attack) call(ctx context.Context, body []byte, options ...grpc.CallOption) error {
	conn, err := grpc.NewClient("passthrough:///"+a.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	var answer []byte
	return conn.Invoke(ctx, method, body, &answer, slices.Concat(options, []grpc.CallOption{grpc.ForceCodecV2(raw{})})...)
}

type raw struct{}

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
func (raw) Name() string { return "proto" }
