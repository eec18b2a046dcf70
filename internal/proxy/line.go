package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/trace"

	"forkspan.dev/forkspan/genai"
	"forkspan.dev/forkspan/genai/genaihttp"
	"forkspan.dev/forkspan/internal/redact"
)

// lines prints one line a request, whole lines at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer // nil: none
}

func newLines(w io.Writer) *lines { return &lines{w: w} }

func (l *lines) wanted() bool { return l.w != nil }

func (l *lines) print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, line) // a terminal that is gone does not stop the proxy
}

// entry gathers what a request's line says.
type entry struct {
	status int
	call   genai.Call // of the last request upstream
	marks  genai.Marks
	span   trace.SpanContext
	err    error
}

type entryKey struct{}

func entryOf(ctx context.Context) *entry {
	e, _ := ctx.Value(entryKey{}).(*entry)
	return e
}

// sawUpstream is told about each request upstream, of which there may be two for one of a client.
func (p *Proxy) sawUpstream(ctx context.Context, r genaihttp.Result) {
	if e := entryOf(ctx); e != nil {
		e.call, e.marks = r.Call, r.Marks
	}
}

// sawClient is told about each request of a client.
func (p *Proxy) sawClient(ctx context.Context, r genaihttp.Result) {
	if e := entryOf(ctx); e != nil {
		e.status, e.span, e.err = r.Status, r.Span, r.Err
	}
}

// account counts requests and prints their lines.
func (p *Proxy) account(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e := &entry{}
		defer func() {
			p.requests.Add(1)
			if e.err != nil {
				p.failed.Add(1)
			}
			if p.lines.wanted() {
				p.lines.print(e.line(r, time.Since(start)))
			}
		}()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), entryKey{}, e)))
	})
}

// line is what the terminal shows of a request:
//
//	POST /api/chat llama3.2 200  first token 212ms  41 tok/s  4bf92f3577b34da6a3ce929d0e0e4736
//
// The last word names the trace for `forkspan show`.
func (e *entry) line(r *http.Request, took time.Duration) string {
	var b strings.Builder
	b.WriteString(plain(r.Method) + " " + plain(redact.String(r.URL.EscapedPath())))
	if model := e.call.Model(); model != "" {
		b.WriteString(" " + plain(redact.String(model)))
	}
	b.WriteString(" " + e.outcome())
	if d, ok := e.marks.TimeToFirstToken(); ok {
		b.WriteString("  first token " + short(d))
	} else {
		b.WriteString("  " + short(took))
	}
	if speed, ok := e.call.TokensPerSecond(); ok {
		fmt.Fprintf(&b, "  %.3g tok/s", speed)
	} else if d := e.marks.LastToken.Sub(e.marks.FirstToken); e.marks.Gaps.Len() > 0 && d > 0 {
		// Without the server's count: most servers send a token in each event.
		fmt.Fprintf(&b, "  ~%.3g tok/s", float64(e.marks.Gaps.Len())/d.Seconds())
	}
	if e.span.IsValid() {
		b.WriteString("  " + e.span.TraceID().String())
	}
	b.WriteByte('\n')
	return b.String()
}

// outcome is the status that the client got, and what went wrong besides.
func (e *entry) outcome() string {
	var words []string
	if e.status != 0 {
		words = append(words, strconv.Itoa(e.status))
	}
	switch {
	case errors.Is(e.err, genai.ErrClientGone):
		words = append(words, "client gone")
	case errors.Is(e.err, genai.ErrUpstreamCut):
		words = append(words, "cut off by the server")
	case errors.Is(e.err, genai.ErrTimeout):
		words = append(words, "timeout")
	case e.err != nil:
		words = append(words, "failed")
	}
	return strings.Join(words, " ")
}

// plain keeps what a stranger sent from moving the terminal's cursor.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != ' ' {
			return r
		}
		return '?'
	}, s)
}

// short rounds to what the eye takes in.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
