"""The ways in which an optimizer's rule is got wrong: other forms, and numbers to be solved for."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mnist_fn.shared.parity.causes.distance import Tensors, global_norm, largest_of_all
from mnist_fn.shared.parity.causes.explanation import Cause
from mnist_fn.shared.parity.causes.precision import FORMATS
from mnist_fn.shared.parity.causes.rules import KINDS, Rule
from mnist_fn.shared.parity.causes.search import Form
from mnist_fn.shared.parity.words import factors

OPTAX_DECAY = 0.9  # of optax.rmsprop
OPTAX_ACCUMULATOR, OPTAX_EPS = 0.1, 1e-7  # what optax.adagrad's sum of squares begins at, and its ε
AMSGRADS = {
    "": "no AMSGrad",
    "corrected": "AMSGrad, its maximum of the corrected v (optax.amsgrad)",
    "raw": "AMSGrad, its maximum of the uncorrected v",
}
Fields = Mapping[str, Any]  # of a Rule that are another's
Changed = tuple[Cause, Rule]  # a cause and the rule that it makes

# What may be got wrong of any rule, and of some alone; by what is said of it.
ANY: dict[str, Fields] = {
    "gradients are not zeroed: each step has the sum of all so far": {"accumulate": True},
    "each step has the gradient of the step before": {"late": True},
    "gradients centered, each column's mean taken off": {"centered": True},
}
ADAM: dict[str, Fields] = {
    "no bias correction": {"correct": (False, False)},
    "no bias correction of the second moment": {"correct": (True, False)},
    "no bias correction of the first moment": {"correct": (False, True)},
    "ε inside the root": {"inside": True},
    "ε inside the root and outside": {"eps_twice": True},
    "step counter one ahead": {"shift": 1},
    "step counter one behind": {"shift": -1},
    "the step counter stands still": {"frozen_count": True},
    "moments and step counter are reset at each call": {"reset": True},
    "v made of m², not of g²": {"square_of_mean": True},
    "v made of (g − m)² (AdaBelief)": {"centered_square": True},
    "divided by v, not by its root": {"no_root": True},
    "no rectification, RAdam's": {"rectified": False},
    "RAdam's rectification": {"rectified": True},
    "no Nesterov's momentum": {"nesterov": False, "nadam": 0.0},
    "Nesterov's momentum": {"nesterov": True, "nadam": 0.0},
    "NAdam, with its momentum decay of 0.004": {"nadam": 4e-3},
}
MOMENTUM: dict[str, Fields] = {
    "dampened: (1 − momentum)·g goes into the buffer": {"dampened": True},
    "moments are reset at each call": {"reset": True},
    "no dampening": {"dampening": 0.0},
}
DECOUPLED: dict[str, Fields] = {
    "coupled decay in place of decoupled": {"decoupled": False},
    "decay not scaled by the learning rate": {"decay_unscaled": True},
    "decay taken of the weights after the step": {"decay_after": True},
}
COUPLED: dict[str, Fields] = {
    "decoupled decay in place of coupled": {"decoupled": True},
    "decoupled decay, not scaled by the learning rate, in place of coupled": {
        "decoupled": True, "decay_unscaled": True,
    },
    "decay by the sign of the weights (an L1 penalty)": {"decay_sign": True},
}  # fmt: skip
RMSPROP: dict[str, Fields] = {
    "ε inside the root": {"inside": True},
    f"optax.rmsprop's defaults: decay {OPTAX_DECAY} and ε inside the root": {
        "momentum": OPTAX_DECAY, "inside": True,
    },
    "not centered": {"central": False},
    "centered": {"central": True},
    "no momentum": {"rms_momentum": 0.0},
}  # fmt: skip
ADAGRAD: dict[str, Fields] = {
    "ε inside the root": {"inside": True},
    f"optax.adagrad's defaults: a sum from {OPTAX_ACCUMULATOR} on, ε = {OPTAX_EPS} inside the root":
        {"accumulator": OPTAX_ACCUMULATOR, "eps": OPTAX_EPS, "inside": True},
}  # fmt: skip
FAMILIES = {"decay not scaled by the learning rate": "decay"}  # a number fits as well
RPROP: dict[str, Fields] = {"each step is taken one step late (optax.rprop)": {"held_back": True}}


def forms(rule: Rule, step: int) -> Iterator[Changed]:
    """Each other form of the rule, the numbers as declared; `step` were taken before."""
    if step:
        lost = rule.but(shift=-step)
        yield Cause("step count lost: it starts again at 0"), lost
        yield Cause("moments lost: they start again at 0"), rule.but(forgets=True)
        yield Cause("moments and step count lost"), lost.but(forgets=True)
    tables = [ANY]
    if rule.weight_decay:
        tables.append(DECOUPLED if rule.is_decoupled else COUPLED)
    tables.append(OF_KIND.get(rule.kind, {}))
    listed = [rule]
    for table in tables:
        for code, fields in table.items():
            changed = rule.but(**fields)
            if changed not in listed:
                listed.append(changed)
                yield Cause(code, family=FAMILIES.get(code, "")), changed
    yield Cause("uphill: the step is added, not taken off", family="rate"), rule.but(ascends=True)
    if rule.clip_norm is not None:
        cause = Cause("no clipping", declared=float(rule.clip_norm), family="clip")
        yield cause, rule.but(clip_norm=None)
    if rule.weight_decay and not rule.is_decoupled:
        half = rule.but(decay_sign=True, weight_decay=rule.weight_decay / 2)
        yield Cause("λ Σ |W| in place of λ Σ W²"), half
    if rule.adaptive:
        yield from _forms_of_adam(rule)
    yield from _accumulations(rule)
    yield from _schedules(rule)
    yield from _rounded(rule)
    yield from _kinds(rule)


OF_KIND = {
    "adam": ADAM, "adamw": ADAM, "momentum": MOMENTUM, "nesterov": MOMENTUM, "rmsprop": RMSPROP,
    "adagrad": ADAGRAD, "rprop": RPROP,
}  # fmt: skip


def _forms_of_adam(rule: Rule) -> Iterator[Changed]:
    """What depends on the rule's own values."""
    without = {"declared": rule.eps, "actual": 0.0, "family": "epsilon"}
    yield Cause("epsilon", **without), rule.but(eps=0.0)
    yield Cause("β₁ and β₂ swapped"), rule.but(beta1=rule.beta2, beta2=rule.beta1)
    order = "after" if rule.eps_before else "before"
    family = "epsilon" if rule.rectified else ""  # a single step of RAdam's may have either
    cause = Cause(f"ε added {order} the bias correction of √v", family=family)
    yield cause, rule.but(eps_before=not rule.eps_before)
    for kind, code in AMSGRADS.items():
        if kind != rule.amsgrad:
            yield Cause(code), rule.but(amsgrad=kind)


