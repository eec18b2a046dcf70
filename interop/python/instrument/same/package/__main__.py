import sys

print(sys.argv[1:], __name__, __package__)
raise LookupError("package")
