"""MNIST trained by pure functions in JAX, checked step by step against PyTorch.

    from mnist_fn import Config, train
    run = train(Config(l2=3e-5, epochs=20))
    run.history["test_loss"], run.confusion_matrix, run.weights

Importing this imports nothing else: each name is fetched when it is first used, and a backend's
framework when a run needs it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_fn.reading import read_digits
    from mnist_fn.shared.config import Config
    from mnist_fn.shared.data.datasets import Dataset
    from mnist_fn.shared.errors import InputError, Interrupted
    from mnist_fn.shared.parity.backends.check import BackendsVerdict, check_backends
    from mnist_fn.shared.parity.ladder import check_port
    from mnist_fn.shared.runs.callbacks import Callbacks
    from mnist_fn.shared.runs.run import Run
    from mnist_fn.shared.runs.trainer import load_run, resume, train
    from mnist_fn.shared.study.running import Study, study
    from mnist_fn.shared.sweeps.sweep import Sweep, sweep

# Read by jaxlib when it is imported. Before 0.10.2 it takes a program from its own cache for one of
# another processor and says so in ten lines at each start; what really fails raises all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# fmt: off
__all__ = ["Config", "Dataset", "train", "resume", "load_run", "Run", "Callbacks", "sweep", "Sweep",
           "study", "Study", "check_port", "check_backends", "BackendsVerdict", "read_digits",
           "InputError", "Interrupted"]
# fmt: on

_HOME = {  # where each is, below this package
    "Config": "shared.config",
    "Dataset": "shared.data.datasets",
    "InputError": "shared.errors",
    "Interrupted": "shared.errors",
    "Run": "shared.runs.run",
    "Callbacks": "shared.runs.callbacks",
    "check_port": "shared.parity.ladder",
    "read_digits": "reading",
    **dict.fromkeys(("check_backends", "BackendsVerdict"), "shared.parity.backends.check"),
    **dict.fromkeys(("train", "resume", "load_run"), "shared.runs.trainer"),
    **dict.fromkeys(("sweep", "Sweep"), "shared.sweeps.sweep"),
    **dict.fromkeys(("study", "Study"), "shared.study.running"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("mnist-fn")
    if name == "figures":
        return import_module("mnist_fn.command").figures()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"mnist_fn.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "figures"])
