"""ways.py WAY: makes spans in processes that begin or end in some way. All exporters send to the endpoint of the environment."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
import threading

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GRPCExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HTTPExporter
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor


def make(processor=BatchSpanProcessor, exporter=HTTPExporter, **options):
    provider = TracerProvider(**options)
    provider.add_span_processor(processor(exporter()))
    return provider


def span(name, provider):
    return provider.get_tracer("ways").start_as_current_span(name)


def die(how):
    provider = make()
    with span("ended", provider):
        pass
    with span("open", provider):
        how()


def fork():
    provider = make(exporter=HTTPExporter)
    with span("around", provider):
        pid = os.fork()
        with span("parent" if pid else "child", provider):
            pass
    if pid:
        os.waitpid(pid, 0)
    else:
        provider.shutdown()
        os._exit(0)


def daemon():
    """Closes all files, as daemons do, and leaves their numbers to others."""
    provider = make(exporter=HTTPExporter)
    pid = os.fork()
    if pid:
        with span("parent", provider):
            os.waitpid(pid, 0)
        return
    with span("child", provider):
        os.closerange(0, 1024)
        pipe = [os.pipe() for _ in range(60)]
    for read, write in pipe:
        os.write(write, b"x")
        if os.read(read, 2) != b"x":
            os._exit(1)
    os._exit(0)


def worker(n):
    provider = make()
    with span(f"Worker {n}", provider):
        pass


def workers(method):
    provider = make(exporter=GRPCExporter) if method == "spawn" else make()
    context = multiprocessing.get_context(method)
    with span("main", provider):
        all_workers = [context.Process(target=worker, args=(n,)) for n in range(2)]
        for w in all_workers:
            w.start()
        for w in all_workers:
            w.join()
            if w.exitcode:
                sys.exit(f"exit code {w.exitcode}")


def providers():
    first, second = make(exporter=GRPCExporter), make(SimpleSpanProcessor)
    with span("a", first), span("b", second):
        pass
    first.shutdown()
    second.shutdown()
    with span("late", make()):
        pass


def threads():
    provider = make()

    def work():
        for _ in range(100):
            with span("in a thread", provider):
                pass

    all_threads = [threading.Thread(target=work) for _ in range(8)]
    for t in all_threads:
        t.start()
    for t in all_threads:
        t.join()


def tasks():
    provider = make(SimpleSpanProcessor)

    async def task():
        with span("task", provider):
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*[task() for _ in range(50)])

    asyncio.run(main())


def handler():
    provider = make()

    def handle(*args):
        with span("handler", provider):
            pass

    signal.signal(signal.SIGUSR1, handle)
    with span("around", provider):
        os.kill(os.getpid(), signal.SIGUSR1)


def concurrent():
    provider = make(SimpleSpanProcessor, active_span_processor=ConcurrentMultiSpanProcessor(4))
    with span("ended", provider):
        pass


WAYS = {
    "os._exit": lambda: die(lambda: os._exit(7)),
    "segfault": lambda: die(lambda: ctypes.string_at(0)),
    "sigkill": lambda: die(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "fork": fork,
    "daemon": daemon,
    "spawn": lambda: workers("spawn"),
    "forked": lambda: workers("fork"),
    "forkserver": lambda: workers("forkserver"),
    "providers": providers,
    "threads": threads,
    "asyncio": tasks,
    "signal": handler,
    "concurrent": concurrent,
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
