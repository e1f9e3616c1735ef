"""Name the rule behind an optimizer's steps, from its own gradients and its weights."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from mnist_fn.shared.parity.bounds import NEARLY, UPDATE_DRAWS, UPDATE_ROUNDING
from mnist_fn.shared.parity.causes import variants
from mnist_fn.shared.parity.causes.explanation import (
    Candidate,
    Explanation,
    Tensors,
    distance,
    judge,
    number,
)
from mnist_fn.shared.parity.causes.numbers import simplest, solve
from mnist_fn.shared.parity.causes.pattern import describe, since, within
from mnist_fn.shared.parity.causes.rules import Rule, simulate


def explain_update(
    rule: Rule,
    grads: Sequence[Tensors],
    before: Tensors,
    after: Sequence[Tensors],
    moments: Mapping[str, Tensors] | None = None,
    step: int = 0,
    dtype: str = "float64",
    of: str = "",
) -> Explanation:
    """Which change to `rule` leads from the side's own gradients to its own weights.

    Six steps on other batches tell nearly all rules apart, one tells few. Compared are the tensors
    of `before`; where a gradient is nothing but rounding the entry is left out.

    Args:
        rule: what was declared.
        grads: the gradient at the weights before each step, without a decay that the rule adds.
        before: weights before the first step.
        after: weights after each step, as many as `grads`.
        moments: {"mu": ..., "nu": ...} before the first step; None: zeros.
        step: steps taken before the first.
        dtype: of the side's arithmetic, which sets what rounding may do.
        of: what this is, in words; "weights after n steps" if empty.
    """
    tried = Steps(rule, grads, before, after, moments, step, dtype)
    named = of or f"weights after {len(grads)} step{'s' if len(grads) > 1 else ''}"
    declared = tried.candidate("as declared", "declared", rule)
    if declared.fits:
        return judge(named, declared, ())
    candidates = list(_tried(tried))
    if not any(candidate.fits for candidate in candidates):
        candidates += _pairs(tried, candidates)
    return judge(named, declared, candidates, tried.pattern)


class Steps:
    """What was seen, and how near a rule comes to it."""

    def __init__(
        self,
        rule: Rule,
        grads: Sequence[Tensors],
        before: Tensors,
        after: Sequence[Tensors],
        moments: Mapping[str, Tensors] | None,
        step: int,
        dtype: str,
    ) -> None:
        def wide(tree: Tensors) -> Tensors:
            return {name: np.asarray(tree[name], np.float64) for name in before}

        self.rule, self.eps = rule, float(np.finfo(dtype).eps)
        self.grads, self.after = [wide(tree) for tree in grads], [wide(tree) for tree in after]
        self.before = wide(before)
        self.moments = {kind: wide(tree) for kind, tree in (moments or {}).items()} or None
        self.step = step
        self.weights = [self.before, *self.after[:-1]]

    def run(self, rule: Rule) -> list[Tensors]:
        """The weights that a rule makes of these gradients."""
        return simulate(rule, self.grads, self.before, self.after, self.moments, self.step)

    def candidate(self, text: str, family: str, rule: Rule, solved: int = 0) -> Candidate:
        """How far a rule stays from what was seen."""
        predicted = self.run(rule)
        residual, units = distance(predicted, self.after, self.rounding)
        if 1 < units <= NEARLY:
            roundings = self._rounding_of(rule, predicted)
            larger = [
                {n: np.maximum(unit[n], allowed[n]) for n in unit}
                for unit, allowed in zip(self.rounding, roundings, strict=True)
            ]
            residual, units = distance(predicted, self.after, larger)
        return Candidate(text, residual, units, solved, code=family, family=family)

    def residual(self, rule: Rule, names: Sequence[str] | None = None) -> np.ndarray:
        """Predicted minus seen in units of rounding, as one vector; of some tensors alone."""
        parts = []
        for predicted, observed, unit in zip(
            self.run(rule), self.after, self.rounding, strict=True
        ):
            for name in names or observed:
                finite = np.isfinite(unit[name])
                parts.append(
                    ((predicted[name] - observed[name])[finite] / unit[name][finite]).ravel()
                )
        return np.concatenate(parts)

    def fits(self, rule: Rule) -> bool:
        """Whether what is left is rounding."""
        return self.candidate("", "", rule).fits

    @cached_property
    def declared(self) -> list[Tensors]:
        """What the declared rule makes."""
        return self.run(self.rule)

    @cached_property
    def rounding(self) -> list[Tensors]:
        """What rounding may do to each weight: an ulp of it, and what the declared rule makes of
        gradients moved by theirs; infinite where a gradient is nothing but rounding.
        """
        return self._rounding_of(self.rule, self.declared)

    def _rounding_of(self, rule: Rule, true: list[Tensors]) -> list[Tensors]:
        base = [
            {n: 2 * self.eps * np.abs(w).max() + 1e-300 * np.ones_like(w) for n, w in s.items()}
            for s in self.after
        ]
        rng = np.random.default_rng(0)
        largest = [{n: np.abs(g).max() for n, g in tree.items()} for tree in self.grads]
        for _ in range(UPDATE_DRAWS):
            moved: list[Tensors] = []
            for tree, sizes in zip(self.grads, largest, strict=True):
                nudged: Tensors = {}
                for name, grad in tree.items():
                    signs = rng.choice((-1, 1), grad.shape)
                    nudge = self.eps * (np.abs(grad) + sizes[name]) * signs
                    nudged[name] = grad + nudge * (grad != 0)
                moved.append(nudged)
            predicted = simulate(rule, moved, self.before, self.after, self.moments, self.step)
            for unit, a, b in zip(base, predicted, true, strict=True):
                for name in unit:
                    unit[name] = np.maximum(unit[name], np.abs(a[name] - b[name]))
        negligible = {
            name: np.any(
                [
                    (g[name] != 0) & (np.abs(g[name]) < 1e4 * self.eps * top[name])
                    for g, top in zip(self.grads, largest, strict=True)
                ],
                axis=0,
            )
            for name in self.before
        }
        return [
            {
                name: np.where(negligible[name], np.inf, UPDATE_ROUNDING * value)
                for name, value in unit.items()
            }
            for unit in base
        ]

    @property
    def pattern(self) -> str:
        """What is seen of the difference from the declared rule."""
        differs = [
            not all(within(predicted[n], observed[n], unit[n]) for n in observed)
            for predicted, observed, unit in zip(
                self.declared, self.after, self.rounding, strict=True
            )
        ]
        i = differs.index(True) if True in differs else 0
        moves = [
            {n: tree[i][n] - self.weights[i][n] for n in self.before}
            for tree in (self.declared, self.after)
        ]
        text = describe(moves[0], moves[1], self.rounding[i])
        return f"{since(differs)} the step {text}" if any(differs) else text


def _tried(steps: Steps) -> Iterator[Candidate]:
    for text, family, rule in variants.structures(steps.rule, steps.step):
        yield steps.candidate(text, family, rule)
    yield from rates(steps, steps.rule)
    yield from schedules(steps)
    for kind in ("coupled", "pulled"):
        yield from decays(steps, kind)
    for free in variants.numbers(steps.rule, steps.grads, steps.after):
        yield solved(steps, free)


def solved(steps: Steps, free: variants.Free) -> Candidate:
    """The best value of one number, written as simply as it fits."""
    value = solve(lambda x: steps.residual(free.rule(x)), free.starts, free.scale)
    if steps.fits(free.rule(value)):
        value = simplest(value, free.declared, lambda x: steps.fits(free.rule(x)))
    return steps.candidate(free.said(value), free.family, free.rule(value), 1)


def rates(steps: Steps, rule: Rule) -> Iterator[Candidate]:
    """A factor of a rule's learning rate for each tensor, by least squares."""
    predicted = steps.run(rule)
    factors = {name: _factor(steps, predicted, name) for name in steps.before}
    fits = {name: _fits_tensor(steps, rule, name, factor) for name, factor in factors.items()}
    simplified = {
        name: simplest(factor, 1.0, lambda x, name=name: _fits_tensor(steps, rule, name, x))
        if fits[name]
        else factor
        for name, factor in factors.items()
    }
    lr = rule.learning_rate
    as_f32 = float(np.float32(lr))
    if all(fits.values()) and steps.fits(rule.but(learning_rate=as_f32)):
        text = f"learning rate rounded to float32 ({as_f32!r})"
        yield steps.candidate(text, "rate", rule.but(learning_rate=as_f32), 1)
        return
    changed = {name: factor for name, factor in simplified.items() if factor != 1}
    yield steps.candidate(
        variants.rate_text(changed, steps.before, lr),
        "rate",
        rule.but(rates=simplified),
        len(set(changed.values())),
    )


