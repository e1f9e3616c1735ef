"""An optimizer's rule as a value, and what it does: plain steps on plain tensors, in float64.

Every field but the hyperparameters stands for a way in which ports differ; `update.py` tries them.
Sources: SGD and momentum as in torch.optim.SGD (Sutskever et al., 2013); RMSprop (Hinton, lecture
6e), centered as in Graves (2013); Adadelta (Zeiler, 2012); Adagrad (Duchi et al., 2011); Adam and
Adamax (Kingma and Ba, 2015); AdamW (Loshchilov and Hutter, 2019); AMSGrad (Reddi et al., 2018);
NAdam (Dozat, 2016); RAdam (Liu et al., 2020); Lion (Chen et al., 2023); Rprop (Riedmiller and
Braun, 1993).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mnist_fn.shared.parity.causes.distance import Tensors, centered, global_norm, map_tensors
from mnist_fn.shared.parity.causes.precision import round_to_bits

RPROP_SHARES, RPROP_SIZES = (0.5, 1.2), (1e-6, 50.0)  # of a step's size, and its bounds
RECTIFIED_FROM = 5.0  # RAdam's length of the average, from which it divides by √v


@dataclass(frozen=True)
class Rule:
    """A declared rule, or a variant of it.

    Weight decay is coupled (added to the gradient, as torch.optim.Adam's) for every kind but
    adamw, whose decay is decoupled: θ ← θ − lr·decay·θ.
    """

    kind: str = "adam"  # one of KINDS
    learning_rate: float = 1e-3
    # of momentum and nesterov; of rmsprop's average (torch: alpha) and adadelta's (torch: rho)
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decayed: tuple[str, ...] | None = None  # names of the tensors that decay; None: all

    # the decay
    decoupled: bool | None = None  # None: as the kind has it
    coupled: Mapping[str, float] = field(default_factory=dict)  # by tensor, beside weight_decay
    pulled: Mapping[str, float] = field(default_factory=dict)  # the same, decoupled
    decay_unscaled: bool = False  # decoupled, not multiplied by the learning rate
    decay_first: bool = False  # coupled decay is added before gradients are clipped or rounded
    decay_after: bool = False  # decoupled, of the weights that the step has made
    decay_sign: bool = False  # the penalty is λ Σ |W|
    # the gradient
    scale: float = 1.0
    clip_norm: float | None = None
    clip_each: float | None = None  # a tensor at a time
    clip_value: float | None = None
    clip_slack: float = 0.0  # added to the norm that is divided by; torch: 1e-6
    gradient_bits: int = 53
    accumulate: bool = False  # gradients are not zeroed: each step has the sum of all
    every: int = 1  # steps of which the gradients are averaged for one update
    every_sum: bool = False  # they are summed for it
    every_bits: int = 53  # of what is kept of them between the steps
    late: bool = False  # each step has the gradient of the one before
    centered: bool = False  # each column's mean is taken off
    # the rule
    correct: tuple[bool, bool] = (True, True)  # Adam's bias corrections of m and v
    shift: int = 0  # of the step counter
    inside: bool = False  # ε under the root
    eps_before: bool = False  # ε added to √v, before its bias correction (TensorFlow's form)
    eps_twice: bool = False
    no_root: bool = False  # divided by v, not by √v
    nesterov: bool = False
    nadam: float = 0.0  # Dozat's momentum decay; torch: 4e-3
    rectified: bool = False  # RAdam's
    amsgrad: str = ""  # "corrected" or "raw": which v the maximum is taken of
    square_of_mean: bool = False  # v from m², not from g²
    centered_square: bool = False  # v from (g - m)²: AdaBelief
    dampened: bool = False  # momentum takes (1 - momentum)·g, at the first step as well
    dampening: float = 0.0  # torch's: from the second step on momentum takes (1 - dampening)·g
    accumulator: float = 0.0  # what Adagrad's sum of squares begins at
    central: bool = False  # RMSprop divides by the deviation, from which the mean is taken off
    rms_momentum: float = 0.0  # of RMSprop's divided gradients
    held_back: bool = False  # Rprop's step is taken one step late
    reset: bool = False  # moments and count are new at each step
    forgets: bool = False  # the moments of before the first step are lost
    frozen_count: bool = False  # the step counter stands still
    moment_bits: int = 53
    ascends: bool = False
    # the weights
    rates: Mapping[str, float] = field(default_factory=dict)  # a factor of the rate by tensor
    schedule: tuple[float, ...] = ()  # a factor of the rate by step
    max_norm: float | None = None
    norm_axis: int | None = 0
    max_value: float | None = None
    weight_bits: int = 53

    def decays(self, name: str) -> bool:
        """Whether a tensor should decay."""
        return self.decayed is None or name in self.decayed

    @property
    def is_decoupled(self) -> bool:
        """Whether the decay is taken off the weights and kept out of the gradient."""
        return self.kind == "adamw" if self.decoupled is None else self.decoupled

    @property
    def adaptive(self) -> bool:
        """Whether it is one of Adam's forms."""
        return self.kind in ("adam", "adamw")

    def but(self, **changes: object) -> "Rule":
        """A variant."""
        return replace(self, **changes)  # pyright: ignore[reportArgumentType]


def simulate(
    rule: Rule,
    grads: Sequence[Tensors],
    before: Tensors,
    after: Sequence[Tensors],
    moments: Mapping[str, Tensors] | None = None,
    step: int = 0,
) -> list[Tensors]:
    """The weights after each step, each taken from the weights that were *seen* before it.

    Args:
        rule: what to do.
        grads: the gradient at each step, by tensor.
        before: weights before the first step.
        after: weights seen after each step.
        moments: {"mu": ..., "nu": ...} before the first step; zeros if None.
        step: steps taken before.
    """
    memory: dict[str, Tensors] = {name: {} for name in before}
    for kind, tree in ({} if rule.forgets else moments or {}).items():
        for name in before:
            memory[name][kind] = tree[name].astype(np.float64)
    total = map_tensors(np.zeros_like, grads[0])
    trajectory = []
    with np.errstate(all="ignore"):
        for i, gradient in enumerate(grads):
            weights = before if i == 0 else after[i - 1]
            g = grads[max(0, i - 1)] if rule.late else gradient
            if rule.accumulate:
                g = total = map_tensors(np.add, g, total)
            if rule.every > 1:
                if (step + i + 1) % rule.every:
                    trajectory.append(weights)
                    continue
                g = _gathered(rule, grads[max(0, i + 1 - rule.every) : i + 1])
            g = _prepared(rule, g, weights)
            if rule.reset:
                memory = {name: {} for name in before}
            updates = (step + i) // rule.every
            count = (step if rule.frozen_count else 0 if rule.reset else updates) + 1
            rate = rule.schedule[i] if rule.schedule else 1.0
            step_weights: Tensors = {}
            for name, weight in weights.items():
                step_weights[name] = stepped(rule, name, g[name], weight, memory[name], count, rate)
            trajectory.append(step_weights)
    return trajectory


def _gathered(rule: Rule, grads: Sequence[Tensors]) -> Tensors:
    """The gradients of some steps as one."""
    gathered = {}
    for name, first in grads[0].items():
        result = np.zeros_like(first)
        for n, tree in enumerate(grads, start=1):
            result = round_to_bits(result, rule.every_bits)
            result = result + (tree[name] if rule.every_sum else (tree[name] - result) / n)
        gathered[name] = result
    return gathered


def _prepared(rule: Rule, grads: Tensors, weights: Tensors) -> Tensors:
    """Gradients as the rule takes them: scaled, clipped, with the coupled decay."""
    g = map_tensors(lambda grad: rule.scale * grad, grads)
    if rule.centered:
        g = map_tensors(centered, g)
    if rule.decay_first:
        g = _decayed(rule, g, weights)
    if rule.gradient_bits < 53:
        g = map_tensors(lambda grad: round_to_bits(grad, rule.gradient_bits), g)
    if rule.clip_norm is not None:
        factor = min(1.0, rule.clip_norm / (global_norm(g) + rule.clip_slack))
        g = map_tensors(lambda grad: factor * grad, g)
    if rule.clip_each is not None:
        for name, grad in g.items():
            norm = np.sqrt((grad * grad).sum())
            g[name] = grad * min(1.0, rule.clip_each / (norm + rule.clip_slack))
    if rule.clip_value is not None:
        for name, grad in g.items():
            g[name] = np.clip(grad, -rule.clip_value, rule.clip_value)
    return g if rule.decay_first else _decayed(rule, g, weights)


def _decayed(rule: Rule, grads: Tensors, weights: Tensors) -> Tensors:
    decayed = {}
    for name, grad in grads.items():
        coupled = rule.coupled.get(name, 0.0)
        if rule.decays(name) and not rule.is_decoupled:
            coupled += rule.weight_decay
        direction = np.sign(weights[name]) if rule.decay_sign else weights[name]
        decayed[name] = grad + coupled * direction if coupled else grad
    return decayed


def stepped(
    rule: Rule,
    name: str,
    g: np.ndarray,
    weight: np.ndarray,
    memory: dict[str, np.ndarray],
    t: int,
    factor: float = 1.0,
) -> np.ndarray:
    """A tensor after one step.

    Args:
        rule: of which decoupled decay is done here, and coupled decay is in the gradient already.
        name: of the tensor.
        g: its gradient.
        weight: before the step.
        memory: its slots, which are brought up to date; one that is not there is at its start.
        t: the number of the step, from 1.
        factor: of the learning rate.
    """
    rate = rule.learning_rate * factor * rule.rates.get(name, 1.0)
    move = rate * DIRECTIONS[rule.kind](rule, g, memory, t + rule.shift)
    new = weight + move if rule.ascends else weight - move
    pull = rule.pulled.get(name, 0.0)
    if rule.is_decoupled and rule.decays(name):
        pull += rule.weight_decay
    if pull:
        share = pull * (1.0 if rule.decay_unscaled else rate)
        new = new - share * (new if rule.decay_after else weight)
    if rule.max_norm is not None and new.ndim >= 2:
        norm = np.sqrt((new * new).sum(axis=rule.norm_axis, keepdims=True))
        new = new * np.minimum(1, rule.max_norm / np.maximum(norm, 1e-300))
    if rule.max_value is not None:
        new = np.clip(new, -rule.max_value, rule.max_value)
    return new if rule.weight_bits == 53 else round_to_bits(new, rule.weight_bits)


def _adam(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    b1, b2 = rule.beta1, rule.beta2
    m = b1 * memory.get("mu", np.zeros_like(g)) + (1 - b1) * g
    squared = m * m if rule.square_of_mean else (g - m) ** 2 if rule.centered_square else g * g
    v = b2 * memory.get("nu", np.zeros_like(g)) + (1 - b2) * squared
    if rule.moment_bits < 53:
        m, v = round_to_bits(m, rule.moment_bits), round_to_bits(v, rule.moment_bits)
    memory["mu"], memory["nu"] = m, v
    first = 1 - b1**t if rule.correct[0] else 1.0
    second = 1 - b2**t if rule.correct[1] else 1.0
    if rule.nadam:
        now, then = (b1 * (1 - 0.5 * 0.96 ** (k * rule.nadam)) for k in (t, t + 1))
        product = memory["product"] = memory.get("product", np.ones(())) * now
        m = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
    elif rule.nesterov:
        ahead = 1 - b1 ** (t + 1) if rule.correct[0] else 1.0
        m = b1 * m / ahead + (1 - b1) * g / first
    else:
        m = m / first
    if rule.amsgrad == "raw":
        v = memory["largest"] = np.maximum(memory.get("largest", v), v)
    v_hat = v / second
    if rule.amsgrad == "corrected":
        v_hat = memory["largest"] = np.maximum(memory.get("largest", v_hat), v_hat)
    rectification = _rectification(rule, t) if rule.rectified else 1.0
    if not rectification:
        return m
    m = m * rectification
    if rule.eps_before:
        return m * np.sqrt(second) / (np.sqrt(v) + rule.eps)
    if rule.no_root:
        return _divided(m, v_hat + rule.eps)
    if rule.inside or rule.eps_twice:
        root = np.sqrt(v_hat + rule.eps)
        return _divided(m, root + rule.eps if rule.eps_twice else root)
    return _divided(m, np.sqrt(v_hat) + rule.eps)


def _rectification(rule: Rule, t: int) -> float:
    """RAdam's factor; 0 while its average is too short to divide by."""
    beta2 = np.float64(rule.beta2)  # whose division by 0 is no error
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if not length > RECTIFIED_FROM:
        return 0.0
    share = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return share**0.5


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a), where=(b != 0) | (a != 0))


