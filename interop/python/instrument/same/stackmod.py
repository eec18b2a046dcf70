import inspect; print([f.function for f in inspect.stack()])
