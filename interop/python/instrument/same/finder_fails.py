import sys
class F:
    def find_spec(self, name, path, target=None):
        if name == "zzz": raise RuntimeError("finder")
sys.meta_path.insert(0, F())
import zzz
