"""How small an error each lane of the ladder finds: docs/evidence/parity-sharpness.json.

    python docs/make/evidence_sharpness.py

An error of relative size 1, 10⁻¹, 10⁻², … is put into the PyTorch side, one kind after another, and
the ladder climbed; kept is the smallest that it finds, and at which rung. Some minutes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from pages import EVIDENCE, write_evidence

from mnist_fn.shared import backend as backends
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load, scale_pixels
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.ladder import climb
from mnist_fn.shared.state import StateTree
from torch_ref.backend import TorchBackend

STEPS = 300  # of the trajectory, as in the quick ladder
SMALLEST = 17  # the last power of ten that is tried: no float64 is that near to another
EXPERIMENTS = {
    "adam": Config(dataset="digits", l2=3e-5, epochs=100),
    "adamw": Config(dataset="digits", optimizer="adamw", weight_decay=0.01, epochs=100),
}
Made = Callable[[Config, Dataset, str], Any]


def with_config(name: str, size: float) -> Made:
    """The PyTorch backend with one of the config's numbers changed."""
    make = backends.find("torch")
    return lambda config, dataset, device: make(
        config.replace(**{name: getattr(config, name) * (1 + size)}), dataset, device
    )


@contextmanager
def adam(size: float, **which: Any) -> Iterator[None]:
    """Within it PyTorch's Adam has other constants."""
    known = {"betas": (0.9, 0.999), "eps": 1e-8}
    if "beta" in which:
        values = list(known["betas"])
        values[which["beta"]] *= 1 - size
        known["betas"] = tuple(values)
    else:
        known["eps"] *= 1 + size
    real = torch.optim.Adam

    def changed(groups: Any, rate: float, **constants: Any) -> torch.optim.Optimizer:
        return real(groups, rate, **{**constants, **known})

    with patch("torch.optim.Adam", changed):
        yield


def a_weight(size: float) -> Any:
    """The weight nearest to the median size, changed where a state is loaded."""
    whole = TorchBackend.load

    def load_other(self: TorchBackend, state: StateTree) -> Any:
        kernel = state.params["layer1"]["kernel"].copy()
        at = np.argsort(np.abs(kernel), axis=None)[kernel.size // 2]
        kernel.flat[at] *= 1 + size
        layer = {**state.params["layer1"], "kernel": kernel}
        return whole(self, replace(state, params={**state.params, "layer1": layer}))

    return patch.object(TorchBackend, "load", load_other)


def pixels(size: float) -> Any:
    return patch(
        "torch_ref.backend.scale_pixels",
        lambda images, dtype: (scale_pixels(images, "float64") * (1 + size)).astype(dtype),
    )


def by_patch(change: Callable[[float], Any]) -> Callable[[float], tuple[Any, Made]]:
    return lambda size: (change(size), backends.find("torch"))


def by_config(name: str) -> Callable[[float], tuple[Any, Made]]:
    return lambda size: (nullcontext(), with_config(name, size))


# what is wrong, in which experiment, how it is made so
KINDS: dict[str, tuple[str, Callable[[float], tuple[Any, Made]]]] = {
    "pixel scale": ("adam", by_patch(pixels)),
    "one weight of the first layer": ("adam", by_patch(a_weight)),
    "λ": ("adam", by_config("l2")),
    "learning rate": ("adam", by_config("learning_rate")),
    "β₁": ("adam", by_patch(partial(adam, beta=0))),
    "β₂": ("adam", by_patch(partial(adam, beta=1))),
    "ε": ("adam", by_patch(adam)),
    "AdamW's decay": ("adamw", by_config("weight_decay")),
}


KEPT: dict[tuple[Config, str], Any] = {}


def jax_side(config: Config, dataset: Dataset, device: str) -> Any:
    """The JAX backend, compiled once for all errors."""
    arrays = (dataset.train.images, dataset.train.labels, dataset.test.images, dataset.test.labels)
    key = config, hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    if key not in KEPT:
        KEPT[key] = backends.find("jax")(config, dataset, device)
    return KEPT[key]


def rung_that_sees(kind: str, size: float, precision: str) -> str | None:
    """At which rung the ladder finds an error of this relative size, None if at none."""
    experiment, wrong = KINDS[kind]
    config = EXPERIMENTS[experiment].replace(precision=precision)
    within, make = wrong(size)
    pair = Pair(jax_side, make, config, load("digits"))
    with within:
        (*_, last), _ = climb(BackendClimb(pair, STEPS))
    return None if last.passed else last.name


def sharpest(kind: str, precision: str) -> dict[str, Any]:
    """The smallest power of ten that is found, all larger ones being found as well."""
    found: dict[str, Any] = {"smallest": None, "rung": None}
    for power in range(SMALLEST + 1):
        rung = rung_that_sees(kind, 10.0**-power, precision)
        if rung is None:
            break
        found = {"smallest": 10.0**-power, "rung": rung}
    return found


def main() -> None:
    lanes = ("float64", "float32")
    for precision in lanes:  # without an error nothing is found: else the rest says nothing
        if rung_that_sees("learning rate", 0.0, precision):
            raise SystemExit(f"{precision}: the ladder fails without an error")
    found = {}
    for kind in KINDS:
        found[kind] = {precision: sharpest(kind, precision) for precision in lanes}
        print(kind, json.dumps(found[kind]), flush=True)
    write_evidence(
        EVIDENCE / "parity-sharpness.json",
        "python docs/make/evidence_sharpness.py",
        experiments={name: config.to_dict() for name, config in EXPERIMENTS.items()},
        steps=STEPS,
        found=found,
    )


if __name__ == "__main__":
    main()
