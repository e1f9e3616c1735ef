"""Two backends on the ladder: their training, and what is predicted after it."""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.backend import Backend, EpochMetrics
from mnist_fn.shared.parity.backends.checks import Pair, absolute, compare_numbers, sums
from mnist_fn.shared.parity.bounds import (
    CONTROL_FACTOR,
    FLOAT64_BOUND,
    FLOAT64_REASON,
    PREDICTIONS_FACTOR,
    PREDICTIONS_SLACK,
    REPORT_BOUND,
    REPORT_REASON,
)
from mnist_fn.shared.parity.causes.distance import constant_factor
from mnist_fn.shared.parity.compare import compare, compare_trees, divergence
from mnist_fn.shared.parity.result import Check, Difference
from mnist_fn.shared.parity.twins import Lane, one_by_one, renumbered_twin, step_error
from mnist_fn.shared.state import StateTree, named_tensors


class BackendClimb:
    """Two backends, their trainings from one start on the same batches, and in float32 control runs
    beside them.

    In float64 the bound is absolute. In float32 a rounding that turns one ReLU on or off is
    amplified within tens of steps, so what rounding can do is measured: each backend's renumbered
    control run is the same experiment summed in another order, and the backends may differ by no
    more than CONTROL_FACTOR times what either backend and its own control run do, or what one ReLU
    does. That finds gross errors only; the tight rung is float64's.
    """

    def __init__(self, pair: Pair, steps: int = 300) -> None:
        self.pair, self._steps = pair, steps
        self._envelope = pair.config.precision != "float64"
        self._lanes: list[Lane] = []  # the left one's, the right one's, then their control runs'

    @cached_property
    def backends(self) -> list[Backend]:
        """Both, made with the first rung, which one that can't be made fails."""
        return self.pair.make()

    def trajectory(self) -> list[Check]:
        """Of each weight tensor the epoch's end at which it came nearest to its bound; or, at the
        first that is out of bounds, the step at which it became so.
        """
        self._lanes = self._start()
        nearest: dict[str, Check] = {}
        for first, order in self._calls():
            states = [lane.dump() for lane in self._lanes]
            reports = [lane.advance(order, first) for lane in self._lanes]
            last = first + math.ceil(len(order) / self.pair.config.batch_size)
            checks = self._compare(last) + self._reports(last, reports)
            if not all(check.passed for check in checks):
                return self._locate(states, first, order) or checks
            for check in checks:
                tensor = check.difference.tensor
                if tensor not in nearest or check.share > nearest[tensor].share:
                    nearest[tensor] = check
        return list(nearest.values())

    def evaluation(self) -> list[Check]:
        """Classes predicted for the whole test set, after `trajectory`."""
        ours, theirs, *controls = (lane.predictions(self.pair.dataset) for lane in self._lanes)
        bound, reason = 0, "weights this near to each other decide alike"
        if self._envelope:
            changed = max((ours != controls[0]).sum(), (theirs != controls[1]).sum())
            bound, reason = _beside_controls(int(changed))
        difference = differing_predictions(ours, theirs)
        return [Check("predictions that differ", difference, bound, "absolute", reason)]

    def _calls(self) -> list[tuple[int, np.ndarray]]:
        """The epochs; what is less than two in two parts, so that what a backend does from the
        second call of its train_epoch on shows as well.
        """
        calls, size = list(self.pair.epochs(self._steps)), self.pair.config.batch_size
        first, order = calls[0]
        half = math.ceil(len(order) / size) // 2
        if len(calls) > 1 or not half:
            return calls
        return [(first, order[: half * size]), (first + half, order[half * size :])]

    def _start(self) -> list[Lane]:
        pair, start = self.pair, self.pair.start
        lanes = [Lane(backend.name, backend, backend.load(start)) for backend in self.backends]
        if self._envelope:
            larger = step_error(pair.config.dtype)
            lanes += [renumbered_twin("control run", pair, side, larger) for side in (0, 1)]
        return lanes

    def _compare(self, step: int) -> list[Check]:
        ours, theirs, *controls = (lane.params() for lane in self._lanes)
        bound, reason = FLOAT64_BOUND, FLOAT64_REASON
        if self._envelope:
            # One ReLU that rounding turns on or off moves a weight by up to a step, the learning
            # rate. Such an event is rare at first, and that no control run has met one is luck.
            relu = self.pair.config.learning_rate if self.pair.config.hidden else 0.0
            gap = max(divergence(ours, controls[0]), divergence(theirs, controls[1]), relu)
            bound = CONTROL_FACTOR * gap
            reason = f"{CONTROL_FACTOR} × the {gap:.1e} of control runs or of one ReLU"
        return absolute(f"step {step}:", compare_trees(ours, theirs), bound, reason, step)

    def _reports(self, step: int, reports: list[EpochMetrics]) -> list[Check]:
        """Compare what the two report of an epoch: mean loss, correct predictions, examples."""
        ours, theirs, *controls = reports
        bound, reason = 0, "predictions are counted, not measured"
        if self._envelope:
            gaps = (ours.correct - controls[0].correct, theirs.correct - controls[1].correct)
            bound, reason = _beside_controls(max(map(abs, gaps)))
        precision = "float32" if self._envelope else "float64"
        loss_bound = REPORT_BOUND[precision] * max(1.0, abs(ours.loss))
        figures = [
            ("mean loss", ours.loss, theirs.loss, loss_bound, REPORT_REASON[precision]),
            ("correct predictions", ours.correct, theirs.correct, bound, reason),
            ("number of examples", ours.count, theirs.count, 0, "every example counts once"),
        ]
        checks = []
        for name, a, b, limit, why in figures:
            difference = compare_numbers(f"report's {name}", a, b)
            checks += absolute(f"step {step}:", [difference], limit, why, step)
        return checks

    def _locate(self, states: list[StateTree], first: int, order: np.ndarray) -> list[Check]:
        """Train the epoch again, step by step, to the one that goes out of bounds."""
        for step in one_by_one(self._lanes, states, order, self.pair.config.batch_size, first):
            checks = self._compare(step)
            if not all(check.passed for check in checks):
                return checks + self._moments(step)
        return []  # not when one step at a time; the epoch's own checks stand

    def _moments(self, step: int) -> list[Check]:
        """The optimizer's slots at the step that parts, with the factor between them where there is
        one: of clipped gradients m is smaller throughout, and v by its square.
        """
        ours, theirs = (lane.dump() for lane in self._lanes[:2])
        checks = []
        for kind, slot in ours.slots.items():
            tensors = dict(named_tensors(theirs.slots[kind]))
            for name, a in named_tensors(slot):
                b, d = tensors[name], compare(f"{kind}/{name}", a, tensors[name])
                unit = np.full(a.shape, self.pair.tolerance * float(np.abs(a).max() or 1))
                factor = constant_factor(a.astype(np.float64), b.astype(np.float64), unit)
                share = f", {factor:.6g} times throughout" if factor and factor != 1 else ""
                check = sums(self.pair, f"step {step}: {d.where}{share}", d)
                checks.append(replace(check, step=step))
        return checks


def _beside_controls(changed: int) -> tuple[int, str]:
    """The bound on predictions that differ, beside how many do between control runs."""
    bound = PREDICTIONS_FACTOR * changed + PREDICTIONS_SLACK
    return bound, f"{PREDICTIONS_FACTOR} × the control runs' own {changed} + {PREDICTIONS_SLACK}"


def differing_predictions(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """How many predictions differ (absolute) and their share (relative); the first one's values."""
    indices = np.nonzero(ours != theirs)[0]
    first = int(indices[0]) if len(indices) else 0
    a, b = float(ours[first]), float(theirs[first])
    return Difference(
        "prediction", (first,), a, b, float(len(indices)), len(indices) / len(ours), 0.0
    )