def _accumulations(rule: Rule) -> Iterator[Changed]:
    """Gradients of several steps for one update."""
    if rule.every != 1:
        yield Cause("no accumulation", declared=rule.every), rule.but(every=1)
    for every in (2, 3, 4):
        for how in ("averaged", "summed"):
            if every == rule.every:
                continue
            facts: dict[str, Any] = {"actual": every, "details": {"how": how}}
            changed = rule.but(every=every, every_sum=how == "summed")
            yield Cause("accumulation", **facts, family=f"accumulation {how}"), changed
            family = f"accumulation {how} in float32"
            narrow = changed.but(every_bits=24)
            yield Cause("accumulation in float32", **facts, family=family), narrow


def _schedules(rule: Rule) -> Iterator[Changed]:
    if not rule.schedule:
        return
    declared = rule.schedule
    cause = Cause("no schedule", actual=rule.learning_rate, declared=declared, family="schedule")
    yield cause, rule.but(schedule=())
    moved = {"ahead of": declared[1:], "behind": (declared[0], *declared)}
    for order, schedule in moved.items():
        facts: dict[str, Any] = {"declared": declared, "details": {"factors": factors(schedule)}}
        cause = Cause("schedule moved", actual=order, family="schedule", **facts)
        yield cause, rule.but(schedule=schedule)


def _rounded(rule: Rule) -> Iterator[Changed]:
    for bits, name in FORMATS.items():
        yield Cause(f"weights kept in {name}"), rule.but(weight_bits=bits)
        coarse, family = rule.but(gradient_bits=bits), f"gradients {name}"
        yield Cause(f"gradients pass through {name}", family=family), coarse
        if rule.weight_decay and not rule.is_decoupled:
            code = f"gradients, the decay's with them, pass through {name}"
            yield Cause(code, family=family, rank=1), coarse.but(decay_first=True)
        yield Cause(f"moments kept in {name}"), rule.but(moment_bits=bits)


def _kinds(rule: Rule) -> Iterator[Changed]:
    """Other rules."""
    for kind in KINDS:
        if kind == rule.kind or (rule.adaptive and kind in ("adam", "adamw")):
            continue
        family = "momentum" if rule.kind == "momentum" and kind == "sgd" else kind
        facts: dict[str, Any] = {"declared": rule.kind, "actual": kind, "family": family}
        yield Cause("rule", **facts), rule.but(kind=kind)
        if rule.weight_decay:
            without = rule.but(kind=kind, weight_decay=0.0)
            yield Cause("rule without decay", **facts, rank=1), without


