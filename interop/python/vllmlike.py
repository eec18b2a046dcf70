"""Tracing as vLLM does it, for tests: which variables it reads and writes, and when.

The trace context is written into os.environ in lower case while a traced function runs, and restored after it. The parent of
a span is the current span, else the environment, lower case before upper case.
"""

import asyncio
import atexit
import contextlib
import functools
import os

from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"


def make_exporter(endpoint):
    protocol = os.environ.get(PROTOCOL, "grpc")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=True)
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint)
    raise ValueError(f"Unsupported OTLP protocol '{protocol}' is configured")


def init(module, endpoint, attributes=None):
    os.environ[ENDPOINT] = endpoint
    identity = {"vllm.instrumenting_module_name": module, "vllm.process_id": str(os.getpid())}
    provider = TracerProvider(resource=Resource.create({**identity, **(attributes or {})}))
    provider.add_span_processor(BatchSpanProcessor(make_exporter(endpoint)))
    trace.set_tracer_provider(provider)
    atexit.register(provider.shutdown)


def init_worker(module, kind, name):
    endpoint = os.environ.get(ENDPOINT)
    if endpoint:
        init(module, endpoint, {"vllm.process_kind": kind, "vllm.process_name": name})


def parent_context():
    if trace.get_current_span().get_span_context().is_valid:
        return None
    carrier = {}
    for key in ("traceparent", "tracestate"):
        for name in (key, key.upper()):
            if name in os.environ:
                carrier[key] = os.environ[name]
                break
    return TraceContextTextMapPropagator().extract(carrier)


@contextlib.contextmanager
def span_in_environment(name):
    with trace.get_tracer(__name__).start_as_current_span(name, context=parent_context()):
        before = {key: os.environ.get(key) for key in ("traceparent", "tracestate")}
        inject(os.environ)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def instrument(name):
    """Decorates a function, or a coroutine function, with a span."""

    def decorate(function):
        if asyncio.iscoroutinefunction(function):

            @functools.wraps(function)
            async def traced(*args, **kwargs):
                with span_in_environment(name):
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def traced(*args, **kwargs):
                with span_in_environment(name):
                    return function(*args, **kwargs)

        return traced

    return decorate
