import json
def f(): raise ValueError("boom")
f()
