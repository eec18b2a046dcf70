"""What forkspan adds to a Python process: spans of its start, of slow imports and of its end, and a journal of all spans.

Nothing in here may change what the program does: no output, no exception, no frame in a traceback, no thread.
"""

import atexit
import os
import sys
from _thread import get_ident
from time import process_time_ns, time_ns

SLOW = 50_000_000  # ns: an import that takes as long has a span
TOGETHER = 10_000_000  # ns: short imports with no more between them are one, and have a span when they take as long

_FOLDER = ""  # of these files
_ABOUT = "forkspan.python"  # scope of our own spans


def load(name):
    """Returns a module of ours, which sys.modules never knows."""
    external = sys.modules["_frozen_importlib_external"]
    loader = external.SourceFileLoader(name, os.path.join(_FOLDER, name + ".py"))
    module = type(sys)(name)
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


def foreign(error):
    """Whether an exception that passes through our code is none of ours: a signal handler of the program has raised it."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None:
        return False
    name = tb.tb_frame.f_globals.get("__name__")
    return not (isinstance(name, str) and name.startswith(("forkspan_", "opentelemetry.")))


class Process:
    """The instrumentation of this process."""

    def __init__(self, journal, otlp):
        self.journal, self.otlp = journal, otlp
        self.epoch = 0  # counts forks
        self.root = os.urandom(16)
        self.about = None
        self.sdk = None  # opentelemetry's hooks
        self.last = []  # what remains to be written at the very end
        self.off = []  # what is other than we know it, and so is not recorded

    def parent(self, current=False):
        """The trace and span ids for a span without a parent of ours; None when it shall not be recorded."""
        if current and self.sdk is not None:
            found = self.sdk.current()
            if found is not None:
                return found
        env = os.environ
        parts = env.get("traceparent", env.get("TRACEPARENT", "")).strip().split("-")
        try:
            if len(parts) >= 4 and len(parts[1]) == 32 and len(parts[2]) == 16 and parts[0] != "ff":
                trace, span = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
                if any(trace) and any(span):
                    return (trace, span, int(parts[3], 16) | 0x200) if int(parts[3], 16) & 1 else None
        except ValueError:
            pass
        return self.root, b"", 1

    def write(self, kind, parent, span_id, name, start, end, attributes=()):
        self.journal.append(kind, *self.encode(parent, span_id, name, start, end, attributes))

    def encode(self, parent, span_id, name, start, end, attributes=()):
        """The number of our context, and a span's message."""
        otlp = self.otlp
        if self.about is None:
            self.about = otlp.context(_resource(), "", _ABOUT, "", "")
        trace, above, flags = parent
        more = otlp.attributes(b"\x4a", attributes)[0]
        payload = otlp.span(trace, span_id, above, name, 1, start, end, more, flags & 0x2FF | otlp.HAS_REMOTE)
        return self.journal.context(self.about), payload

    def unknown(self, what):
        if what not in self.off:
            self.off.append(what)

    def about_off(self):
        """The attributes that tell of it, which `forkspan run` says once."""
        return [("forkspan.python.off", tuple(self.off))] if self.off else []

    def forked(self):
        self.epoch += 1
        self.about = None
        del self.last[:]
        if self.sdk is not None:
            self.sdk.forked(self.journal.pid)
        self.journal.forked()


def _resource():
    """The attributes of this process's resource. Arguments of the command are not among them: they may hold secrets."""
    items = {}
    for item in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, is_set, value = item.partition("=")
        if is_set and key.strip():
            items[key.strip()] = _unquote(value.strip())
    name = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    if name:
        items["service.name"] = name
    items.setdefault("service.name", "unknown_service")
    items["process.pid"] = os.getpid()
    items["process.executable.name"] = os.path.basename(sys.executable or "python")
    items["process.executable.path"] = sys.executable or ""
    items["process.command"] = _command()
    items["process.runtime.name"] = sys.implementation.name
    items["process.runtime.version"] = "%d.%d.%d" % sys.version_info[:3]
    return items.items()


def _unquote(value):
    if "%" not in value:
        return value
    first, *rest = value.encode().split(b"%")
    for part in rest:
        try:
            first += bytes.fromhex(part[:2].decode()) + part[2:]
        except ValueError:
            first += b"%" + part
    return first.decode("utf-8", "replace")


def _command():
    """The program without its arguments: a script, "-m" and the module's name, or "-c"."""
    program = getattr(sys, "argv", [""])[0]
    original = getattr(sys, "orig_argv", ())
    if program == "-m" and "-m" in original[1:-1]:
        program += " " + original[original.index("-m", 1) + 1]
    return program


