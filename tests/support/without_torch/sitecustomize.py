"""On the path of a process that is to be one without PyTorch, as after a plain installation."""

import sys
from importlib.machinery import ModuleSpec


class _Absent:
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, _Absent())
