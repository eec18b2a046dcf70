"""Makes spans with all that a span can have, and prints how OpenTelemetry's own exporter encodes each, in hexadecimal digits."""

import enum
import sys

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode


class Oracle(SpanExporter):
    def export(self, spans):
        sys.stdout.write(encode_spans(spans).SerializeToString().hex() + "\n")
        return SpanExportResult.SUCCESS


class Word(str):
    def encode(self, *args):
        raise RuntimeError("not to be called")


class Color(int, enum.Enum):
    RED = 7


limits = SpanLimits(max_attributes=200, max_events=3, max_links=2, max_event_attributes=2, max_link_attributes=1)
provider = TracerProvider(resource=Resource({"service.name": "oracle", "n": 1, "list": ["a", "ü"]}, "http://schema"), span_limits=limits)
provider.add_span_processor(SimpleSpanProcessor(Oracle()))
tracer = provider.get_tracer("scope", "1.2", "http://scope-schema", {"scope.attribute": "x"})

VALUES = {
    "empty": "",
    "text": "text",
    "long": "x" * 99,
    "longer": "x" * 101,
    "unicode": "ünïcödé 🎉 " * 5,
    "nul": "a\0b",
    "a key that is long " * 8: "v",
    "ключ": "значение",
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "negative": -1,
    "max": 2**63 - 1,
    "min": -(2**63),
    "float": 1.5,
    "nan": float("nan"),
    "inf": float("-inf"),
    "small": 5e-324,
    "enum": Color.RED,
    "strings": ["a", "b", "ü" * 100],
    "nothing": [],
    "ints": (1, -2, 3),
    "floats": [0.0, -0.0, 1e300],
    "bools": [True, False],
    "huge": "ÿ" * 300_000,
    "sub": str(Word("plain")),
}
with tracer.start_as_current_span("everything", attributes=VALUES, kind=SpanKind.SERVER) as span:
    span.set_status(Status(StatusCode.ERROR, "went wrong: ü"))
    for i in range(5):
        span.add_event(f"event {i}", {"a": i, "b": "x", "c": 1.0}, timestamp=1_700_000_000_000_000_000 + i)
    with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
        child.set_status(StatusCode.OK)
    try:
        with tracer.start_as_current_span("failing"):
            raise ValueError("ü")
    except ValueError:
        pass

state = TraceState([("vendor", "value"), ("other", "1")])
remote = SpanContext(0x123456789ABCDEF0123456789ABCDEF0, 0x1234567890ABCDEF, True, TraceFlags(1), state)
with tracer.start_as_current_span("remote", context=set_span_in_context(NonRecordingSpan(remote)), kind=SpanKind.PRODUCER):
    pass
local = SpanContext(1, 2, False, TraceFlags(0))
with tracer.start_as_current_span("links", links=[Link(local), Link(remote, {"k": "v", "l": 2}), Link(remote)], kind=SpanKind.CONSUMER):
    pass
with tracer.start_as_current_span("many", attributes={f"key {i}": i for i in range(300)}):
    pass
with tracer.start_as_current_span(""):
    pass
tracer.start_span("times", start_time=1).end(2)
span = tracer.start_span("renamed")
span.update_name("new name")
span.set_attribute("late", "x")
span.end()
with provider.get_tracer("bare").start_as_current_span("bare"):
    pass
other = TracerProvider(resource=Resource({"service.name": "second"}))
other.add_span_processor(SimpleSpanProcessor(Oracle()))
with other.get_tracer("scope").start_as_current_span("second provider"):
    pass
