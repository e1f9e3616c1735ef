"""Two backends on the ladder: their training, and what is predicted after it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from mnist_fn.shared.backend import Backend, EpochMetrics
from mnist_fn.shared.parity.backends.checks import Pair, sums
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
from mnist_fn.shared.parity.twins import Lane, renumbered_twin, step_error
from mnist_fn.shared.state import StateTree, named_tensors
from mnist_fn.shared.streams import batch_order


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
        self._lanes: list[Lane] = []  # left, right, then their control runs

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
        left, right, *controls = (lane.predictions(self.pair.dataset) for lane in self._lanes)
        bound, reason = 0, "weights this near to each other decide alike"
        if self._envelope:
            changed = max((left != controls[0]).sum(), (right != controls[1]).sum())
            bound = PREDICTIONS_FACTOR * int(changed) + PREDICTIONS_SLACK
            reason = f"{PREDICTIONS_FACTOR} × the control runs' own {changed} + {PREDICTIONS_SLACK}"
        difference = differing_predictions(left, right)
        return [Check("predictions that differ", difference, bound, "absolute", reason)]

    def _calls(self) -> list[tuple[int, np.ndarray]]:
        """The epochs; what is less than two in two parts, so that what a backend does from the
        second call of its train_epoch on shows as well.
        """
        calls, size = list(epochs(self.pair, self._steps)), self.pair.config.batch_size
        half = math.ceil(len(calls[0][1]) / size) // 2
        if len(calls) > 1 or not half:
            return calls
        (first, order) = calls[0]
        return [(first, order[: half * size]), (first + half, order[half * size :])]

    def _start(self) -> list[Lane]:
        pair, start = self.pair, self.pair.start
        lanes = [Lane(backend.name, backend, backend.load(start)) for backend in self.backends]
        if self._envelope:
            twin = partial(renumbered_twin, larger=step_error(pair.config.dtype))
            lanes += [
                twin("control run", make, pair.config, pair.dataset, device, start, draw)
                for draw, (make, device) in enumerate(pair.makers)
            ]
        return lanes

    def _compare(self, step: int) -> list[Check]:
        left, right, *controls = (lane.params() for lane in self._lanes)
        bound, reason = FLOAT64_BOUND, FLOAT64_REASON
        if self._envelope:
            control_gap = max(
                divergence(left, controls[0]), divergence(right, controls[1]), self._one_relu
            )
            bound = CONTROL_FACTOR * control_gap
            reason = f"{CONTROL_FACTOR} × the {control_gap:.1e} of control runs or of one ReLU"
        return [
            Check(f"step {step}: {d.where}", d, bound, "absolute", reason, step=step)
            for d in compare_trees(left, right)
        ]

    def _reports(self, step: int, reports: list[EpochMetrics]) -> list[Check]:
        """What the two say of the epoch that they have trained: its mean loss, and how many
        predictions were right of how many.
        """
        left, right, *controls = reports
        precision = "float32" if self._envelope else "float64"
        correct_bound, reason = 0, "predictions are counted, not measured"
        if self._envelope:
            control_gap = max(
                abs(left.correct - controls[0].correct), abs(right.correct - controls[1].correct)
            )
            correct_bound = PREDICTIONS_FACTOR * control_gap + PREDICTIONS_SLACK
            reason = (
                f"{PREDICTIONS_FACTOR} × the control runs' own {control_gap} + {PREDICTIONS_SLACK}"
            )
        loss_bound = REPORT_BOUND[precision] * max(1.0, abs(left.loss))
        figures = [
            ("mean loss", left.loss, right.loss, loss_bound, REPORT_REASON[precision]),
            ("correct predictions", left.correct, right.correct, correct_bound, reason),
            ("number of examples", left.count, right.count, 0, "every example counts once"),
        ]
        checks = []
        for name, ours, theirs, bound, why in figures:
            d = compare(f"report's {name}", np.array(float(ours)), np.array(float(theirs)))
            checks.append(Check(f"step {step}: {d.tensor}", d, bound, "absolute", why, step=step))
        return checks

    def _moments(self, step: int) -> list[Check]:
        """Both moments at the step that parts, with the factor between them where there is one:
        of clipped gradients m is smaller throughout, and v by its square.
        """
        left, right = (lane.dump() for lane in self._lanes[:2])
        checks = []
        for kind in left.slots:
            trees = left.trees()[kind], right.trees()[kind]
            for d, (_, a), (_, b) in zip(
                compare_trees(*trees, f"{kind}/"), *map(named_tensors, trees), strict=True
            ):
                unit = np.full(a.shape, self.pair.tolerance * float(np.abs(a).max() or 1))
                factor = constant_factor(a.astype(np.float64), b.astype(np.float64), unit)
                share = f", {factor:.6g} times throughout" if factor and factor != 1 else ""
                check = sums(self.pair, f"step {step}: {d.where}{share}", d)
                checks.append(replace(check, step=step))
        return checks

    @property
    def _one_relu(self) -> float:
        """What one ReLU that rounding turns on or off does to a weight: up to a step, the learning
        rate. Such an event is rare at first, and that no control run has met one yet is luck.
        """
        return self.pair.config.learning_rate if self.pair.config.hidden else 0.0

    def _locate(self, states: list[StateTree], first: int, order: np.ndarray) -> list[Check]:
        """Train the epoch again, step by step, to the one that goes out of bounds."""
        for lane, state in zip(self._lanes, states, strict=True):
            lane.state = lane.backend.load(state)
        size = self.pair.config.batch_size
        for step, index in enumerate(range(0, len(order), size), start=first):
            for lane in self._lanes:
                lane.advance(order[index : index + size], step)
            checks = self._compare(step + 1)
            if not all(check.passed for check in checks):
                return checks + self._moments(step + 1)
        return []  # not when one step at a time; the epoch's own checks stand


def epochs(pair: Pair, steps: int) -> Iterator[tuple[int, np.ndarray]]:
    """(steps done before, batch order) of each epoch; the last may be cut short."""
    n, size = len(pair.dataset.train), pair.config.batch_size
    done, epoch = 0, 1
    while done < steps:
        order = batch_order(pair.config.seed, epoch, n)[: (steps - done) * size]
        yield done, order
        done, epoch = done + math.ceil(len(order) / size), epoch + 1


def differing_predictions(left: np.ndarray, right: np.ndarray) -> Difference:
    """How many predictions differ (absolute) and their share (relative); the first one's values."""
    indices = np.nonzero(left != right)[0]
    first = int(indices[0]) if len(indices) else 0
    a, b = float(left[first]), float(right[first])
    return Difference(
        "prediction", (first,), a, b, float(len(indices)), len(indices) / len(left), 0.0
    )
