import threading
def f(): raise KeyError("t")
t=threading.Thread(target=f, name="n"); t.start(); t.join()
