package journal

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
)

// spanContext is where spans come from: their resource and scope.
type spanContext struct {
	resource *resource.Resource
	scope    instrumentation.Scope
	number   uint32 // within the writer
	record   []byte // finished, of kind kindContext
}

// contextTable numbers the contexts of a writer. There are few, and they are there from early on: reading takes no lock.
type contextTable struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*spanContext]
}

func (t *contextTable) find(r *resource.Resource, scope instrumentation.Scope) *spanContext {
	if c := t.lookup(r, &scope); c != nil {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.lookup(r, &scope); c != nil {
		return c
	}
	var list []*spanContext
	if l := t.list.Load(); l != nil {
		list = *l
	}
	c := &spanContext{resource: r, scope: scope, number: uint32(len(list))}
	c.record = finishRecord(appendContext(beginRecord(nil, kindContext, c.number), r, scope))
	list = append(list[:len(list):len(list)], c)
	t.list.Store(&list)
	return c
}

// byNumber returns the context with that number, which there is.
func (t *contextTable) byNumber(n uint32) *spanContext { return (*t.list.Load())[n] }

func (t *contextTable) lookup(r *resource.Resource, scope *instrumentation.Scope) *spanContext {
	list := t.list.Load()
	if list == nil {
		return nil
	}
	for _, c := range *list {
		if c.resource == r && c.scope == *scope {
			return c
		}
	}
	return nil
}