class Imports:
    """Times the loading of modules."""

    def __init__(self, process):
        self.process = process
        self.main = get_ident()
        self.tops = {}  # thread -> the innermost import under way
        self.hooks = {}  # module's name -> what to do when it has been loaded
        self.short = None  # short imports of the main thread, one after the other: start, end, number, first, last

    def install(self):
        """Puts the clock into the lock that the import system holds while it loads a module: no frame of ours is ever on the
        stack while a module runs, and loaded modules cost nothing.
        """
        bootstrap = sys.modules["_frozen_importlib"]
        base = bootstrap._ModuleLockManager
        if "_ModuleLockManager" not in bootstrap._find_and_load.__code__.co_names or base(_ABOUT)._name != _ABOUT:
            raise AttributeError
        acquire, release = base.__enter__, base.__exit__
        enter, leave = self.enter, self.leave

        class _ModuleLockManager(base):
            forkspan = True

            def __enter__(self):
                acquire(self)
                try:
                    enter(self)
                except BaseException as error:
                    if not isinstance(error, Exception) or foreign(error):
                        release(self, None, None, None)
                        raise

            def __exit__(self, *args, **kwargs):
                try:
                    leave(self, args[0] if args else None)
                except Exception as error:
                    if foreign(error):
                        raise
                finally:
                    release(self, *args, **kwargs)

        for name in ("__module__", "__qualname__", "__doc__"):
            setattr(_ModuleLockManager, name, getattr(base, name))
        bootstrap._ModuleLockManager = _ModuleLockManager

    def enter(self, load):
        now = time_ns()
        thread = get_ident()
        load.outer = outer = self.tops.get(thread)
        load.parts, load.span, load.epoch, load.begin = 0, None, self.process.epoch, now
        self.tops[thread] = load
        if outer is not None:
            self.announce_old(outer, now)

    def leave(self, load, error):
        now = time_ns()
        thread = get_ident()
        outer = load.outer
        if self.tops.get(thread) is load:
            if outer is None:
                del self.tops[thread]
            else:
                self.tops[thread] = outer
        if load.epoch != self.process.epoch:
            return  # forked meanwhile: the parent tells
        hook = self.hooks.get(load._name)
        if hook is not None and error is None:
            del self.hooks[load._name]
            try:
                hook()
            except Exception as problem:
                if foreign(problem):
                    raise
                self.process.unknown(load._name)
        if outer is not None:
            outer.parts += load.parts + 1
        if now - load.begin >= SLOW or load.span is not None:
            if outer is None:
                self.flush()
            self.announce(load, False)
            self.end(load, now, error)
        elif outer is None and thread == self.main:
            self.add_short(load, now)
        if outer is not None:
            self.announce_old(outer, now)

    def announce_old(self, load, now):
        """Writes that an import has started, once it is slow: so a start that hangs shows in what."""
        while load is not None and load.span is None:
            if now - load.begin >= SLOW:
                self.announce(load, True)
                return
            load = load.outer

    def announce(self, load, write):
        """Gives the import a span, and writes its start and those of the imports around it."""
        if load.span is not None:
            return
        outer = load.outer
        if outer is not None and outer.epoch == load.epoch:
            self.announce(outer, True)
            load.parent = outer.parent and (outer.parent[0], outer.span, outer.parent[2] & 0xFF)
        else:
            self.flush()
            load.parent = self.process.parent(current=True)
        load.span = os.urandom(8)
        if write and load.parent:
            self.process.write(1, load.parent, load.span, "import " + load._name, load.begin, None)

    def end(self, load, now, error):
        if not load.parent:
            return
        attributes = [("forkspan.python.module", load._name), ("forkspan.python.modules", load.parts + 1)]
        module = sys.modules.get(load._name)
        path = getattr(getattr(module, "__spec__", None), "origin", None) if error is None else None
        if isinstance(path, str):
            attributes.append(("code.file.path", path))
        if error is not None:
            attributes.append(("error.type", getattr(error, "__name__", "")))
        self.process.write(2, load.parent, load.span, "import " + load._name, load.begin, now, attributes)

    def add_short(self, load, now):
        s = self.short
        if s is not None and load.begin - s[1] <= TOGETHER:
            s[1], s[2], s[4] = now, s[2] + load.parts + 1, load._name
            return
        self.flush()
        self.short = [load.begin, now, load.parts + 1, load._name, load._name]

    def flush(self):
        """Writes the short imports so far as one, if they are slow together."""
        s, self.short = self.short, None
        if s is None or s[1] - s[0] < TOGETHER:
            return
        parent = self.process.parent(current=True)
        if parent:
            name = "import " + s[3] + (" … " + s[4] if s[4] != s[3] else "")
            self.process.write(2, parent, os.urandom(8), name, s[0], s[1], [("forkspan.python.modules", s[2])])


