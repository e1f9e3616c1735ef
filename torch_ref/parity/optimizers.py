"""The rule that an optimizer of PyTorch declares, read from its class and its groups."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mnist_fn.shared.parity.causes.distance import global_norm
from mnist_fn.shared.parity.causes.rules import RPROP_SHARES, RPROP_SIZES

SLACK = 1e-6  # that torch.nn.utils.clip_grad_norm_ adds to the norm that it divides by


def read_rule(
    optimizer: torch.optim.Optimizer, named: dict[str, torch.nn.Parameter]
) -> dict[str, Any] | None:
    """Fields of `causes.rules.Rule`; None for a rule that has no place there.

    Args:
        optimizer: of the parameters in `named`.
        named: name -> parameter.
    """
    read = READERS.get(type(optimizer))
    groups = optimizer.param_groups
    if read is None or not groups:
        return None
    first = groups[0]
    rule, rate = read(first), float(first["lr"])
    if rule is None or not rate:  # other groups' rates are no multiples of 0
        return None
    names = {id(p): name for name, p in named.items()}
    decays, decayed, rates = set(), [], {}
    alike = {"lr": first["lr"], "weight_decay": first.get("weight_decay", 0)}
    for group in groups:
        if read({**group, **alike}) != rule:
            return None  # groups differ in more than rate and decay
        decay = float(group.get("weight_decay", 0))
        decays.add(decay)
        for p in group["params"]:
            rates[names[id(p)]] = float(group["lr"]) / rate
            if decay:
                decayed.append(names[id(p)])
    rule |= {"learning_rate": rate, "weight_decay": max(decays)}
    if first.get("maximize"):
        rule["ascends"] = True
    if len(decays - {0.0}) > 1:
        return None  # two decays
    if len(decays) > 1:
        rule["decayed"] = tuple(decayed)
    for name in named:
        rates.setdefault(name, 0.0)  # no group has it
    if set(rates.values()) - {1.0}:
        rule["rates"] = rates
    return rule


def read_schedule(
    optimizer: torch.optim.Optimizer, scheduler: Callable[[torch.optim.Optimizer], Any], steps: int
) -> tuple[float, ...]:
    """The factors of the learning rate at the first steps, by stepping both without gradients."""
    rate = float(optimizer.param_groups[0]["lr"])
    stepped = scheduler(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(float(optimizer.param_groups[0]["lr"]) / rate if rate else 1.0)
        optimizer.step()
        stepped.step()
    return tuple(factors)


def clipped_to(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> float | None:
    """The norm that gradients were clipped to, if that is what was done to them."""
    norm = float(global_norm(before))
    share = float(global_norm(after)) / norm if norm else 1.0
    if share >= 1:
        return None
    for name, g in before.items():
        if not np.allclose(after[name], share * g, rtol=1e-6, atol=0):
            return None
    return float(f"{share * (norm + SLACK):.6g}")


def clip_plainly(parameters: list[torch.nn.Parameter], to: float | None) -> None:
    """Gradients times to / norm, where the norm is larger."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.sqrt(sum((g * g).sum() for g in grads))  # pyright: ignore[reportArgumentType]
    if to is not None and norm > to:
        for g in grads:
            g.mul_(to / norm)


def _sgd(group: dict[str, Any]) -> dict[str, Any] | None:
    if group["momentum"] == 0:
        return {"kind": "sgd"}
    kind = "nesterov" if group["nesterov"] else "momentum"
    rule = {"kind": kind, "momentum": group["momentum"]}
    return {**rule, "dampening": float(group["dampening"])} if group["dampening"] else rule


def _adam(group: dict[str, Any]) -> dict[str, Any]:
    beta1, beta2 = map(float, group["betas"])
    kind = "adamw" if group.get("decoupled_weight_decay") else "adam"
    rule = {"kind": kind, "beta1": beta1, "beta2": beta2, "eps": group["eps"]}
    return {**rule, "amsgrad": "raw"} if group["amsgrad"] else rule


def _adamw(group: dict[str, Any]) -> dict[str, Any]:
    return {**_adam(group), "kind": "adamw"}


def _rmsprop(group: dict[str, Any]) -> dict[str, Any]:
    rule = {"kind": "rmsprop", "momentum": group["alpha"], "eps": group["eps"]}
    return {**rule, "central": group["centered"], "rms_momentum": float(group["momentum"])}


def _adadelta(group: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "adadelta", "momentum": group["rho"], "eps": group["eps"]}


def _adagrad(group: dict[str, Any]) -> dict[str, Any] | None:
    if group["lr_decay"]:
        return None
    start = float(group["initial_accumulator_value"])
    return {"kind": "adagrad", "eps": group["eps"], "accumulator": start}


def _adamax(group: dict[str, Any]) -> dict[str, Any]:
    beta1, beta2 = map(float, group["betas"])
    return {"kind": "adamax", "beta1": beta1, "beta2": beta2, "eps": group["eps"]}


def _nadam(group: dict[str, Any]) -> dict[str, Any]:
    return {**_adam({**group, "amsgrad": False}), "nadam": float(group["momentum_decay"])}


def _radam(group: dict[str, Any]) -> dict[str, Any]:
    return {**_adam({**group, "amsgrad": False}), "rectified": True, "eps_before": True}


def _rprop(group: dict[str, Any]) -> dict[str, Any] | None:
    usual = (tuple(group["etas"]), tuple(group["step_sizes"])) == (RPROP_SHARES, RPROP_SIZES)
    return {"kind": "rprop"} if usual else None


READERS: dict[type, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adamw,
    torch.optim.Adamax: _adamax,
    torch.optim.NAdam: _nadam,
    torch.optim.RAdam: _radam,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.Adadelta: _adadelta,
    torch.optim.Adagrad: _adagrad,
    torch.optim.Rprop: _rprop,
}
