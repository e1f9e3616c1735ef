"""Activations: each of `causes.activation`, in torch."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from mnist_fn.shared.parity.causes.activation import Activation, activations
from mnist_fn.shared.parity.causes.search import Form

Arguments = dict[str, Any]
# functions whose name in torch is another one than the catalogue's, or that have a number
NAMES: dict[str, Callable[[Arguments], Activation]] = {
    "relu_": lambda a: Activation("relu"),
    "hardswish": lambda a: Activation("hard swish"),
    "hardsigmoid": lambda a: Activation("hard sigmoid"),
    "gelu": lambda a: Activation(
        "gelu by tanh" if a.get("approximate") == "tanh" else "exact gelu"
    ),
    "relu6": lambda a: Activation("relu capped at {}", 6.0),
    "leaky_relu": lambda a: Activation(
        "leaky relu with slope {}", float(a.get("negative_slope", 0.01))
    ),
    "elu": lambda a: Activation("elu with α = {}", float(a.get("alpha", 1.0))),
    "softplus": lambda a: (
        Activation("softplus")
        if a.get("beta", 1) == 1
        else Activation("softplus with β = {}", float(a["beta"]))
    ),
    "celu": lambda a: Activation("celu with α = {}", float(a.get("alpha", 1.0))),
}
PLAIN = ("relu", "silu", "tanh", "sigmoid", "selu", "softsign", "mish")


def activation(name: str) -> Callable[[Arguments], Iterator[Form]]:
    """Every other activation in place of a function of torch."""

    def variants(a: Arguments) -> Iterator[Form]:
        declared = NAMES[name](a) if name in NAMES else Activation(name)
        yield from activations(torch, a["input"], declared)
        if name == "softplus":
            threshold = a.get("threshold", 20)
            yield Form("no threshold", lambda: declared(torch, a["input"]), declared=threshold)

    return variants


TABLE = {name: activation(name) for name in (*PLAIN, *NAMES)}
# what a dense layer may have behind it
AFTER = list(map(Activation, ("relu", "exact gelu", "gelu by tanh", "silu", "tanh", "sigmoid")))