def _momentum(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    share = 1 - rule.momentum if rule.dampened else 1.0
    old = memory.get("mu")
    if rule.kind == "sgd":
        return g
    # torch starts the buffer at the first gradient, undampened; optax's trace starts at 0
    later = share * (1 - rule.dampening)
    buffer = share * g if old is None else rule.momentum * old + later * g
    memory["mu"] = buffer
    return g + rule.momentum * buffer if rule.kind == "nesterov" or rule.nesterov else buffer


def _rmsprop(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    old = memory.get("nu", np.zeros_like(g))
    v = memory["nu"] = rule.momentum * old + (1 - rule.momentum) * g * g
    if rule.central:
        mean = rule.momentum * memory.get("mu", np.zeros_like(g)) + (1 - rule.momentum) * g
        memory["mu"], v = mean, v - mean * mean
    step = _divided(g, np.sqrt(v + rule.eps) if rule.inside else np.sqrt(v) + rule.eps)
    if rule.rms_momentum:
        step = memory["step"] = rule.rms_momentum * memory.get("step", np.zeros_like(g)) + step
    return step


def _adadelta(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    zeros, share = np.zeros_like(g), rule.momentum
    v = memory["nu"] = share * memory.get("nu", zeros) + (1 - share) * g * g
    step = np.sqrt(memory.get("mu", zeros) + rule.eps) / np.sqrt(v + rule.eps) * g
    memory["mu"] = share * memory.get("mu", zeros) + (1 - share) * step * step
    return step


def _adagrad(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    v = memory["nu"] = memory.get("nu", np.full_like(g, rule.accumulator)) + g * g
    return _divided(g, np.sqrt(v + rule.eps) if rule.inside else np.sqrt(v) + rule.eps)


def _adamax(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    m = memory["mu"] = rule.beta1 * memory.get("mu", np.zeros_like(g)) + (1 - rule.beta1) * g
    u = np.maximum(rule.beta2 * memory.get("nu", np.zeros_like(g)), np.abs(g) + rule.eps)
    memory["nu"] = u
    return m / (1 - rule.beta1**t) / u


def _lion(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    m = memory.get("mu", np.zeros_like(g))
    memory["mu"] = rule.beta2 * m + (1 - rule.beta2) * g
    return np.sign(rule.beta1 * m + (1 - rule.beta1) * g)


def _rprop(rule: Rule, g: np.ndarray, memory: dict[str, np.ndarray], t: int) -> np.ndarray:
    turned = g * memory.get("g", np.zeros_like(g))
    low, high = RPROP_SHARES
    change = np.where(turned > 0, high, np.where(turned < 0, low, 1.0))
    least, most = np.array(RPROP_SIZES) / max(rule.learning_rate, 1e-300)
    size = memory["size"] = np.clip(memory.get("size", np.ones_like(g)) * change, least, most)
    memory["g"] = np.where(turned < 0, 0, g)
    step = size * np.sign(memory["g"])
    if rule.held_back:
        step, memory["step"] = memory.get("step", np.zeros_like(g)), step
        return np.where(turned < 0, 0, step)
    return step


DIRECTIONS = {
    "sgd": _momentum,
    "momentum": _momentum,
    "nesterov": _momentum,
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
    "adadelta": _adadelta,
    "adagrad": _adagrad,
    "adamax": _adamax,
    "lion": _lion,
    "rprop": _rprop,
    "sign": lambda rule, g, memory, t: np.sign(g),
}
KINDS = tuple(DIRECTIONS)
