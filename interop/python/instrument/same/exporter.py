"""Exports elsewhere, by an exporter that fails, too."""

import logging
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Ids:
    n = 0

    def generate_span_id(self):
        Ids.n += 1
        return Ids.n

    generate_trace_id = generate_span_id

    def is_trace_id_random(self):
        return False


logging.basicConfig(format="%(name)s %(message)s")
memory = InMemorySpanExporter()
provider = TracerProvider(id_generator=Ids())
provider.add_span_processor(SimpleSpanProcessor(memory))
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda s: s.name + str(s.attributes) + "\n")))
broken = OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces")
broken._session = broken._metrics = None  # has it raise an exception, whose traceback is logged
provider.add_span_processor(SimpleSpanProcessor(broken))
with provider.get_tracer("x").start_as_current_span("kept", attributes={"a": 1}):
    pass
print([s.name for s in memory.get_finished_spans()], provider.resource.attributes.get("service.name"))
provider.shutdown()
try:
    TracerProvider(no_such_option=1)
except TypeError:
    sys.excepthook(*sys.exc_info())
