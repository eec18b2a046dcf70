"""changed.py CLASS.NAME…: makes a span with an SDK that has other names for some of its private attributes."""

import functools
import importlib
import sys
import types

MODULES = {
    "TracerProvider": "opentelemetry.sdk.trace",
    "ReadableSpan": "opentelemetry.sdk.trace",
    "OTLPSpanExporter": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}


def rename(code, old):
    names = tuple("_other" + n if n == old else n for n in code.co_names)
    consts = tuple(rename(c, old) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_names=names, co_consts=consts)


def functions(value):
    """The functions behind an attribute of a class."""
    if isinstance(value, property):
        value = value.fget
    while value is not None:
        if isinstance(value, types.FunctionType):
            yield value
        value = getattr(value, "__wrapped__", None)


class Finder:
    """Changes modules while they are imported."""

    def __init__(self, changes):
        self.changes = changes  # by module: class and attribute

    def find_spec(self, name, path, target=None):
        if name not in self.changes:
            return None
        changes = self.changes.pop(name)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        @functools.wraps(execute)
        def exec_module(module):
            execute(module)
            for cls, attribute in changes:
                for c in vars(module).values():
                    if isinstance(c, type) and c.__module__ == name and issubclass(c, getattr(module, cls)):
                        for value in vars(c).values():
                            for function in functions(value):
                                function.__code__ = rename(function.__code__, attribute)

        spec.loader.exec_module = exec_module
        return spec


import importlib.util  # noqa: E402

changes = {}
for arg in sys.argv[1:]:
    cls, attribute = arg.split(".")
    changes.setdefault(MODULES[cls], []).append((cls, attribute))
sys.meta_path.insert(0, Finder(changes))

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: E402

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
with provider.get_tracer("changed").start_as_current_span("span", attributes={"key": "value"}):
    pass
