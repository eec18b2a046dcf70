package forkspan

import (
	"path"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// codeNames says which names the code.* attributes have.
type codeNames int

const (
	vllmNames   codeNames = iota // code.function, code.namespace, code.filepath and code.lineno, a string
	stableNames                  // code.function.name, code.file.path and code.line.number (semantic conventions 1.33)
	bothNames
	numCodeNames
)

// site is a place in the source, described once for all names.
type site struct {
	named [numCodeNames]siteAttributes
}

// siteAttributes are a site's attributes, in the forms that starting a span needs; shared, never written to.
type siteAttributes struct {
	attrs []attribute.KeyValue
	opts  []trace.SpanStartOption
}

func newSite(function, file string, line int) *site {
	namespace, name := splitFunction(function)
	old := []attribute.KeyValue{
		attribute.String("code.function", name),
		attribute.String("code.namespace", namespace),
		attribute.String("code.filepath", file),
		attribute.String("code.lineno", strconv.Itoa(line)),
	}
	stable := []attribute.KeyValue{
		attribute.String("code.function.name", function),
		attribute.String("code.file.path", file),
		attribute.Int("code.line.number", line),
	}
	s := &site{}
	for names, attrs := range [numCodeNames][]attribute.KeyValue{
		vllmNames: old, stableNames: stable, bothNames: append(old[:len(old):len(old)], stable...),
	} {
		s.named[names] = siteAttributes{
			attrs: attrs,
			opts:  []trace.SpanStartOption{trace.WithAttributes(attrs...)},
		}
	}
	return s
}

// splitFunction splits "example.com/pkg.(*T).Method" into the package's path and the rest, as Python has a module and a
// qualified name. The runtime escapes dots in the last element of the path.
func splitFunction(full string) (namespace, name string) {
	dir, base := path.Split(full)
	pkg, name, ok := strings.Cut(base, ".")
	if !ok {
		return "", full
	}
	return dir + strings.ReplaceAll(pkg, "%2e", "."), name
}

// siteCache maps the program counters of calls to their sites. It grows to the number of places in the program that
// start spans and is then only read, so it is copied to be written.
type siteCache struct {
	mu    sync.Mutex
	sites atomic.Pointer[map[uintptr]*site]
}

var sites siteCache

// caller returns the site of a call; skip is that of runtime.Callers, counted from the caller of this function.
func (c *siteCache) caller(skip int) *site {
	var pcs [1]uintptr
	if runtime.Callers(skip+2, pcs[:]) == 0 {
		return unknownSite
	}
	if m := c.sites.Load(); m != nil {
		if s := (*m)[pcs[0]]; s != nil {
			return s
		}
	}
	return c.add(pcs[0])
}

// unknownSite stands for a stack that has no callers, which does not happen.
var unknownSite = newSite("", "", 0)

func (c *siteCache) add(pc uintptr) *site {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	s := newSite(frame.Function, frame.File, frame.Line)
	c.mu.Lock()
	defer c.mu.Unlock()
	grown := map[uintptr]*site{pc: s}
	if m := c.sites.Load(); m != nil {
		for k, v := range *m {
			grown[k] = v
		}
	}
	c.sites.Store(&grown)
	return s
}

// siteOf returns the site of a function's declaration, and the function's name. Of a method value the runtime knows the
// name only; the file and line are then those of the call that is skip frames above the caller.
func siteOf(fn any, skip int) (s *site, name string) {
	f := runtime.FuncForPC(reflect.ValueOf(fn).Pointer())
	if f == nil {
		return unknownSite, ""
	}
	full, isMethod := strings.CutSuffix(f.Name(), "-fm")
	file, line := f.FileLine(f.Entry())
	if isMethod {
		_, file, line, _ = runtime.Caller(skip + 1)
	}
	_, name = splitFunction(full)
	return newSite(full, file, line), name
}
