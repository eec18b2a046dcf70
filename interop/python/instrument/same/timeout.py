"""Breaks off work on spans by an exception of a signal handler, wherever it hits."""

import signal

from opentelemetry.sdk.trace import TracerProvider


class Late(Exception):
    pass


def late(*args):
    raise Late


signal.signal(signal.SIGALRM, late)
tracer = TracerProvider().get_tracer("x")
count = 0
while count < 100:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        while True:
            tracer.start_span("x", attributes={"a": "b", "c": 1}).end()
    except Late:
        count += 1
print(count)
