"""One process of a chain: step.py HOW NAME [COMMAND...] runs COMMAND inside a span NAME, in the way HOW says.

call    from this process
async   from a coroutine
spawn   from a worker process of its own, in a span "NAME worker"; started afresh
fork    the same, forked
"""

import asyncio
import multiprocessing
import os
import subprocess
import sys

import vllmlike
from opentelemetry import trace


def run(command):
    if command:
        subprocess.run(command, check=True)


def worker(name, command):
    vllmlike.init_worker("interop.worker", "worker", "Worker_0")
    vllmlike.instrument(name)(run)(command)
    # multiprocessing leaves by os._exit, which loses what a forked worker has not sent.
    trace.get_tracer_provider().force_flush()


def call(name, command):
    vllmlike.instrument(name)(run)(command)


def with_coroutine(name, command):
    @vllmlike.instrument(name)
    async def step():
        if not command:
            return
        process = await asyncio.create_subprocess_exec(*command)
        if await process.wait() != 0:
            raise RuntimeError(f"exit status {process.returncode}")

    asyncio.run(step())


def with_worker(method):
    def step(name, command):
        @vllmlike.instrument(name)
        def start():
            context = multiprocessing.get_context(method)
            process = context.Process(target=worker, args=(name + " worker", command))
            process.start()
            process.join()
            if process.exitcode != 0:
                raise RuntimeError(f"exit status {process.exitcode}")

        start()

    return step


WAYS = {"call": call, "async": with_coroutine, "spawn": with_worker("spawn"), "fork": with_worker("fork")}

if __name__ == "__main__":
    how, step_name, *rest = sys.argv[1:]
    vllmlike.init("interop.step", os.environ[vllmlike.ENDPOINT])
    environment = dict(os.environ)
    WAYS[how](step_name, rest)
    left = {k for k in os.environ if k != "baggage" and os.environ.get(k) != environment.get(k)}
    if left:
        sys.exit(f"the environment has changed: {left}")
