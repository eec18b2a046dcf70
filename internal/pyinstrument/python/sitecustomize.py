# Starts forkspan's instrumentation, and then runs the sitecustomize that this one has been found instead of. Any Python may
# come here, 2.7 too. When this file has run, neither sys.path nor sys.modules tell that it was there.
import sys

_self = sys.modules.pop(__name__, None)  # kept: Python 2 empties a module that nobody holds
try:
    import os

    _folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if p != _folder]
    sys.path_importer_cache.pop(_folder, None)
    if sys.version_info >= (3, 9) and os.environ.get("FORKSPAN_JOURNAL"):
        _external = sys.modules["_frozen_importlib_external"]
        _loader = _external.SourceFileLoader("forkspan_instrument", os.path.join(_folder, "forkspan_instrument.py"))
        _module = type(sys)("forkspan_instrument")
        _module.__file__ = _loader.path
        _loader.exec_module(_module)
        _module.start(_folder)
except Exception:
    pass
import sitecustomize  # noqa: E402,F401 - site.py knows what to do when there is none
