"""interrupted.py EVENT: makes spans, and once has an exception, as that of a signal handler, hit while the journal gets its second file.

EVENT is when: before the file is opened ("open"), after that ("created"), or before it is mapped ("opened"). Prints the number of the span that it broke off.
"""

import os
import sys

from opentelemetry.sdk.trace import TracerProvider


class Late(Exception):
    pass


left = [sys.argv[1]]


def hook(event, args):
    """An exception that is raised here goes on from where the journal calls the system."""
    second = event == "open" and isinstance(args[0], str) and args[0].endswith(".000002.journal")
    if left == ["created"] and second:
        del left[:]
        os.close(os.open(args[0], os.O_CREAT | os.O_EXCL, 0o600))
        raise Late
    if left == ["open"] and second:
        del left[:]
        raise Late
    if left == ["opened"] and second:
        left[:] = ["mmap.__new__"]
    elif left == ["mmap.__new__"] and event == "mmap.__new__":
        del left[:]
        raise Late


sys.addaudithook(hook)
tracer = TracerProvider().get_tracer("interrupted")
for n in range(300):
    try:
        tracer.start_span(f"span {n}", attributes={"text": "x" * 1000}).end()
    except Late:
        print(n)