def _factor(steps: Steps, predictions: list[Tensors], name: str) -> float:
    numerator = denominator = 0.0
    for predicted, old, observed, unit in zip(
        predictions, steps.weights, steps.after, steps.rounding, strict=True
    ):
        finite = np.isfinite(unit[name])
        a = (predicted[name] - old[name])[finite] / unit[name][finite]
        b = (observed[name] - old[name])[finite] / unit[name][finite]
        numerator, denominator = numerator + float(a @ b), denominator + float(a @ a)
    return numerator / denominator if denominator else 1.0


def _fits_tensor(steps: Steps, rule: Rule, name: str, factor: float) -> bool:
    return bool(np.abs(steps.residual(rule.but(rates={name: factor}), [name])).max(initial=0) <= 1)


def schedules(steps: Steps) -> Iterator[Candidate]:
    """A factor of the learning rate for each step, and what its course is called."""
    factors = []
    declared = steps.rule.schedule
    plain = steps.run(steps.rule.but(schedule=())) if declared else steps.declared
    for i, tree in enumerate(plain):
        numerator = denominator = 0.0
        for name, predicted in tree.items():
            finite = np.isfinite(steps.rounding[i][name])
            unit = steps.rounding[i][name][finite]
            a = (predicted - steps.weights[i][name])[finite] / unit
            b = (steps.after[i][name] - steps.weights[i][name])[finite] / unit
            numerator, denominator = numerator + float(a @ b), denominator + float(a @ a)
        factors.append(numerator / denominator if denominator else 1.0)
    if len(factors) > 1 and not np.allclose(factors, factors[0], rtol=1e-9):
        rule = steps.rule.but(schedule=tuple(factors))
        text = variants.schedule_text(factors, steps.step)
        if declared:
            contrast = variants.factors_text(factors), variants.factors_text(declared)
            text = f"learning rate {contrast[0]} for the reference's {contrast[1]}"
        yield steps.candidate(text, "schedule", rule, len(factors))


