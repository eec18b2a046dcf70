package proxy

import (
	"context"
	"errors"
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
	w io.Writer // nil: none

	mu    sync.Mutex
	named map[[leastDigits / 2]byte]trace.TraceID // traces by the beginning of their ids, at most maxNamed
}

const (
	leastDigits = 8 // of a trace id that `forkspan show` takes
	maxNamed    = 1 << 16
)

func newLines(w io.Writer) *lines {
	return &lines{w: w, named: map[[leastDigits / 2]byte]trace.TraceID{}}
}

func (l *lines) wanted() bool { return l.w != nil }

func (l *lines) print(e *entry, r *http.Request, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := ""
	if e.span.IsValid() {
		name = l.name(e.span.TraceID(), r.Header.Get("traceparent") != "")
	}
	_, _ = io.WriteString(l.w, e.line(r, took, name)) // a terminal that is gone does not stop the proxy
}

// name is how a person calls a trace: by as much of its id as tells it from the others. A caller's trace is called by its whole
// id, which need not be random: many begin with the time.
func (l *lines) name(id trace.TraceID, callers bool) string {
	digits := id.String()
	if callers {
		return digits
	}
	key := [leastDigits / 2]byte(id[:])
	other, taken := l.named[key]
	if !taken {
		if len(l.named) == maxNamed {
			clear(l.named)
		}
		l.named[key] = id
	}
	n := leastDigits
	if taken && other != id {
		for others := other.String(); digits[:n] == others[:n]; {
			n++
		}
	}
	return digits[:n]
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
				p.lines.print(e, r, time.Since(start))
			}
		}()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), entryKey{}, e)))
	})
}

// line is what the terminal shows of a request:
//
//	POST /api/chat llama3.2 200  first token 212ms  41 tok/s  4bf92f35
//
// The last word is what `forkspan show` calls the trace.
func (e *entry) line(r *http.Request, took time.Duration, name string) string {
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
		b.WriteString("  " + figures(speed) + " tok/s")
	} else if d := e.marks.LastToken.Sub(e.marks.FirstToken); e.marks.Gaps.Len() > 0 && d > 0 {
		// Without the server's count: most servers send a token in each event.
		b.WriteString("  ~" + figures(float64(e.marks.Gaps.Len())/d.Seconds()) + " tok/s")
	}
	if name != "" {
		b.WriteString("  " + name)
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

// figures is a speed in three figures, or in whole ones where it has more.
func figures(speed float64) string {
	if speed >= 100 {
		return strconv.FormatFloat(speed, 'f', 0, 64)
	}
	return strconv.FormatFloat(speed, 'g', 3, 64)
}
