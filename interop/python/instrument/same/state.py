"""Prints what a program can see of its interpreter."""

import inspect
import os
import sys

EARLY = {"atexit"}  # built in, and so nobody can have another
print(sys.path, sys.meta_path, sys.path_hooks, sorted(sys.path_importer_cache))
print(sorted(set(sys.modules) - EARLY), sorted(vars(sys)))
print(sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile(), sys.getrecursionlimit())
print(len(inspect.stack()), os.open(os.devnull, os.O_RDONLY))
import stackmod