def decays(steps: Steps, kind: str) -> Iterator[Candidate]:
    """A coupled or a decoupled decay of each tensor, whatever was declared for it."""
    amounts = {name: _decay_of(steps, kind, name) for name in steps.before}
    text = variants.decay_text(amounts, kind, steps.rule, steps.before)
    solved_for = len({value for value in amounts.values() if value})
    yield steps.candidate(text, "decay", steps.rule.but(**{kind: amounts}), solved_for)


def _decay_of(steps: Steps, kind: str, name: str) -> float:
    """What is to be added to a tensor's declared decay."""
    rule = steps.rule
    same = (kind == "pulled") == rule.is_decoupled and rule.decays(name)
    declared = rule.weight_decay if same else 0.0

    def residual(x: float) -> np.ndarray:
        return steps.residual(rule.but(**{kind: {name: x}}), [name])

    def fits(total: float) -> bool:
        return bool(np.abs(residual(total - declared)).max(initial=0) <= 1)

    start = rule.weight_decay or 1e-3
    value = solve(residual, (0.0, start, -start, 0.1), "linear")
    if fits(value + declared):
        value = simplest(value + declared, rule.weight_decay, fits) - declared
    return value


def _pairs(steps: Steps, singles: Sequence[Candidate]) -> Iterator[Candidate]:
    """Two changes at once: a variant of the rule, or another number, and another learning rate."""
    changes: list[tuple[str, str, Rule]] = list(variants.structures(steps.rule, steps.step))
    for text, family, rule in changes:
        for rate in rates(steps, rule):
            if rate.fits:
                yield Candidate(
                    f"{text}, and {rate.text}",
                    rate.residual,
                    rate.units,
                    rate.solved + 1,
                    code=f"{family}, rate",
                    family=f"{family}, rate",
                )
    for free in variants.numbers(steps.rule, steps.grads, steps.after):
        yield from _with_rate(steps, free)


def _with_rate(steps: Steps, free: variants.Free) -> Iterator[Candidate]:
    def best(x: float) -> Rule:
        rule = free.rule(x)
        predictions = steps.run(rule)
        numerator = denominator = 0.0
        for predicted, old, observed, unit in zip(
            predictions, steps.weights, steps.after, steps.rounding, strict=True
        ):
            for name in predicted:
                finite = np.isfinite(unit[name])
                a = (predicted[name] - old[name])[finite] / unit[name][finite]
                b = (observed[name] - old[name])[finite] / unit[name][finite]
                numerator, denominator = numerator + float(a @ b), denominator + float(a @ a)
        return rule.but(
            learning_rate=rule.learning_rate * (numerator / denominator if denominator else 1.0)
        )

    value = solve(lambda x: steps.residual(best(x)), free.starts, free.scale)
    if steps.fits(best(value)):
        value = simplest(value, free.declared, lambda x: steps.fits(best(x)))
        rule = best(value)
        rate = simplest(
            rule.learning_rate,
            steps.rule.learning_rate,
            lambda x: steps.fits(rule.but(learning_rate=x)),
        )
        rule = rule.but(learning_rate=rate)
        text = f"{free.said(value)}, and learning rate {number(rate)}"
        yield steps.candidate(text, f"{free.family}, rate", rule, 2)
