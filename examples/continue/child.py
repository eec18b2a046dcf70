"""Counts the words on standard input, in a span whose parent is named by the environment."""

import os
import sys


def count():
    print(len(sys.stdin.read().split()))


try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    count()
    sys.exit()

provider = TracerProvider()
if os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
parent = TraceContextTextMapPropagator().extract(os.environ)
with provider.get_tracer("child").start_as_current_span("Tokenize", context=parent):
    count()
provider.shutdown()
