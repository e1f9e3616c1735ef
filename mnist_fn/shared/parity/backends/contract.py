"""Whether a backend has what the ladder asks of it, before anything is compared."""

from collections.abc import Sequence

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.parity.result import Check, Difference
from mnist_fn.shared.state import StateTree, named_tensors

METHODS = ("load", "dump", "train_epoch", "logits", "losses", "gradients")
REASON = "what a backend must have: docs/parity.md, 'Your own backend on the ladder'"


def breaches(backends: Sequence[Backend], start: StateTree) -> list[Check]:
    """A failed check for each method that is missing, and for layers of other names or shapes."""
    messages = []
    for backend in backends:
        name = getattr(backend, "name", type(backend).__name__)
        missing = [method for method in METHODS if not callable(getattr(backend, method, None))]
        if missing:
            messages.append(f"{name}: no method {', '.join(missing)}")
        elif text := _names(backend, start):
            messages.append(f"{name}: {text}")
    return [_failed(text) for text in messages]


def _names(backend: Backend, start: StateTree) -> str:
    """What `dump` calls the layers otherwise; an error in it is left to the rung."""
    try:
        dumped = backend.dump(backend.load(start))
        for kind, expected in start.trees().items():
            layers = dumped.trees()[kind]
            lacking = [layer for layer in expected if layer not in layers]
            if lacking:
                listed = ", ".join(layers) or "none"
                return f"no {', '.join(lacking)} in {kind}; found {listed[:120]}"
            shapes = {name: tensor.shape for name, tensor in named_tensors(layers)}
            for name, tensor in named_tensors(expected):
                if name not in shapes:
                    return f"no {name} in {kind}; found {', '.join(shapes)[:120]}"
                if shapes[name] != tensor.shape:
                    return (
                        f"{kind}/{name} has the shape {list(shapes[name])}, not "
                        f"{list(tensor.shape)} (kernels are [in, out])"
                    )
    except Exception:  # said by the rung, with its traceback
        return ""
    return ""


def _failed(text: str) -> Check:
    return Check(text, Difference.infinite(text), 0.0, "absolute", REASON, kind="contract")