def numbers(rule: Rule, grads: Sequence[Tensors], after: Sequence[Tensors]) -> Iterator[Form]:
    """Each number that may be another one; a form computes the rule with it."""
    shares: dict[str, tuple[str, tuple[float, ...]]] = {}  # by what it is called: field and starts
    if rule.adaptive or rule.kind in ("adamax", "lion"):
        shares["beta1"] = "beta1", (0.0, 0.5, 0.8, 0.95, 0.99)
        shares["beta2"] = "beta2", (0.5, 0.9, 0.99, 0.9985, 0.9999)
    if rule.kind in ("momentum", "nesterov", "rmsprop", "adadelta"):
        code = "momentum" if rule.kind in ("momentum", "nesterov") else "decay"
        shares[code] = "momentum", (0.0, 0.5, 0.8, 0.95, 0.99)
    if rule.rms_momentum:
        shares["momentum"] = "rms_momentum", (0.5, 0.8, 0.95, 0.99)
    for code, (field, starts) in shares.items():
        changed = lambda x, name=field: rule.but(**{name: x})  # noqa: E731
        yield Form(code, changed, starts, "share", declared=getattr(rule, field), family=code)
    plain = rule.kind in ("sgd", "momentum", "nesterov")  # there it is the same as another rate
    if not plain and rule.kind not in ("lion", "sign", "rprop"):
        starts = (1e-16, 1e-10, 1e-7, 1e-5, 1e-3, 0.1)
        eps = lambda x: rule.but(eps=x)  # noqa: E731
        yield Form("epsilon", eps, starts, declared=rule.eps, family="epsilon")
    if not plain:
        code, starts = "gradients {} times as large", (0.01, 0.1, 10.0, 200.0)
        yield Form(code, lambda x: rule.but(scale=x), starts, declared=1.0)
    yield from _clips(rule, grads)
    yield from _bounds(after, rule)


def _clips(rule: Rule, grads: Sequence[Tensors]) -> Iterator[Form]:
    norms, tensor_norms, largest = [], [], []
    for tree in grads:
        norms.append(global_norm(tree))
        for g in tree.values():
            tensor_norms.append(float(np.sqrt((g * g).sum())))
            largest.append(float(np.abs(g).max()))

    def clip(code: str, field: str, sizes: Sequence[float], clipped: Rule, family: str) -> Form:
        return Form(code, lambda x: clipped.but(**{field: x}), _below(sizes), family=family)

    for slack in (0.0, 1e-6, 1e-8):  # optax adds nothing to the norm, PyTorch 1e-6
        clipped = rule.but(clip_slack=slack)
        code = "each tensor's gradient clipped to a norm of {}"
        yield clip(code, "clip_each", tensor_norms, clipped, "clip each")
        code = "gradients clipped to a global norm of {}"
        yield clip(code, "clip_norm", norms, clipped, "clip")
        if rule.weight_decay and not rule.is_decoupled:
            code = f"{code}, the penalty's with them"
            yield clip(code, "clip_norm", norms, clipped.but(decay_first=True), "clip all")
    yield clip("gradients clipped to ±{}", "clip_value", largest, rule, "clip value")


def _bounds(weights: Sequence[Tensors], rule: Rule) -> Iterator[Form]:
    tensors = list(itertools.chain.from_iterable(tree.values() for tree in weights))
    kernels = [w for w in tensors if w.ndim >= 2]
    for axis, kind in ((0, "column"), (1, "row"), (None, "kernel")) if kernels else ():
        norms = [float(np.sqrt((w * w).sum(axis=axis)).max()) for w in kernels]
        starts = tuple(dict.fromkeys((max(norms), *norms[:8])))
        bounded: Callable[..., Rule] = rule.but(norm_axis=axis).but
        yield Form(f"max-norm {{}} of each {kind}", lambda x, f=bounded: f(max_norm=x), starts)
    largest = largest_of_all(tensors)
    bounded = lambda x: rule.but(max_value=x)  # noqa: E731
    yield Form("weights clipped to ±{}", bounded, (largest, largest / 2))


def _below(sizes: Sequence[float]) -> tuple[float, ...]:
    low, high = min(sizes) or 1e-12, max(sizes) or 1.0
    starts = np.geomspace(low * 0.1, high * 0.98, 7).tolist()
    # under Adam, which takes no heed of a factor, the valley around the right one is narrow
    for power in range(-6, 5):
        for mantissa in (1, 2, 2.5, 5):
            if low * 0.1 < mantissa * 10.0**power < high:
                starts.append(mantissa * 10.0**power)
    return tuple(starts)
