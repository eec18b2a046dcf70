import sys

print(sys.modules.get("sitecustomize"), getattr(sys, "customized", None))
