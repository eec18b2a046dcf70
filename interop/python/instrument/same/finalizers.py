import gc, warnings
class A:
    def __del__(self): print("del", self.n)
a=A(); a.n=1; b=A(); b.n=2; a.b=b; b.a=a
import atexit; atexit.register(print, "atexit")
open("/dev/null")
