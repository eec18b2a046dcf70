"""victim.py THREADS: starts and ends spans for ever, and reports each on standard output before it goes on.

A report is a line: the thread, what was done, and the how manieth of the thread's spans. There is a span around every ten others.
The first line is the pid.
"""

import itertools
import os
import random
import sys
import threading

from opentelemetry.sdk.trace import TracerProvider

provider = TracerProvider()
INNER = 10


def report(thread, what, n):
    os.write(1, f"{thread} {what} {n}\n".encode())


def work(thread):
    tracer = provider.get_tracer(f"scope {thread % 2}")
    numbers = itertools.count(1)

    def begin():
        n = next(numbers)
        span = tracer.start_span(f"{thread}-{n}", attributes={"text": "x" * random.randrange(3000)})
        report(thread, "started", n)
        return n, span

    def end(n, span):
        span.end()
        report(thread, "ended", n)

    while True:
        outer = begin()
        for _ in range(INNER):
            end(*begin())
        end(*outer)


os.write(1, f"{os.getpid()}\n".encode())
for n in range(1, int(sys.argv[1])):
    threading.Thread(target=work, args=(n,)).start()
work(0)
