"""Whether a backend has what the ladder asks of it, before anything is compared."""

from collections.abc import Sequence

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.parity.result import Check, Difference
from mnist_fn.shared.state import StateTree, named_tensors

METHODS = ("load", "dump", "train_epoch", "logits", "losses", "gradients")
REASON = "what a backend must have: docs/parity.md, 'Your own backend on the ladder'"


def breaches(backends: Sequence[Backend], start: StateTree) -> list[Check]:
    """Fail each backend that lacks a method, or has layers of other names or shapes."""
    checks = []
    for backend in backends:
        missing = [method for method in METHODS if not callable(getattr(backend, method, None))]
        text = f"no method {', '.join(missing)}" if missing else _misnamed(backend, start)
        if text:
            what = f"{getattr(backend, 'name', type(backend).__name__)}: {text}"
            difference = Difference.infinite(what)
            checks.append(Check(what, difference, 0.0, "absolute", REASON, kind="contract"))
    return checks


def _misnamed(backend: Backend, start: StateTree) -> str:
    """What `dump` calls the layers otherwise; an error in it is left to the rung."""
    try:
        dumped = backend.dump(backend.load(start)).trees()
        for kind, expected in start.trees().items():
            lacking = [layer for layer in expected if layer not in dumped[kind]]
            if lacking:
                listed = ", ".join(dumped[kind]) or "none"
                return f"no {', '.join(lacking)} in {kind}; found {listed[:120]}"
            shapes = {name: list(tensor.shape) for name, tensor in named_tensors(dumped[kind])}
            for name, tensor in named_tensors(expected):
                shape = list(tensor.shape)
                if name not in shapes:
                    return f"no {name} in {kind}; found {', '.join(shapes)[:120]}"
                if shapes[name] != shape:
                    kernels = "(kernels are [in, out])"
                    return f"{kind}/{name} has the shape {shapes[name]}, not {shape} {kernels}"
    except Exception:  # said by the rung, with its traceback
        return ""
    return ""
