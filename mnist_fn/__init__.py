"""MNIST, trained by pure functions: a JAX implementation with a PyTorch twin.

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
    from mnist_fn.shared.config import Config
    from mnist_fn.shared.errors import InputError, Interrupted
    from mnist_fn.shared.runs.trainer import Run, Watch, load_run, resume, train

# Read by jaxlib when it is imported. Before 0.10.2 it takes a program from its own cache for one of
# another processor and says so in ten lines at each start; what really fails raises all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["Config", "InputError", "Interrupted", "Run", "Watch", "load_run", "resume", "train"]

_HOME = {"Config": "config", "InputError": "errors", "Interrupted": "errors"}  # else the trainer


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("mnist-fn")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"mnist_fn.shared.{_HOME.get(name, 'runs.trainer')}"), name)
