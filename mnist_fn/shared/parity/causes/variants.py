"""The ways in which an optimizer's rule is got wrong: other forms, and numbers to be solved for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mnist_fn.shared.parity.causes.explanation import Tensors, number, which
from mnist_fn.shared.parity.causes.rules import KINDS, Rule

OPTAX_DECAY = 0.9  # of optax.rmsprop
OPTAX_ADAGRAD = 0.1, 1e-7  # what optax.adagrad's sum of squares begins at, and its ε
AMSGRADS = {
    "": "no AMSGrad",
    "corrected": "AMSGrad, its maximum of the corrected v (optax.amsgrad)",
    "raw": "AMSGrad, its maximum of the uncorrected v",
}
Structure = tuple[str, str, Rule]  # in words, family, the variant


@dataclass(frozen=True)
class Free:
    """A number of the rule that is solved for."""

    family: str
    text: str  # with {} for the number
    rule: Callable[[float], Rule]
    starts: tuple[float, ...]
    scale: str = "log"
    declared: float = 0.0

    def said(self, value: float) -> str:
        """This number in words."""
        if self.declared != value == float(np.float32(self.declared)):
            return f"{self.family} rounded to float32 ({value:.10g})"
        return self.text.format(number(value))


def structures(rule: Rule, step: int) -> Iterator[Structure]:
    """Each other form of the rule, the numbers as declared; `step` were taken before."""
    if step:
        lost = rule.but(shift=-step)
        yield "step count lost: it starts again at 0", "lost count", lost
        yield "moments lost: they start again at 0", "lost moments", rule.but(forgets=True)
        yield "moments and step count lost", "lost", lost.but(forgets=True)
    yield (
        "gradients are not zeroed: each step has the sum of all so far",
        "sum",
        rule.but(accumulate=True),
    )
    for every in (1, 2, 3, 4):
        if every != rule.every:
            yield from _accumulations(rule, every)
    yield "each step has the gradient of the step before", "late", rule.but(late=True)
    yield "uphill: the step is added, not taken off", "rate", rule.but(ascends=True)
    if rule.clip_norm is not None:
        bound = number(rule.clip_norm)
        yield f"gradients not clipped, the reference's to {bound}", "clip", rule.but(clip_norm=None)
    yield from _schedules(rule)
    yield "gradients centered, each column's mean taken off", "centered", rule.but(centered=True)
    yield from _decays(rule)
    yield from _rounded(rule)
    if rule.adaptive:
        yield from _adams(rule)
    if rule.kind in ("momentum", "nesterov"):
        yield "dampened: (1 − momentum)·g goes into the buffer", "dampened", rule.but(dampened=True)
        yield "moments are reset at each call", "reset", rule.but(reset=True)
        if rule.dampening:
            yield "no dampening", "dampening", rule.but(dampening=0.0)
    if rule.kind == "rmsprop":
        yield "ε inside the root", "eps", rule.but(inside=True)
        if rule.momentum != OPTAX_DECAY:
            text = f"optax.rmsprop's defaults: decay {OPTAX_DECAY} and ε inside the root"
            yield text, "defaults", rule.but(momentum=OPTAX_DECAY, inside=True)
    if rule.kind == "adagrad":
        yield "ε inside the root", "eps", rule.but(inside=True)
        accumulator, eps = OPTAX_ADAGRAD
        text = f"optax.adagrad's defaults: a sum from {accumulator} on, ε = {eps} inside the root"
        defaults = rule.but(accumulator=accumulator, eps=eps, inside=True)
        yield text, "defaults", defaults
    for kind in KINDS:
        if kind != rule.kind and not (rule.adaptive and kind in ("adam", "adamw")):
            family = "momentum" if rule.kind == "momentum" and kind == "sgd" else kind
            text = f"{kind} in place of {rule.kind}"
            yield text, family, rule.but(kind=kind)
            if rule.weight_decay:
                yield f"{text}, without its decay", family, rule.but(kind=kind, weight_decay=0.0)


def _accumulations(rule: Rule, every: int) -> Iterator[Structure]:
    """Gradients of several steps for one update."""
    if every == 1:
        text = f"no accumulation of gradients, the reference's is over {rule.every} steps"
        yield text, "accumulation", rule.but(every=1)
        return
    for how, is_sum in (("averaged", False), ("summed", True)):
        text = f"gradients accumulated over {every} steps, {how}, for one update"
        accumulated = rule.but(every=every, every_sum=is_sum)
        yield text, f"accumulation {how}", accumulated
        text += ", in float32 (optax.MultiSteps's accumulator_dtype)"
        yield text, f"accumulation {how} in float32", accumulated.but(every_bits=24)


def _schedules(rule: Rule) -> Iterator[Structure]:
    if not rule.schedule:
        return
    factors = rule.schedule
    text = f"no schedule: the rate stays {number(rule.learning_rate)}, the reference's is "
    yield text + factors_text(factors), "schedule", rule.but(schedule=())
    ahead, behind = factors[1:], (factors[0], *factors)
    for text, shifted in (("ahead of", ahead), ("behind", behind)):
        contrast = f"{factors_text(shifted)} for {factors_text(factors)}"
        yield (
            f"the schedule is a step {text} the reference's: {contrast}",
            "schedule",
            (rule.but(schedule=shifted)),
        )


def factors_text(factors: Sequence[float]) -> str:
    """The first factors of a learning rate in words: × 1, 0.9, 0.81, …."""
    return "× " + ", ".join(f"{factor:.4g}" for factor in factors[:4]) + ", …"


def _decays(rule: Rule) -> Iterator[Structure]:
    if not rule.weight_decay:
        return
    if rule.is_decoupled:
        coupled = rule.but(decoupled=False)
        yield "coupled decay in place of decoupled", "coupling", coupled
        yield "decay not scaled by the learning rate", "decay", rule.but(decay_unscaled=True)
        yield "decay taken of the weights after the step", "after", rule.but(decay_after=True)
    else:
        yield "decoupled decay in place of coupled", "coupling", rule.but(decoupled=True)
        yield (
            "decoupled decay, not scaled by the learning rate, in place of coupled",
            "unscaled",
            (rule.but(decoupled=True, decay_unscaled=True)),
        )
        yield "decay by the sign of the weights (an L1 penalty)", "l1", rule.but(decay_sign=True)
        half = rule.but(decay_sign=True, weight_decay=rule.weight_decay / 2)
        yield "λ Σ |W| in place of λ Σ W²", "l1", half


def _rounded(rule: Rule) -> Iterator[Structure]:
    for bits, name in ((24, "float32"), (11, "float16"), (8, "bfloat16")):
        yield f"weights kept in {name}", f"weights {name}", rule.but(weight_bits=bits)
        coarse = rule.but(gradient_bits=bits)
        yield f"gradients pass through {name}", f"grads {name}", coarse
        if rule.weight_decay and not rule.is_decoupled:
            text = f"gradients, the decay's with them, pass through {name}"
            yield text, f"grads {name}", coarse.but(decay_first=True)
        yield f"moments kept in {name}", f"moments {name}", rule.but(moment_bits=bits)


def _adams(rule: Rule) -> Iterator[Structure]:
    yield "no bias correction", "correction", rule.but(correct=(False, False))
    yield "no bias correction of the second moment", "correction v", rule.but(correct=(True, False))
    yield "no bias correction of the first moment", "correction m", rule.but(correct=(False, True))
    yield f"ε = 0 in place of {number(rule.eps)}", "ε", rule.but(eps=0.0)
    yield "ε inside the root", "inside", rule.but(inside=True)
    yield "ε inside the root and outside", "eps twice", rule.but(eps_twice=True)
    yield "ε added before the bias correction of √v", "before", rule.but(eps_before=True)
    yield "Nesterov's momentum", "nesterov", rule.but(nesterov=True)
    yield "NAdam, with its momentum decay of 0.004", "nadam", rule.but(nadam=4e-3)
    for kind, text in AMSGRADS.items():
        if kind != rule.amsgrad:
            yield text, f"amsgrad {kind}", rule.but(amsgrad=kind)
    yield "step counter one ahead", "counter", rule.but(shift=1)
    yield "step counter one behind", "counter", rule.but(shift=-1)
    yield "the step counter stands still", "still", rule.but(frozen_count=True)
    yield "moments and step counter are reset at each call", "reset", rule.but(reset=True)
    yield "β₁ and β₂ swapped", "swapped", rule.but(beta1=rule.beta2, beta2=rule.beta1)
    yield "v made of m², not of g²", "m²", rule.but(square_of_mean=True)
    yield "v made of (g − m)² (AdaBelief)", "adabelief", rule.but(centered_square=True)
    yield "divided by v, not by its root", "no root", rule.but(no_root=True)


def numbers(rule: Rule, grads: Sequence[Tensors], after: Sequence[Tensors]) -> Iterator[Free]:
    """Each number that may be another one."""
    if rule.adaptive or rule.kind in ("adamax", "lion"):
        yield _share("β₁", rule, "beta1", (0.0, 0.5, 0.8, 0.95, 0.99))
        yield _share("β₂", rule, "beta2", (0.5, 0.9, 0.99, 0.9985, 0.9999))
    plain = rule.kind in ("sgd", "momentum", "nesterov")  # there it is the same as another rate
    if not plain and rule.kind not in ("lion", "sign"):
        starts = (1e-16, 1e-10, 1e-7, 1e-5, 1e-3, 0.1)
        text = f"ε = {{}} in place of {number(rule.eps)}"
        yield Free("ε", text, lambda x: rule.but(eps=x), starts, "log", rule.eps)
    if rule.kind in ("momentum", "nesterov", "rmsprop"):
        name = "decay" if rule.kind == "rmsprop" else "momentum"
        yield _share(name, rule, "momentum", (0.0, 0.5, 0.8, 0.95, 0.99))
    if not plain:
        text, starts = "gradients {} times as large", (0.01, 0.1, 10.0, 200.0)
        yield Free("scale", text, lambda x: rule.but(scale=x), starts, "log", 1.0)
    yield from _clips(rule, grads)
    yield from _bounds(after, rule)


def _share(name: str, rule: Rule, field: str, starts: tuple[float, ...]) -> Free:
    declared = getattr(rule, field)
    text = f"{name} = {{}} in place of {number(declared)}"
    return Free(name, text, lambda x: rule.but(**{field: x}), starts, "share", declared)


def _clips(rule: Rule, grads: Sequence[Tensors]) -> Iterator[Free]:
    norms = [np.sqrt(sum(float((g * g).sum()) for g in tree.values())) for tree in grads]
    tensor_norms = [float(np.sqrt((g * g).sum())) for tree in grads for g in tree.values()]
    largest = [float(np.abs(g).max()) for tree in grads for g in tree.values()]
    coupled = rule.weight_decay and not rule.is_decoupled
    for slack in (0.0, 1e-6, 1e-8):  # optax adds nothing to the norm, PyTorch 1e-6
        clipped = rule.but(clip_slack=slack)
        text = "each tensor's gradient clipped to a norm of {}"
        yield Free("clip each", text, lambda x, r=clipped: r.but(clip_each=x), _below(tensor_norms))
        text = "gradients clipped to a global norm of {}"
        yield Free("clip", text, lambda x, r=clipped: r.but(clip_norm=x), _below(norms))
        if coupled:
            clipped, text = clipped.but(decay_first=True), f"{text}, the penalty's with them"
            yield Free("clip all", text, lambda x, r=clipped: r.but(clip_norm=x), _below(norms))
    text = "gradients clipped to ±{}"
    yield Free("clip value", text, lambda x: rule.but(clip_value=x), _below(largest))


def _bounds(weights: Sequence[Tensors], rule: Rule) -> Iterator[Free]:
    kernels = [w for tree in weights for w in tree.values() if w.ndim >= 2]
    for axis, kind in ((0, "column"), (1, "row"), (None, "kernel")) if kernels else ():
        norms = [float(np.sqrt((w * w).sum(axis=axis)).max()) for w in kernels]
        bounded = rule.but(norm_axis=axis)
        starts = tuple(dict.fromkeys((max(norms), *norms[:8])))
        text = f"max-norm {{}} of each {kind}"
        yield Free(text, text, lambda x, r=bounded: r.but(max_norm=x), starts)
    largest = max(float(np.abs(w).max()) for tree in weights for w in tree.values())
    starts = (largest, largest / 2)
    yield Free("max-value", "weights clipped to ±{}", lambda x: rule.but(max_value=x), starts)


def _below(sizes: Sequence[float]) -> tuple[float, ...]:
    low, high = min(sizes) or 1e-12, max(sizes) or 1.0
    spread = (float(x) for x in np.geomspace(low * 0.1, high * 0.98, 7))
    # under Adam, which takes no heed of a factor, the valley around the right one is narrow
    written = (m * 10.0**k for k in range(-6, 5) for m in (1, 2, 2.5, 5))
    return (*spread, *(x for x in written if low * 0.1 < x < high))


def rate_text(changed: Mapping[str, float], tensors: Tensors, rate: float) -> str:
    """A factor of the learning rate by tensor, in words."""
    groups: dict[float, list[str]] = {}
    for name, factor in changed.items():
        groups.setdefault(factor, []).append(name)
    changes = []
    for factor, names in groups.items():
        place = which(names, tensors)
        if place == "everywhere":
            value = f"{number(rate * factor)} in place of {number(rate)} (× {number(factor)})"
            changes.append(f"learning rate {value}")
        elif factor == 0:
            changes.append(f"no training {place}")
        else:
            changes.append(f"learning rate × {number(factor)} {place}")
    if len(changes) > 3:
        return "another learning rate for each tensor"
    return " and ".join(changes) or "learning rate as declared"


def schedule_text(factors: Sequence[float], start: int) -> str:
    """The course of a learning rate over some steps, in words."""
    steps = np.arange(1, len(factors) + 1) + start
    f = np.asarray(factors)
    ratios = f[1:] / np.where(f[:-1] == 0, np.nan, f[:-1])
    if np.allclose(f, f[0] / steps[0] * steps, rtol=1e-6):
        return f"learning rate warmed up linearly over {number(steps[0] / f[0])} steps"
    if np.allclose(ratios, ratios[0], rtol=1e-6):
        return f"learning rate × {number(float(ratios[0]))} after each step"
    changed = np.flatnonzero(np.abs(f - 1) > 1e-6)
    if len(changed) and np.allclose(f[changed], f[changed[0]], rtol=1e-6) and changed[0] > 0:
        which_steps = f"from step {changed[0] + 1 + start} on"
        if len(changed) < len(f) - changed[0]:
            which_steps = "at step " + ", ".join(str(i + 1 + start) for i in changed)
        if abs(f[changed[0]]) < 1e-9:
            return f"no step is taken {which_steps}"
        return f"learning rate × {number(float(f[changed[0]]))} {which_steps}"
    return "learning rate scheduled: × " + ", ".join(f"{x:.4g}" for x in f[:6])


def decay_text(found: Mapping[str, float], kind: str, rule: Rule, tensors: Tensors) -> str:
    """What each tensor's decay is in place of the declared one, in words."""
    same = (kind == "pulled") == rule.is_decoupled
    total = {
        name: extra + (rule.weight_decay if same and rule.decays(name) else 0.0)
        for name, extra in found.items()
    }
    declared = {name: rule.weight_decay if rule.decays(name) else 0.0 for name in tensors}
    word = "decoupled decay" if kind == "pulled" else "weight decay"
    if not same:
        groups = _by_value(total)
        changes = [f"{word} {number(v)} {which(n, tensors)}" for v, n in groups.items() if v]
        return (
            "a " + " and ".join(changes[:3]) + " in addition to the declared"
            if changes
            else "no more decay"
        )
    changed = {name: value for name, value in total.items() if value != declared[name]}
    if not any(total.values()):
        return f"no {word}"
    changes = []
    for value, names in _by_value(changed).items():
        place = which(names, tensors)
        wrong = {declared[name] for name in names}
        if names == [n for n in tensors if declared[n]]:
            place = ""
        if len(wrong) == 1 and (old := wrong.pop()):
            share = f" (× {number(value / old)})"
            changes.append(
                f"no {word} {place}"
                if not value
                else f"{word} {number(value)} in place of {number(old)}{share} {place}".strip()
            )
        else:
            changes.append(f"{word} {number(value)} {place} too")
    return " and ".join(changes[:3]) or f"{word} as declared"


def _by_value(values: Mapping[str, float]) -> dict[float, list[str]]:
    groups: dict[float, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    return groups
