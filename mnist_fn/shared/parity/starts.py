"""How wide each program's own start is: it is not compared, for both begin with the reference's."""

import numpy as np

from mnist_fn.shared.parity.bounds import KNOWN_RATIO, SPREAD_DEVIATIONS
from mnist_fn.shared.parity.division import divided
from mnist_fn.shared.parity.param_map import ParamMap
from mnist_fn.shared.parity.program import Weights
from mnist_fn.shared.parity.words import number, vectors_text

# The deviation of U(±1/√fan_in), PyTorch's default, is 1/√3 of that of Flax's lecun_normal.
KNOWN = {
    3**0.5: ("√3 times as wide", ": Flax's lecun_normal for PyTorch's default"),
    3**-0.5: ("1/√3 as wide", ": PyTorch's default for Flax's lecun_normal"),
}


def starts_note(param_map: ParamMap, reference: Weights, port: Weights) -> str:
    """In which tensors the port's own start is wider or narrower; empty where in none can be seen,
    or where nothing of it is drawn.

    Args:
        param_map: which parameter is which.
        reference: its start.
        port: its own start, under its own names.
    """
    if not any(map(_spread, port.params.values())):
        return ""
    reference = divided(reference, param_map.joined[0])
    port = divided(port, param_map.joined[1])
    groups: dict[tuple[str, str], list[str]] = {}
    for pair in param_map.params:
        theirs = pair.layout.to_reference(port.params[pair.other])
        difference = _difference(reference.params[pair.name], theirs)
        if difference is not None:
            groups.setdefault(difference, []).append(pair.name)
    changes = []
    for (text, more), names in groups.items():
        changes.append(f"{text} in {_listed(names, reference)}{more}")
    text = f"the port's own start, which is not compared, is {'; '.join(changes)}"
    return text if changes else ""


def _difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[str, str] | None:
    """A tensor's spread beside the reference's, and what is known of it; None where two draws may
    be so far apart.
    """
    spread, port_spread = _spread(ours), _spread(theirs)
    if spread and port_spread:
        ratio, noise = port_spread / spread, SPREAD_DEVIATIONS / float(np.sqrt(ours.size))
        if abs(np.log(ratio)) <= noise:
            return None
        for value, text in KNOWN.items():
            if abs(np.log(ratio / value)) <= min(noise, KNOWN_RATIO):
                return text
        return f"{ratio:.2g} times as wide", ""
    if spread == port_spread and np.array_equal(ours.astype(np.float32), theirs.astype(np.float32)):
        return None
    return _drawn(theirs, port_spread), f", {_drawn(ours, spread)} in the reference"


def _spread(tensor: np.ndarray) -> float:
    """The deviation; that of a constant is rounding, not 0."""
    return float(np.std(tensor)) if tensor.size and np.ptp(tensor) else 0.0


def _drawn(tensor: np.ndarray, spread: float) -> str:
    return "drawn" if spread else number(float(tensor.flat[0]))


def _listed(names: list[str], reference: Weights) -> str:
    """Some tensors: how many kernels, biases or others they are, or their names if few."""
    if len(names) < 3:
        return " and ".join(names)
    kernels = sum(reference.params[name].ndim > 1 for name in names)
    vectors = f"{len(names) - kernels} {vectors_text(names)}"
    if kernels == 0:
        return vectors
    return f"{kernels} kernels" + (f" and {vectors}" if kernels < len(names) else "")
