"""Name the rule behind an optimizer's steps, from its own gradients and its weights."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mnist_fn.shared.parity.bounds import NEARLY, UPDATE_DRAWS, UPDATE_ROUNDING
from mnist_fn.shared.parity.causes import variants
from mnist_fn.shared.parity.causes.distance import (
    Tensors,
    best_factor,
    distance,
    map_tensors,
    within,
)
from mnist_fn.shared.parity.causes.explanation import (
    AS_DECLARED,
    Candidate,
    Cause,
    Explanation,
    judge,
)
from mnist_fn.shared.parity.causes.rules import Rule, simulate
from mnist_fn.shared.parity.causes.search import Form, Search, simplest, solve, wide
from mnist_fn.shared.parity.words import difference_text, ranks_of, since


def explain_update(
    rule: Rule,
    grads: Sequence[Tensors],
    before: Tensors,
    after: Sequence[Tensors],
    moments: Mapping[str, Tensors] | None = None,
    step: int = 0,
    dtype: str = "float64",
    subject: str = "",
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
        subject: what this is, in words; "weights after n steps" if empty.
    """
    search = _Steps(rule, grads, before, after, moments, step, dtype)
    subject = subject or f"weights after {len(grads)} step{'s' if len(grads) > 1 else ''}"
    declared = search.candidate(AS_DECLARED, rule)
    if declared.fits:
        return judge(subject, declared, ())
    candidates = list(search.changes())
    if not any(candidate.fits for candidate in candidates):
        candidates += search.pairs()
    return judge(subject, declared, candidates, search.pattern)


def follows(
    rule: Rule, grads: Sequence[Tensors], before: Tensors, after: Sequence[Tensors], dtype: str
) -> bool:
    """Whether a rule makes these weights of these gradients, up to rounding."""
    return _Steps(rule, grads, before, after, None, 0, dtype).candidate(AS_DECLARED, rule).fits


def _key(name: str, step: int) -> str:
    return f"{name} after step {step + 1}"


def _joined(trees: Sequence[Tensors]) -> Tensors:
    """The tensors of all steps by one name each."""
    joined = {}
    for i, tree in enumerate(trees):
        for name, tensor in tree.items():
            joined[_key(name, i)] = tensor
    return joined


def _concatenated(tensors: Tensors, keys: Sequence[str]) -> np.ndarray:
    return np.concatenate([tensors[key].ravel() for key in keys])


