"""Hooks into opentelemetry-python: a processor for every tracer provider, and exporters that leave out what the journal has."""

import sys
from os import getpid

START, END = 1, 2  # kinds of records


class Hooks:
    def __init__(self, process, foreign, endpoint, flush, exit_before):
        self.journal, self.otlp = process.journal, process.otlp
        self.foreign, self.flush, self.exit_before = foreign, flush, exit_before
        self.unknown = process.unknown
        self.host = _host(endpoint)
        self.processor = None
        self.get_current_span = None
        self.resources = {}  # id -> the resource, which so keeps its id, and its contexts by scope
        self.before = set()  # the pids that this process, before it was forked, had

    def current(self):
        """The context of the current span, once there have been spans."""
        if self.get_current_span is None:
            return None
        try:
            context = self.get_current_span().get_span_context()
            if not context.is_valid:
                return None
            trace, span = context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
            return (trace, span, 1) if context.trace_flags.sampled else None
        except Exception as error:
            if self.foreign(error):
                raise
            return None

    def providers(self):
        """Gives every provider our processor, by watching the attribute that holds its processors: so no frame of ours is in
        the traceback of a constructor.
        """
        sdk = sys.modules["opentelemetry.sdk.trace"]
        self.processor = processor = _make_processor(sdk.SpanProcessor, self)
        adopt = self.adopt
        name = "_active_span_processor"
        if not _sets(sdk.TracerProvider, name):
            self.unknown("opentelemetry.sdk.trace.TracerProvider")

        class Watch:
            def __get__(self, provider, owner=None):
                if provider is None:
                    raise AttributeError(name)
                try:
                    return provider.__dict__[name]
                except KeyError:
                    raise AttributeError(name) from None

            def __set__(self, provider, value):
                provider.__dict__[name] = value
                adopt(value, processor)

            def __delete__(self, provider):
                del provider.__dict__[name]

        setattr(sdk.TracerProvider, name, Watch())

    def adopt(self, processors, processor):
        try:
            self.exit_before()
            there = getattr(processors, "_span_processors", None)
            if isinstance(there, tuple):
                if processor not in there:
                    processors._span_processors = (processor,) + there
            else:
                processors.add_span_processor(processor)
        except Exception as error:
            if self.foreign(error):
                raise

    def exporters(self, name):
        """Has the exporters of a module leave out what the journal has taken, when they send to the run."""
        cls = sys.modules[name].OTLPSpanExporter
        if not _sets(cls, "_endpoint"):
            self.unknown(name)
        export = cls.export
        hooks = self

        class Export:
            __doc__ = export.__doc__

            def __get__(self, exporter, owner=None):
                if exporter is None or not hooks.sends_to_run(exporter):
                    return export.__get__(exporter, owner)
                return lambda spans: hooks.export(exporter, export, spans)

        cls.export = Export()

    def sends_to_run(self, exporter):
        try:
            return _host(exporter._endpoint) == self.host != ""
        except AttributeError:
            return False

    def export(self, exporter, export, spans):
        left = [s for s in spans if not self.take(s)]
        if spans and not left:
            return sys.modules["opentelemetry.sdk.trace.export"].SpanExportResult.SUCCESS
        return export(exporter, left)

    def take(self, span):
        """Writes a span that has ended, unless it was written, and returns whether it is safe. Exporters of processors that
        run beside ours may come here first.
        """
        try:
            if getattr(span, "_forkspan_taken", False):
                return True
            if not span.end_time:
                return False
            written, span._forkspan_taken = False, True
            try:
                written = self.write(END, span)
            finally:
                span._forkspan_taken = written
            return written
        except Exception as error:
            if self.is_foreign(error):
                raise
        return False

    def is_foreign(self, error):
        """Whether an exception has to be passed on. One of ours is noted when it may come from an SDK that we do not know."""
        if self.foreign(error):
            return True
        if isinstance(error, AttributeError):
            self.unknown("opentelemetry.sdk.trace.Span")
        return False

    def started(self, span):
        try:
            if self.get_current_span is None:
                self.get_current_span = sys.modules["opentelemetry.trace"].get_current_span
            self.flush()
            if span.get_span_context().trace_flags.sampled:
                self.write(START, span)
        except Exception as error:
            if self.is_foreign(error):
                raise

    def ended(self, span):
        context = span.get_span_context()
        if context is not None and context.trace_flags.sampled:
            self.take(span)

    def write(self, kind, span):
        otlp = self.otlp
        context, parent = span.get_span_context(), span.parent
        more = []
        if context.trace_state:
            state = ",".join(["%s=%s" % item for item in context.trace_state.items()])
            more.append(otlp.field(b"\x1a", otlp.text(state)))
        encoded, dropped = otlp.attributes(b"\x4a", _items(span._attributes))
        more.append(encoded)
        if kind == END:
            more.append(otlp.number(b"\x50", dropped + span.dropped_attributes))
            for event in span.events:
                more.append(otlp.field(b"\x5a", self.event(event)))
            more.append(otlp.number(b"\x60", span.dropped_events))
        for link in span.links:
            more.append(otlp.field(b"\x6a", self.link(link)))
        more.append(otlp.number(b"\x70", span.dropped_links))
        status = span.status
        if status.status_code.value:
            message = status.description
            code = b"\x18\x01" if status.status_code.value == 1 else b"\x18\x02"
            more.append(otlp.field(b"\x7a", (otlp.field(b"\x12", otlp.text(message)) if message else b"") + code))
        flags = int(context.trace_flags) & 0xFF | otlp.HAS_REMOTE
        above = None
        if parent is not None:
            above = parent.span_id.to_bytes(8, "big")
            if parent.is_remote:
                flags |= otlp.IS_REMOTE
        payload = otlp.span(
            context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"), above, span.name,
            span.kind.value + 1, span.start_time, span.end_time if kind == END else None, b"".join(more), flags,
        )  # fmt: skip
        return self.journal.append(kind, self.context(span), payload)

    def event(self, event):
        otlp = self.otlp
        encoded, dropped = otlp.attributes(b"\x1a", _items(event.attributes))
        dropped += getattr(event, "dropped_attributes", 0) or 0
        name = otlp.field(b"\x12", otlp.text(event.name))
        return otlp.fixed64(b"\x09", event.timestamp) + name + encoded + otlp.number(b"\x20", dropped)

    def link(self, link):
        otlp = self.otlp
        context = link.context
        encoded, dropped = otlp.attributes(b"\x22", _items(link.attributes))
        dropped += getattr(link, "dropped_attributes", 0) or 0
        state = ",".join(["%s=%s" % item for item in context.trace_state.items()]) if context.trace_state else ""
        flags = int(context.trace_flags) & 0xFF | otlp.HAS_REMOTE | (otlp.IS_REMOTE if context.is_remote else 0)
        return b"".join((
            b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id.to_bytes(8, "big"),
            otlp.field(b"\x1a", otlp.text(state)) if state else b"", encoded, otlp.number(b"\x28", dropped),
            b"\x35", flags.to_bytes(4, "little"),
        ))  # fmt: skip

    def context(self, span):
        """The number of the span's resource and scope."""
        resource, scope = span.resource, span.instrumentation_scope
        known = self.resources.get(id(resource))
        if known is None or known[0] is not resource:
            if len(self.resources) > 100:
                self.resources.clear()
            known = self.resources[id(resource)] = (resource, {})
        numbers = known[1]
        if scope is None:
            key = scope_items = None
        else:
            # Tracers that are made anew each time have scopes that are equal and not the same.
            scope_items = tuple(_items(getattr(scope, "attributes", None)))
            key = (scope.name, scope.version, scope.schema_url, repr(scope_items) if scope_items else "")
        n = numbers.get(key)
        if n is None:
            name, version, schema = key[:3] if key else ("", "", "")
            items = self.in_this_process(_items(resource.attributes))
            record = self.otlp.context(items, resource.schema_url, name, version, schema, scope_items or ())
            n = self.journal.context(record)
            if len(numbers) < 10_000:
                numbers[key] = n
        return n

    def in_this_process(self, items):
        """The attributes of a resource with the pid of this process: most do not tell it, and those that a forked child has
        inherited tell its parent's.
        """
        for i, (key, value) in enumerate(items):
            if key == "process.pid":
                if type(value) is int and value in self.before:
                    items[i] = (key, getpid())
                return items
        items.append(("process.pid", getpid()))
        return items

    def forked(self, before):
        self.before.add(before)
        self.resources = {}


def _sets(cls, name):
    """Whether the constructors of a class know an attribute."""
    for c in cls.__mro__:
        init = getattr(c, "__init__", None)
        code = getattr(getattr(init, "__wrapped__", init), "__code__", None)
        if code is not None and name in code.co_names:
            return True
    return False


def _items(attributes):
    """The items of a mapping, which another thread may be changing."""
    if not attributes:
        return []
    plain = getattr(attributes, "_dict", attributes)
    return list(plain.items())


def _host(endpoint):
    """Host and port of a plain endpoint, as the run's port is given: empty for none."""
    if not isinstance(endpoint, str):
        return ""
    scheme, is_url, rest = endpoint.partition("://")
    if is_url and scheme.lower() == "https":
        return ""
    host = (rest if is_url else endpoint).partition("/")[0].lower()
    return "127.0.0.1" + host[9:] if host.startswith("localhost:") else host


def _make_processor(base, hooks):
    class ForkspanProcessor(base):
        def on_start(self, span, parent_context=None):
            hooks.started(span)

        def on_end(self, span):
            hooks.ended(span)

        def shutdown(self):
            pass  # what was recorded is safe

        def force_flush(self, timeout_millis=30000):
            return True

    return ForkspanProcessor()
