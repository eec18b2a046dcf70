"""An HTTP server that continues the caller's trace as vLLM's front end does: server.py PORT. POST /quit ends it."""

import http.server
import json
import os
import sys
import threading

import vllmlike
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

CHUNK = '{"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":%s}]}'
WHOLE = '{"id":"a","model":"m","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}'


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/quit":
            self.answer("{}", "application/json")
            threading.Thread(target=self.server.shutdown).start()
            return
        # Starlette's headers: the first value of a name.
        carrier = {name: self.headers[name] for name in ("traceparent", "tracestate") if name in self.headers}
        span = trace.get_tracer("vllm.tracing.otel").start_span(
            "llm_request",
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={"test.path": self.path, "test.traceparents": len(self.headers.get_all("traceparent", []))},
        )
        if json.loads(body).get("stream"):
            events = [CHUNK % "null", CHUNK % '"stop"', "[DONE]"]
            self.answer("".join(f"data: {event}\n\n" for event in events), "text/event-stream")
        else:
            self.answer(WHOLE, "application/json")
        span.end()

    def answer(self, text, kind):
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


vllmlike.init("vllm.llm_engine", os.environ[vllmlike.ENDPOINT])
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