class _Steps(Search):
    """The weights after some steps, and how near a rule comes to them."""

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
        self.rule, self.step, self.eps = rule, step, float(np.finfo(dtype).eps)
        self.before = wide(before, before)
        self.grads = [wide(tree, before) for tree in grads]
        self.after = [wide(tree, before) for tree in after]
        self.moments = {kind: wide(tree, before) for kind, tree in (moments or {}).items()} or None
        self.start = _joined([self.before, *self.after[:-1]])  # the weights before each step
        self.ranks = ranks_of(self.before)
        observed = _joined(self.after)
        self.negligible = self._negligible()
        super().__init__(observed, {})
        self.declared = self.tensors(rule)
        self.unit = self.rounding(rule, self.declared)

    def tensors(self, computed: Rule, grads: Sequence[Tensors] | None = None) -> Tensors:
        """The weights that a rule makes of these gradients, or of others."""
        grads = self.grads if grads is None else grads
        return _joined(simulate(computed, grads, self.before, self.after, self.moments, self.step))

    def distance(self, predicted: Tensors, computed: Rule) -> tuple[float, float]:
        """What comes near is held to what rounding does of its own steps as well."""
        residual, units = super().distance(predicted, computed)
        if 1 < units <= NEARLY:
            unit = map_tensors(np.maximum, self.unit, self.rounding(computed, predicted))
            return distance(predicted, self.observed, unit)
        return residual, units

    def _negligible(self) -> dict[str, np.ndarray]:
        """Where a gradient is nothing but rounding, at any step."""
        negligible = {}
        for name in self.before:
            parts = []
            for tree in self.grads:
                size = np.abs(tree[name])
                parts.append((size != 0) & (size < 1e4 * self.eps * size.max()))
            negligible[name] = np.any(parts, axis=0)
        return negligible

    def rounding(self, rule: Rule, predicted: Tensors) -> Tensors:
        """What rounding may do to each weight: an ulp of it, and what a rule makes of gradients
        moved by theirs; infinite where a gradient is nothing but rounding.
        """
        rounding: Tensors = {}
        for name, tensor in self.observed.items():
            rounding[name] = np.full(tensor.shape, 2 * self.eps * np.abs(tensor).max() + 1e-300)
        rng = np.random.default_rng(0)
        for _ in range(UPDATE_DRAWS):
            moved: list[Tensors] = []
            for tree in self.grads:
                nudged: Tensors = {}
                for name, grad in tree.items():
                    signs = rng.choice((-1, 1), grad.shape)
                    nudge = self.eps * (np.abs(grad) + np.abs(grad).max()) * signs
                    nudged[name] = grad + nudge * (grad != 0)
                moved.append(nudged)
            for name, tensor in self.tensors(rule, moved).items():
                rounding[name] = np.maximum(rounding[name], np.abs(tensor - predicted[name]))
        for name, negligible in self.negligible.items():
            for i in range(len(self.grads)):
                allowed = UPDATE_ROUNDING * rounding[_key(name, i)]
                rounding[_key(name, i)] = np.where(negligible, np.inf, allowed)
        return rounding

    @property
    def pattern(self) -> str:
        """What is seen of the difference from the declared rule."""
        differs = []
        for i in range(len(self.after)):
            step_differs = False
            for name in self.before:
                key = _key(name, i)
                equal = within(self.declared[key], self.observed[key], self.unit[key])
                step_differs = step_differs or not equal
            differs.append(step_differs)
        i = differs.index(True) if True in differs else 0
        declared, observed, unit = dict[str, np.ndarray](), dict[str, np.ndarray](), {}
        for name in self.before:
            key = _key(name, i)
            declared[name] = self.declared[key] - self.start[key]
            observed[name] = self.observed[key] - self.start[key]
            unit[name] = self.unit[key]
        text = difference_text(declared, observed, unit)
        return f"{since(differs)} the step {text}" if any(differs) else text

    def changes(self) -> Iterator[Candidate]:
        """A single change to the rule."""
        for cause, rule in variants.forms(self.rule, self.step):
            yield self.candidate(cause, rule)
        yield self.rates(self.rule)
        if len(self.after) > 1:
            yield from self.schedules()
        for kind in ("coupled", "pulled"):
            yield self.decays(kind)
        for form in variants.numbers(self.rule, self.grads, self.after):
            yield self.solved(form)

    def pairs(self) -> Iterator[Candidate]:
        """Two changes at once: another form of the rule, or another number, and another rate."""
        for cause, rule in variants.forms(self.rule, self.step):
            rate = self.rates(rule)
            if rate.fits:
                both = _both(cause, rate)
                yield Candidate(both.code, rate.residual, rate.units, rate.solved + 1, **both.facts)
        for form in variants.numbers(self.rule, self.grads, self.after):
            yield from self.with_rate(form)

    def factor(self, predicted: Tensors, keys: Sequence[str]) -> float:
        """By which a rule's moves of some tensors are nearest to those that were seen."""
        start, unit = _concatenated(self.start, keys), _concatenated(self.unit, keys)
        moved, observed = _concatenated(predicted, keys), _concatenated(self.observed, keys)
        factor = best_factor(moved - start, observed - start, unit)
        return 1.0 if factor is None else factor

    def keys(self, name: str) -> list[str]:
        """A tensor's names in all steps."""
        return [_key(name, i) for i in range(len(self.after))]

    def fits(self, rule: Rule, name: str = "") -> bool:
        """Whether what a rule leaves is rounding; of one tensor alone."""
        if not name:
            return self.candidate(AS_DECLARED, rule).fits
        return bool(np.abs(self.residual(rule, self.keys(name))).max(initial=0) <= 1)

    def rates(self, rule: Rule) -> Candidate:
        """A factor of a rule's learning rate for each tensor, by least squares."""
        predicted = self.tensors(rule)
        values, all_fit = {}, True
        for name in self.before:
            value = self.factor(predicted, self.keys(name))
            fits = lambda x, name=name: self.fits(rule.but(rates={name: x}), name)  # noqa: E731
            if fits(0.0) and fits(1.0):  # it moves by no more than rounding: as the others do
                continue
            if fits(value):
                value = simplest(value, 1.0, fits)
            else:
                all_fit = False
            values[name] = value
        different = set(values.values())
        usual = different.pop() if len(different) == 1 else self.factor(predicted, [*self.observed])
        values = {name: values.get(name, usual) for name in self.before}
        changed = {name: value for name, value in values.items() if value != 1}
        single = float(np.float32(rule.learning_rate))
        if all_fit and self.fits(rule.but(learning_rate=single)):
            details = {"digits": repr(single)}
            cause = Cause("learning rate in float32", actual=single, details=details, family="rate")
            return self.candidate(cause, rule.but(learning_rate=single), 1)
        details, rate = {"ranks": self.ranks}, rule.learning_rate
        cause = Cause(
            "learning rates", declared=rate, actual=changed, details=details, family="rate"
        )
        return self.candidate(cause, rule.but(rates=values), len(set(changed.values())))

    def schedules(self) -> Iterator[Candidate]:
        """A factor of the learning rate for each step."""
        declared = self.rule.schedule
        plain = self.tensors(self.rule.but(schedule=())) if declared else self.declared
        course = []
        for i in range(len(self.after)):
            course.append(self.factor(plain, [_key(name, i) for name in self.before]))
        if np.allclose(course, course[0], rtol=1e-9):
            return
        details = {"start": self.step}
        schedule = tuple(course)
        cause = Cause(
            "schedule", declared=declared, actual=schedule, details=details, family="schedule"
        )
        yield self.candidate(cause, self.rule.but(schedule=schedule), len(course))

    def decays(self, kind: str) -> Candidate:
        """A coupled or a decoupled decay of each tensor, whatever was declared for it."""
        rule = self.rule
        same = (kind == "pulled") == rule.is_decoupled
        declared, total, amounts = {}, {}, {}
        for name in self.before:
            declared[name] = rule.weight_decay if rule.decays(name) else 0.0
            amounts[name] = self.decay_of(kind, name, declared[name] if same else 0.0)
            total[name] = amounts[name] + (declared[name] if same else 0.0)
        details = {"ranks": self.ranks, "decoupled": kind == "pulled", "added": not same}
        cause = Cause("decays", declared=declared, actual=total, details=details, family="decay")
        solved = len(set(amounts.values()) - {0.0})
        return self.candidate(cause, rule.but(**{kind: amounts}), solved)

    def decay_of(self, kind: str, name: str, declared: float) -> float:
        """What is to be added to a tensor's declared decay."""
        rule, keys = self.rule, self.keys(name)

        def residual(x: float) -> np.ndarray:
            return self.residual(rule.but(**{kind: {name: x}}), keys)

        def fits(total: float) -> bool:
            return bool(np.abs(residual(total - declared)).max(initial=0) <= 1)

        start = rule.weight_decay or 1e-3
        value = solve(residual, (0.0, start, -start, 0.1), "linear")
        if fits(value + declared):
            value = simplest(value + declared, rule.weight_decay, fits) - declared
        return value

    def with_rate(self, form: Form) -> Iterator[Candidate]:
        """A number and the learning rate, both solved for."""

        def best(x: float) -> Rule:
            rule = form.compute(x)
            factor = self.factor(self.tensors(rule), list(self.observed))
            return rule.but(learning_rate=rule.learning_rate * factor)

        value = solve(lambda x: self.residual(best(x)), form.starts, form.scale)
        if not self.fits(best(value)):
            return
        declared = form.declared if isinstance(form.declared, float) else 0.0
        value = simplest(value, declared, lambda x: self.fits(best(x)))
        rule = best(value)
        rate = simplest(
            rule.learning_rate,
            self.rule.learning_rate,
            lambda x: self.fits(rule.but(learning_rate=x)),
        )
        number = Cause(form.code, **{**form.facts, "actual": value})
        both = _both(number, Cause("learning rate {}", actual=rate))
        yield self.candidate(both, rule.but(learning_rate=rate), 2)


def _both(first: Cause, second: Cause) -> Cause:
    """Two changes as one."""
    family = f"{first.kind}, rate"
    return Cause("both", details={"parts": (first, second)}, family=family)