def _began():
    """When the process began, in ns since 1970."""
    now = time_ns()
    by_cpu = now - process_time_ns()  # not before this, when it had to wait for a disk
    try:
        import time

        ticks = process.journal_module.process_start()
        tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        if ticks:
            begin = now - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + ticks * tick
            return min(max(begin, min(begin + tick, by_cpu)), now)  # somewhere within the tick
    except (AttributeError, OSError, ValueError):
        pass
    return by_cpu


class _Exit:
    """Prepares the end of the last span when the interpreter lets go of the sys module, after all others."""

    def __init__(self, parent, span_id, begin, pid):
        self.args = parent, span_id, begin, pid

    def __del__(self, time_ns=time_ns, getpid=os.getpid):
        try:
            parent, span_id, begin, pid = self.args
            if pid != getpid():
                return
            lost, now, journal = process.journal.lost, time_ns(), process.journal
            attributes = process.about_off()
            if lost:
                attributes.append(("forkspan.journal.lost", lost))
            context, payload = process.encode(parent, span_id, "python exit", begin, now, attributes)
            place = journal.reserve(2, context, payload)
            if place is None:
                journal.append(2, context, payload)
                journal.end()
                return
            at = payload.index(b"\x41" + now.to_bytes(8, "little")) + 1
            process.last[:] = [place, payload[:at], payload[at + 8 :]]
        except BaseException:  # nobody is left to be told
            pass


class _Last:
    """Writes what _Exit has prepared when the interpreter lets go of its hooks for forks: after it has freed what modules held
    in memory, which takes the most time of an exit. There are no builtins any more.
    """

    def __init__(self, last, finish):
        self.last, self.finish = last, finish

    def __del__(self, time_ns=time_ns):
        try:
            if self.last:
                place, before, after = self.last
                self.finish(place, before + time_ns().to_bytes(8, "little") + after)
        except:  # noqa: E722 - as above
            pass


def at_exit():
    try:
        imports.flush()
        parent = process.parent()
        if parent and not hasattr(sys, "_forkspan_exit"):
            begin, span_id = time_ns(), os.urandom(8)
            process.write(1, parent, span_id, "python exit", begin, None)
            sys._forkspan_exit = _Exit(parent, span_id, begin, os.getpid())
    except Exception as error:
        if foreign(error):
            raise


def exit_before():
    """Has our exit span begin before what was registered up to now runs."""
    atexit.unregister(at_exit)
    atexit.register(at_exit)


process = imports = None


def silenced():
    """Whether the user wants no spans."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return True
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "")
    return bool(exporters.strip()) and not any(e.strip().startswith("otlp") for e in exporters.split(","))


def hook_sdk(endpoint):
    """Hooks into opentelemetry when the program imports it."""

    def sdk():
        if process.sdk is None:
            process.sdk = load("forkspan_sdk").Hooks(process, foreign, endpoint, imports.flush, exit_before)
        return process.sdk

    wanted = {"opentelemetry.sdk.trace": lambda: sdk().providers()}
    if endpoint:
        for kind in ("grpc", "http"):
            name = "opentelemetry.exporter.otlp.proto.%s.trace_exporter" % kind
            wanted[name] = lambda name=name: sdk().exporters(name)
    for name, hook in wanted.items():
        if name in sys.modules:
            hook()
        else:
            imports.hooks[name] = hook


def _fork_hook(last, forked):
    """Returns the only thing that holds last."""
    return lambda: last and forked()


def start(folder):
    """Instruments this process."""
    global _FOLDER, process, imports
    bootstrap = sys.modules["_frozen_importlib"]
    if hasattr(bootstrap._ModuleLockManager, "forkspan") or silenced():
        return  # of a run around this one: it is done already
    _FOLDER = folder
    before = set(sys.modules)
    journal = load("forkspan_journal")
    process = Process(journal.Journal(os.environ["FORKSPAN_JOURNAL"]), load("forkspan_otlp"))
    for name in set(sys.modules) - before:
        if name not in sys.builtin_module_names:
            del sys.modules[name]  # the program may have one of that name
    process.journal_module = journal
    imports = Imports(process)
    try:
        imports.install()
    except (AttributeError, KeyError, TypeError):
        process.unknown("imports")
    hook_sdk(os.environ.get("FORKSPAN_RUN_ENDPOINT", ""))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_fork_hook(_Last(process.last, journal.finish), process.forked))
    atexit.register(at_exit)
    parent = process.parent()
    if parent:
        process.write(2, parent, os.urandom(8), "python start", _began(), time_ns(), process.about_off())
