"""English and JSON of causes, explanations, checks, rungs and verdicts, made of their values."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from mnist_fn.shared.parity.causes.distance import Tensors, constant_factor, within

# of `causes.explanation` and `result`, which import this module
Cause: TypeAlias = Any
Candidate: TypeAlias = Any
Explanation: TypeAlias = Any
Check: TypeAlias = Any
Rung: TypeAlias = Any
Verdict: TypeAlias = Any

SCHEMA = 1  # of a verdict in JSON
Ranks = Mapping[str, int]  # a tensor's number of axes, by its name, in the order of the network


# --- values --------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A number as it would be written: 0.00075 as 7.5e-4, and no digits that say nothing."""
    text = f"{value:.7g}"
    if "e" in text or (value and abs(value) < 1e-3):
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    return text


def plain(value: Any) -> Any:
    """A value for JSON: a number that isn't finite by its name, which `float` reads back."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def factors(values: Sequence[float]) -> str:
    """The first factors of a learning rate: × 1, 0.9, 0.81, …."""
    return "× " + ", ".join(f"{value:.4g}" for value in values[:4]) + ", …"


def listed(names: Sequence[str], most: int) -> str:
    """Some names, and how many more there are."""
    suffix = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + suffix


def rates_text(rates: Sequence[float]) -> str:
    """Rates of dropout."""
    return ", ".join(f"{rate:g}" for rate in rates) or "none"


def value_text(value: Any) -> str:
    """Any value of a cause."""
    if isinstance(value, tuple) and value and isinstance(value[0], float):
        return factors(value)
    return number(value) if isinstance(value, float) else str(value)


def digits(value: Any) -> int:
    """How long it is to write a value, or the different values of a mapping."""
    return sum(map(len, _different(value)))


def _different(value: Any) -> set[str]:
    if not isinstance(value, Mapping):
        return {value_text(value)}
    texts: set[str] = set()
    for part in value.values():
        texts |= _different(part)
    return texts


# --- places --------------------------------------------------------------------------------------


def ranks_of(tensors: Tensors) -> dict[str, int]:
    """What `place` needs to know of tensors."""
    return {name: tensor.ndim for name, tensor in tensors.items()}


def place(names: Sequence[str], ranks: Ranks) -> str:
    """A set of tensors: everywhere, the biases, layer1, or their names."""
    chosen, spared = set(names) & ranks.keys(), ranks.keys() - names
    if not spared:
        return "everywhere"
    vectors: set[str] = set()
    layers: dict[str, set[str]] = {}
    for name, rank in ranks.items():
        if rank < 2:
            vectors.add(name)
        layers.setdefault(layer_of(name), set()).add(name)
    if chosen == vectors:
        return f"on the {vectors_text(vectors)} alone"
    if spared == vectors:
        return "on the kernels alone"
    for layer, members in layers.items():
        if chosen == members:
            return f"on {layer} alone"
        if spared == members:
            return f"everywhere but on {layer}"
    if len(spared) == 1:
        return f"everywhere but on {spared.pop()}"
    return "on " + " and ".join(sorted(chosen, key=list(ranks).index)) + " alone"


def vectors_text(names: Iterable[str]) -> str:
    """What tensors of one axis are called."""
    return "biases" if all("bias" in name for name in names) else "vectors"


def layer_of(name: str) -> str:
    """What stands before the last `/` or `.` of a tensor's name."""
    for mark in ("/", "."):
        if mark in name:
            return name.rpartition(mark)[0]
    return name


