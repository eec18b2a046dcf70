"""full.py HOW: makes spans until there is no more room for a journal, and then more. Each line of its input lets it make as many.

HOW is "disk", where the file system takes no further file of the journal, or "cap", where the process has written as much as it may.
"""

import gc
import resource
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

AS_MANY = 150  # spans
EACH = "x" * 5000

if sys.argv[1] == "disk":
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
else:
    journal = next(o for o in gc.get_objects() if type(o).__module__ == "forkspan_journal" and type(o).__name__ == "Journal")
    type(journal).append.__globals__["MOST"] = (128 << 10) + (1 << 20)  # bytes: the first two files

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("full")
n = 0
for line in sys.stdin:
    for _ in range(AS_MANY):
        n += 1
        with tracer.start_as_current_span(f"span {n}", attributes={"text": EACH}):
            pass
    print(n, flush=True)