def grouped(values: Mapping[str, Any]) -> dict[Any, list[str]]:
    """The names that have each value."""
    groups: dict[Any, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    return groups


# --- causes --------------------------------------------------------------------------------------


def cause_text(cause: Cause) -> str:
    """One change to what was declared; it completes "is reproduced by: …"."""
    sentence = TEXTS.get(cause.code)
    if callable(sentence):
        return sentence(cause)
    template = sentence or (cause.code if "{" in cause.code else _default(cause))
    actual, declared = value_text(cause.actual), value_text(cause.declared)
    if "form" in cause.details:  # what a number is in
        actual = cause.details["form"].format(actual)
    values = {"code": cause.code, "declared": declared, "actual": actual, **cause.details}
    if "on" in cause.details:
        values["place"] = place(cause.details["on"], cause.details["ranks"])
    values = {name: value_text(value) for name, value in values.items()}
    text = template.format(actual, **values)
    if "write" in cause.details:
        text += f" (Flax's default: write {cause.details['write']})"
    if "after" in cause.details:
        text += f" after {cause.details['after']} alone"
    return located(cause, text)


def located(cause: Cause, text: str) -> str:
    """A text behind the place that it is of."""
    outside = cause.details.get("outside", "between the modules")
    return text if cause.at is None else f"{cause.at or outside}: {text}"


def _default(cause: Cause) -> str:
    if cause.declared is None:
        return "{code}"
    symbol = SYMBOLS.get(cause.code, cause.code)
    is_single = isinstance(cause.declared, float) and cause.actual == np.float32(cause.declared)
    if is_single and cause.declared != cause.actual:
        return f"{symbol} rounded to float32 ({cause.actual:.10g})"
    return f"{symbol} = {{actual}} in place of {{declared}}"


SYMBOLS = {"epsilon": "ε", "beta1": "β₁", "beta2": "β₂", "delta": "δ", "beta": "β"}
IN_PLACE = "{actual} in place of {declared}"
SETTING = "{code} {actual} in place of {declared}"
TURNED = "the mask hides what it should show"


def _both(cause: Cause) -> str:
    return ", and ".join(part.text for part in cause.details["parts"])


def _learning_rates(cause: Cause) -> str:
    """A factor of the learning rate by tensor."""
    ranks, rate = cause.details["ranks"], cause.declared
    changes = []
    for factor, names in grouped(cause.actual).items():
        if len(names) == len(ranks):
            contrast = f"{number(rate * factor)} in place of {number(rate)} (× {number(factor)})"
            changes.append(f"learning rate {contrast}")
        elif factor == 0:
            changes.append(f"no training {place(names, ranks)}")
        else:
            changes.append(f"learning rate × {number(factor)} {place(names, ranks)}")
    if len(changes) > 3:
        return "another learning rate for each tensor"
    return " and ".join(changes) or "learning rate as declared"


def _schedule(cause: Cause) -> str:
    """The course of a learning rate over some steps."""
    if cause.declared:
        return (
            f"learning rate {factors(cause.actual)} for the reference's {factors(cause.declared)}"
        )
    f, start = np.asarray(cause.actual), cause.details["start"]
    steps = np.arange(1, len(f) + 1) + start
    ratios = f[1:] / np.where(f[:-1] == 0, np.nan, f[:-1])
    if np.allclose(f, f[0] / steps[0] * steps, rtol=1e-6):
        return f"learning rate warmed up linearly over {number(steps[0] / f[0])} steps"
    if np.allclose(ratios, ratios[0], rtol=1e-6):
        return f"learning rate × {number(float(ratios[0]))} after each step"
    changed = np.flatnonzero(np.abs(f - 1) > 1e-6)
    if len(changed) and np.allclose(f[changed], f[changed[0]], rtol=1e-6) and changed[0] > 0:
        at_steps = f"from step {changed[0] + 1 + start} on"
        if len(changed) < len(f) - changed[0]:
            at_steps = "at step " + ", ".join(map(str, changed + 1 + start))
        if abs(f[changed[0]]) < 1e-9:
            return f"no step is taken {at_steps}"
        return f"learning rate × {number(float(f[changed[0]]))} {at_steps}"
    return "learning rate scheduled: × " + ", ".join(f"{x:.4g}" for x in f[:6])


def _decays(cause: Cause) -> str:
    """Each tensor's decay in place of the declared one."""
    declared, ranks = cause.declared, cause.details["ranks"]
    name_of_decay = "decoupled decay" if cause.details["decoupled"] else "weight decay"
    if cause.details["added"]:  # beside a declared decay of the other kind
        changes = []
        for value, names in grouped(cause.actual).items():
            if value:
                changes.append(f"{name_of_decay} {number(value)} {place(names, ranks)}")
        text = " and ".join(changes[:3])
        return f"a {text} in addition to the declared" if changes else "no more decay"
    if not any(cause.actual.values()):
        return f"no {name_of_decay}"
    decaying, changed = [], {}
    for name, value in cause.actual.items():
        if declared[name]:
            decaying.append(name)
        if value != declared[name]:
            changed[name] = value
    changes = []
    for value, names in grouped(changed).items():
        here = "" if names == decaying else " " + place(names, ranks)
        usual = {declared[name] for name in names}
        old = usual.pop()
        if usual or not old:
            changes.append(f"{name_of_decay} {number(value)}{here} too")
        elif not value:
            changes.append(f"no {name_of_decay}{here}")
        else:
            contrast = f"{number(value)} in place of {number(old)} (× {number(value / old)})"
            changes.append(f"{name_of_decay} {contrast}{here}")
    return " and ".join(changes[:3]) or f"{name_of_decay} as declared"


def _multiples(cause: Cause) -> str:
    """What a gradient is a multiple of, tensor by tensor."""
    changed: dict[str, tuple[tuple[str, float], ...]] = {}
    for name, values in cause.actual.items():
        multiples = []
        for kind, value in values.items():
            usual = 1.0 if kind == "factor" else 0.0
            if abs(value - usual) > 1e-12 * abs(value):
                multiples.append((kind, float(f"{value:.10g}")))
        if multiples:
            changed[name] = tuple(multiples)
    groups = grouped(changed)
    if len(groups) > 3:
        return "another multiple for each tensor"
    changes = []
    for key, names in groups.items():
        text = " and ".join(_multiple(kind, value, cause.details) for kind, value in key)
        changes.append(f"{text} {place(names, cause.details['ranks'])}")
    return " and ".join(changes) or "as declared"


def _multiple(kind: str, value: float, details: Mapping[str, Any]) -> str:
    decay, batch = details["decay"], details["batch"]
    if kind == "weights" and decay and abs(value / decay + 1) < 1e-9:
        return f"the decay {number(decay)} · weights is missing"
    if kind == "weights" and decay:
        share = number(1 + value / decay)
        return f"decay {number(decay + value)} · weights, {share} times the declared,"
    if kind in ADDED:
        return ADDED[kind].format(number(value))
    if value == 0:
        return "no gradient but the decay's" if decay else "no gradient"
    if batch and abs(value / batch - 1) < 1e-9:
        return f"sum for mean over the batch ({batch} times as large)"
    if batch and abs(value * batch - 1) < 1e-9:
        return f"divided by the batch size once more (1/{batch} as large)"
    return "the other sign" if value == -1 else f"{number(value)} times as large"


ADDED = {
    "weights": "{} · weights added (a decay, or its penalty's gradient)",
    "sign": "{} · sign of the weights added (an L1 penalty)",
    "constant": "{} added",
}


def _order(cause: Cause) -> str:
    """Where a module is called in both programs."""
    name = cause.at
    is_earlier = cause.actual.index(name) < cause.declared.index(name)  # in the port
    places = []
    for order, is_before in ((cause.declared, not is_earlier), (cause.actual, is_earlier)):
        neighbour = order[order.index(name) + (1 if is_before else -1)]
        places.append(f"{'before' if is_before else 'after'} {neighbour}")
    text = f"{name} is called {places[0]} in the reference, {places[1]} in the port"
    if cause.details["norm"]:
        text += ": pre-norm for post-norm" if is_earlier else ": post-norm for pre-norm"
    return text


def _averages(cause: Cause) -> str:
    if cause.actual == 0:
        return f"{cause.at}: running averages are not kept: they stay as they were"
    new = number(cause.declared)
    kept, usual = number(1 - cause.actual), number(1 - cause.declared)
    return (
        f"{cause.at}: running averages keep {kept} of what they were in place of {usual} (Flax's "
        "momentum is the share that is kept, PyTorch's the share that is new: PyTorch's "
        f"momentum={new} is Flax's {usual})"
    )


def _padding_row(cause: Cause) -> str:
    if cause.declared is None:
        row = cause.actual
        return located(cause, f"row {row} is not trained, as padding_idx={row} has it")
    rows = []
    for name, row in cause.declared.items():
        rows.append(f"{name}: row {row}, padding_idx in the reference, is trained in the port")
    return "; ".join(rows)


# A sentence for each code: a template of {declared}, {actual} and the cause's details, or what
# makes the whole. Of a code that is not here: code = actual in place of declared, or the code.
TEXTS: dict[str, str | Callable[[Cause], str]] = {
    **dict.fromkeys(("activation", "loss", "pooling", "statistics", "reduction of axes", "rule"),
                    IN_PLACE),
    **dict.fromkeys(("stride", "dilation", "padding", "label smoothing"), SETTING),
    "both": _both,
    # functions
    "activation after": "{actual} after it",
    "rounded activation": "{declared} through {actual}",
    "output times": "its output times {actual}",
    "no factor": "not {verb} by {declared}",
    "factor": "{verb} by {actual} in place of {declared}",
    "inverse factor": "{inverse} by {declared}, not {verb}",
    "factor of a mask": TURNED + " ({verb} by {actual} in place of {declared})",
    "no threshold": "softplus without its threshold of {declared}, above which torch gives x",
    "constant": "{actual} added in place of {declared}",
    "subtracted": "x in place of {declared} − x",
    "subtracted from": "{actual} − x in place of {declared} − x",
    "subtracted mask": TURNED + " (x in place of {declared} − x)",
    "sign of a mask": TURNED + " (a sum whose second term has the other sign)",
    "term forgotten": "a sum without its {actual} term, as a residual that is forgotten",
    "term doubled": "a sum with its {actual} term twice, as a residual that is doubled",
    "factor forgotten": "a product without its {actual} factor",
    "mask forgotten": "a product without its {actual} factor, a mask",
    "count": "divided by {actual} in place of a count of its own for each row",
    "clamp passed": "the gradient passes through the clamp ({between}) as if it were not there; "
                    "PyTorch's is 0 outside of its bounds",
    "no clamp": "no clamp ({between})",
    "clamp at its bound": "the clamp's gradient at {declared} itself is 0",
    "clamp": "clamped at {actual} in place of {declared} {side}",
    "clamp of both": "clamped to ±{actual} in place of ±{declared}",
    "softmax temperature": "softmax of its input divided by {actual}",
    "axis": "{function} over axis {actual} in place of {declared}",
    "padding_idx": _padding_row,
    # modules
    "padding SAME": "padding SAME, which is ({before}, {behind}) here, in place of {declared}: "
                    "write padding={flax}",
    "padding of 0": "padding with 0 in place of nothing, {declared} on either side",
    "no padding": "no padding in place of {declared}",
    "window": "windows of {actual} in place of {declared}",
    "ceil_mode": "ceil_mode={actual}: the part of a window at the end is {end}",
    "count_include_pad": "padding is {counted} in the average (count_include_pad={actual})",
    "epsilon of float32": "ε = {actual} (float32's)",
    "groups": "{actual} groups in place of {declared}",
    "scale of scores": "scores divided by {actual} in place of {declared}",
    "masked value": "masked with {actual} in place of {declared}",
    "heads split": "{features} features split as {actual} in place of {declared}: another order of "
                   "heads",
    "heads joined": "heads of {declared} joined as {actual}: another order of heads",
    "channels last": "flattened channels last, where PyTorch flattens {declared}: transpose to "
                     "channels first before it is flattened, or reorder the rows of the kernel "
                     "behind it",
    "variance": "divided by {actual} in place of {declared} in the variance",
    "order of modules": _order,
    "precision": "computed in {actual}: each of the port's numbers has {bits} bits or fewer",
    "running averages": _averages,
    # losses
    "reduction": "{actual} for {declared} over the batch",
    "ignored targets counted": "the mean counts the ignored targets ({declared}) as well",
    "ignored targets as class 0": "targets {declared} are not ignored, but taken as class 0",
    # gradients
    "multiples": _multiples,
    "no gradient": "no gradient {place}",
    "no gradient below": "no gradient {place}: none passes below {layer}",
    "moved": "{actual} {place}",
    "exchanged": "{declared} and {actual} exchanged",
    "rounded": "rounded to {actual} {place}",
    # steps
    "learning rates": _learning_rates,
    "learning rate in float32": "learning rate rounded to float32 ({digits})",
    "schedule": _schedule,
    "no schedule": "no schedule: the rate stays {actual}, the reference's is {declared}",
    "schedule moved": "the schedule is a step {actual} the reference's: {factors} for {declared}",
    "decays": _decays,
    "rule without decay": IN_PLACE + ", without its decay",
    "no clipping": "gradients not clipped, the reference's to {declared}",
    "no accumulation": "no accumulation of gradients, the reference's is over {declared} steps",
    "accumulation": "gradients accumulated over {actual} steps, {how}, for one update",
    "accumulation in float32": "gradients accumulated over {actual} steps, {how}, for one update, "
                               "in float32 (optax.MultiSteps's accumulator_dtype)",
    "dropout": lambda cause: (
        f"rates of dropout: {rates_text(cause.actual)} in place of {rates_text(cause.declared)}"
    ),
    "frozen": lambda cause: (
        f"the reference doesn't move {listed(cause.declared, 4)}, the port does: frozen there, a "
        "buffer, or without a gradient, in which case torch's optimizers skip a parameter and "
        "optax decays it"
    ),
}  # fmt: skip


# --- what can be said without a cause ------------------------------------------------------------


def difference_text(expected: Tensors, observed: Tensors, rounding: Tensors) -> str:
    """Which tensors differ and which hold; for each that differs a constant factor, or whole
    rows or columns, where there are such.

    `rounding` is what a difference may be, by tensor; infinite where an entry says nothing.
    """
    shapes: dict[str, str] = {}
    for name, tensor in observed.items():
        if not within(expected[name], tensor, rounding[name]):
            shapes[name] = f"{name} {_shape(expected[name], tensor, rounding[name])}"
    if not shapes:
        return "no tensor is out of what rounding may do to it here"
    held = "" if len(shapes) == len(observed) else " (all others agree)"
    names = place(list(shapes), ranks_of(observed))
    return f"differs {names}{held}: " + "; ".join(shapes.values())


def _shape(expected: np.ndarray, observed: np.ndarray, rounding: np.ndarray) -> str:
    if expected.shape != observed.shape:
        return f"has the shape {list(observed.shape)} for {list(expected.shape)}"
    gap = np.abs(observed - expected)
    phrases = [f"by up to {gap[np.isfinite(gap)].max(initial=0):.1e}"]
    infinite = int((~np.isfinite(observed)).sum())
    if infinite:
        phrases = [f"is not finite in {infinite} of {observed.size} entries"]
    factor = constant_factor(expected, observed, rounding)
    if within(np.zeros_like(observed), observed, rounding):
        phrases.append("is 0 but for rounding")
    elif factor is not None:
        phrases.append(f"{number(factor)} times as large throughout")
    differs = (gap > rounding) & np.isfinite(rounding)
    if observed.ndim >= 2 and differs.any() and not differs.all():
        for axis, kind in ((tuple(range(observed.ndim - 1)), "column"), (-1, "row")):
            lines = differs.any(axis=axis)
            count = int(lines.sum())
            if 0 < count <= max(1, lines.size // 2):
                first = int(np.flatnonzero(lines)[0])
                phrases.append(f"in {count} of {lines.size} {kind}s ({first} first)")
                break
    elif differs.any() and not differs.all():
        phrases.append(f"in {int(differs.sum())} of {differs.size} entries")
    return ", ".join(phrases)


def since(parted: Sequence[bool]) -> str:
    """From which step on, or at which."""
    if all(parted):
        return "from the first step on"
    first = list(parted).index(True) + 1
    if all(parted[first - 1 :]):
        return f"from step {first} on"
    return f"at step {', '.join(map(str, np.flatnonzero(parted) + 1))} alone"


# --- explanations --------------------------------------------------------------------------------


def causes_text(explanation: Explanation) -> str:
    """The causes alone; empty if there is none."""
    return ", or ".join(cause.text for cause in explanation.causes)


def explanation_text(explanation: Explanation) -> str:
    """One plain sentence for a reader."""
    subject, nearest = explanation.subject, explanation.next_best
    rounding = f"; {explanation.rounding}" if explanation.rounding else ""
    if explanation.holds:
        return f"{subject}: as declared"
    if explanation.causes:
        residual = max(cause.residual for cause in explanation.causes)
        if np.isnan(residual):
            return f"{subject}: {explanation.text}"
        text = f"{subject}: reproduced to {residual:.0e} by: {explanation.text}{rounding}"
        return text + (f" (next best: {nearest.text}, {nearest.residual:.0e})" if nearest else "")
    if explanation.rounding:
        return f"{subject}: {explanation.rounding}"
    near = f"; nearest: {nearest.text} ({nearest.residual:.0e} left)" if nearest else ""
    return f"{subject}: no single change explains it: {pattern_text(explanation)}{near}"


def pattern_text(explanation: Explanation) -> str:
    """What can be said without a cause."""
    nearest, rival = explanation.next_best, explanation.rival
    if nearest is None or rival is None:
        return explanation.pattern
    return f"{nearest.text} and {rival.text} can't be told apart; {explanation.pattern}"


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Plain values for JSON."""
    nearest = explanation.next_best
    return {
        "of": explanation.subject,
        "holds": explanation.holds,
        "causes": list(map(candidate_json, explanation.causes)),
        "next_best": None if nearest is None else candidate_json(nearest),
        "pattern": pattern_text(explanation),
        "sentence": explanation.sentence,
    }


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """Plain values for JSON."""
    values = _values(candidate, "code", "at", "declared", "actual", "text", "residual")
    return {**values, "at": candidate.at or ""}


def _values(item: Any, *names: str) -> dict[str, Any]:
    """Some of an object's values, for JSON."""
    return {name: plain(getattr(item, name)) for name in names}


# --- checks, rungs, verdicts ---------------------------------------------------------------------


def check_json(check: Check) -> dict[str, Any]:
    """Plain values for JSON, without the reason, which a rung gives once; a number that is not
    finite becomes its name.
    """
    difference = check.difference
    return {
        "what": check.what,
        **_values(difference, "where", "tensor"),
        "index": list(difference.index),
        **_values(difference, "left", "right", "absolute", "relative", "ulps"),
        **_values(check, "tolerance", "measure"),
        **({"state": check.state} if check.state else {}),
        **({"step": check.step} if check.step is not None else {}),
    }


def rung_json(rung: Rung) -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "rung": rung.name,
        "passed": rung.passed,
        "worst": {**check_json(rung.worst), "reason": rung.worst.reason},
        "checks": [{**check_json(check), "passed": check.passed} for check in rung.checks],
        **({"traceback": rung.traceback} if rung.traceback else {}),
    }


def rung_line(rung: Rung) -> str:
    """A rung in a line: its mark, its name, its worst check."""
    if not hasattr(rung, "checks"):
        reason = rung.why if rung.nothing else f"not checked, because {rung.why}"
        return f"  --    {rung.name:13} {reason}"
    worst, count = rung.worst, len(rung.checks)
    mark = "ok  " if rung.passed else "FAIL"
    if worst.tolerance:
        allowed = f"{worst.difference.absolute:.1e} of {worst.tolerance:.1e} allowed"
        measured = f"{allowed}, {worst.what}; {count} compared"
    else:
        measured = f"{count} agree" if rung.passed else worst.what
    return f"  {mark}  {rung.name:13} {measured}"


def summary(verdict: Verdict) -> str:
    """A verdict in one sentence."""
    reference, port = verdict.names
    if verdict.failed is not None:
        return f"{port} differs from {reference} at: {verdict.failed.name}"
    unchecked = [rung.name for rung in verdict.rungs if rung.is_open]
    but = f"; {len(unchecked)} of {len(verdict.rungs)} rungs not checked" if unchecked else ""
    if "randomness" in unchecked:
        but += "; dropout not compared"
    return f"{port} computes what {reference} does, in {verdict.precision}{but}"


def verdict_text(verdict: Verdict, guesses: Sequence[str]) -> str:
    """A verdict: one sentence, the cause, a line for each rung, notes; in one that failed a line
    for each of the pairs of parameters that names don't tell, as far as they are to be listed.
    """
    lines = [summary(verdict), *_reasons(verdict)]
    if guesses and not verdict.passed:
        lines.append("the pairs below were guessed; give param_map=… if one is wrong")
        lines += [f"  {pair}" for pair in guesses]
        more = len(verdict.param_map.guessed) - len(guesses)
        lines += [f"  and {more} more"] if more else []
    lines += ["", *map(rung_line, verdict.rungs)]
    lines += [f"note: {note}" for note in verdict.notes]
    return "\n".join(lines)


def _reasons(verdict: Verdict) -> Iterator[str]:
    """Why it failed, and where first."""
    if verdict.failed is None:
        return
    if verdict.cause is not None and verdict.cause.holds:
        yield (
            "why: not known: the reference's rule makes the port's weights of the port's own "
            "gradients; look at what these are made of before that step"
        )
    elif verdict.cause is not None:
        yield f"why: {verdict.cause.sentence}"
    worst = verdict.failed.worst
    d = worst.difference
    if d.left == d.right:  # nothing was measured: parameters have no partner
        count = len(verdict.failed.failed)
        suffix = f"; and {count - 1} more" if count > 1 else ""
        yield f"first: {worst.what}{suffix}"
    elif np.isnan(d.left) and np.isnan(d.right):  # another shape or an error: no entries
        yield f"first: {d.where}"
    else:
        place_in_words = "" if worst.what == d.tensor else f" ({worst.what})"
        yield f"first: {d.where}{place_in_words}: {d.left:.9g} against {d.right:.9g}"


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Plain values for JSON."""
    partners = []
    for pair in verdict.param_map.params:
        layout = {"axes": list(pair.layout.axes), "shape": list(pair.layout.shape)}
        names = {"reference": pair.name, "port": pair.other}
        partners.append({**names, **layout, "guessed": not pair.sure})
    return {
        "schema": SCHEMA,
        "passed": verdict.passed,
        "reference": verdict.names[0],
        "port": verdict.names[1],
        "precision": verdict.precision,
        "summary": summary(verdict),
        "cause": None if verdict.cause is None else explanation_json(verdict.cause),
        "param_map": partners,
        "rungs": [rung.to_dict() for rung in verdict.rungs],
        "notes": verdict.notes,
    }
