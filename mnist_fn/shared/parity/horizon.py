"""The horizon: how long two backends stay together, beside how long a backend stays with itself.

Training amplifies rounding until two runs of one experiment are as far apart as two seeds. Two
frameworks are as equal as arithmetic allows if they part no faster than *twins* do: one backend
against itself with one weight moved by one ulp, or with its sums in another order; and in float32,
said apart, one with its steps as far off as the frameworks' own difference makes them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.bounds import HORIZON_FACTOR, HORIZON_THRESHOLDS
from mnist_fn.shared.parity.compare import divergence
from mnist_fn.shared.parity.twins import Lane, one_by_one, renumbered_twin, step_error, ulp_twin
from mnist_fn.shared.parity.words import plain
from mnist_fn.shared.wording import control_name

ULP_DRAWS = 3
# From the second epoch on; in the first every step is recorded, and every one of those between in
# which a track passes a threshold: one event may part all tracks, and its step tells nothing then.
STEPS_BETWEEN = 30
NULL = ("ulp twin", "renumbered twin")  # nothing but arithmetic differs
NAMED = "β₂-rounded twin"  # and one known difference of the frameworks


@dataclass
class Track:
    """How far one lane is from another, along the training."""

    name: str
    kind: str  # "frameworks" or one of NULL and NAMED
    lane: Lane = field(repr=False)
    beside: Lane = field(repr=False)
    divergence: list[float] = field(default_factory=list)  # of the weights, at each recorded step
    predictions: list[int] = field(default_factory=list)  # that differ, after each epoch

    def first_above(self, steps: list[int], threshold: float) -> int | None:
        """The first recorded step with a weight further apart than the threshold."""
        for step, gap in zip(steps, self.divergence, strict=True):
            if not gap <= threshold:
                return step
        return None

    def partings(self, steps: list[int]) -> list[int | None]:
        """The first step above each of HORIZON_THRESHOLDS, and the first epoch after which a test
        prediction differs.
        """
        epochs = np.flatnonzero(self.predictions) + 1
        first_epoch = int(epochs[0]) if len(epochs) else None
        return [*(self.first_above(steps, limit) for limit in HORIZON_THRESHOLDS), first_epoch]

    def to_dict(self, steps: list[int]) -> dict[str, Any]:
        """Plain values for JSON; divergences to 3 digits."""
        *first_steps, first_epoch = self.partings(steps)
        return {
            "name": self.name,
            "kind": self.kind,
            "first_step_above": first_steps,
            "first_epoch_with_another_prediction": first_epoch,
            "divergence": [plain(float(f"{gap:.2e}")) for gap in self.divergence],
            "predictions": self.predictions,
        }


def measure(
    pair: Pair, length: int = 100, on_epoch: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Train both backends and their twins side by side.

    Args:
        pair: the two backends and the experiment.
        length: epochs.
        on_epoch: called with each epoch that is done.

    Returns:
        Plain values: `steps` (at which was recorded), `tracks` (see Track) and `claims`.
    """
    recorder = _Recorder(pair, _tracks(pair))
    an_epoch = math.ceil(len(pair.dataset.train) / pair.config.batch_size)
    for epoch, (done, order) in enumerate(pair.epochs(length * an_epoch), start=1):
        recorder.epoch(order, done, 1 if epoch == 1 else STEPS_BETWEEN)
        on_epoch(epoch)
    tracks, steps = recorder.tracks, recorder.steps
    return {
        "config": pair.config.to_dict(),
        "precision": pair.config.precision,
        "thresholds": HORIZON_THRESHOLDS,
        "factor": HORIZON_FACTOR,
        "steps": steps,
        "tracks": [track.to_dict(steps) for track in tracks],
        "claims": claims(tracks, steps),
    }


def table(measured: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows that say when each pair of a document of `measure` diverges."""
    head = ["pair"]
    for limit in measured["thresholds"]:
        head.append(f"a weight is {limit:g} apart")
    rows: list[list[str]] = []
    for track in measured["tracks"]:
        row = [track["name"]]
        for step in track["first_step_above"]:
            row.append(_when("step", step))
        rows.append([*row, _when("epoch", track["first_epoch_with_another_prediction"])])
    return [*head, "a prediction differs"], rows


def _when(unit: str, number: int | None) -> str:
    return "never" if number is None else f"{unit} {number:,}"


def claims_in_words(measured: Mapping[str, Any]) -> list[str]:
    """Return a text for each claim of a document of `measure`, without its subject."""
    texts: list[str] = []
    for claim in measured["claims"]:
        holds = "holds" if claim["holds"] else "does not hold"
        texts.append(
            f"no earlier than the {control_name(claim['twins'])}s, within a factor "
            f"{measured['factor']:g}: {holds}"
        )
    return texts


def claims(tracks: list[Track], steps: list[int]) -> list[dict[str, Any]]:
    """Did the frameworks part sooner than the soonest twin, by more than HORIZON_FACTOR?

    The first claim is what is judged: against the null twins, which differ by nothing but rounding.
    The others say more: against all twins, where some have a difference of the frameworks built
    in, and against each kind. Parting is the first step above each of HORIZON_THRESHOLDS and the
    first epoch with another prediction. What never happened to either is `None` and holds.
    """
    frameworks, *twins = sorted(tracks, key=lambda track: track.kind != "frameworks")
    null = [track for track in twins if track.kind in NULL]
    kinds = {"twin": twins} if len(null) == len(twins) else {"null twin": null, "twin": twins}
    for track in twins:
        kinds.setdefault(track.kind, []).append(track)
    return [_claim(kind, steps, frameworks, group) for kind, group in kinds.items()]


def _claim(kind: str, steps: list[int], frameworks: Track, twins: list[Track]) -> dict[str, Any]:
    partings = [track.partings(steps) for track in (frameworks, *twins)]
    *weights, predictions = map(_sooner, *partings)
    return {
        "twins": kind,
        "draws": len(twins),
        "weights": weights,
        "predictions": predictions,
        "furthest": _furthest(steps, frameworks, twins),
        "holds": all(time["holds"] for time in (*weights, predictions)),
    }


def _furthest(steps: list[int], frameworks: Track, twins: list[Track]) -> dict[str, Any]:
    """The step at which the frameworks are most times as far apart as the furthest twin, until
    they have parted. Not judged: it says what a step at which all part together can't.
    """
    until = frameworks.first_above(steps, HORIZON_THRESHOLDS[-1]) or steps[-1]
    ratios = []
    divergences = zip(steps, frameworks.divergence, *(t.divergence for t in twins), strict=True)
    for step, gap, *twin_gaps in divergences:
        if not (step <= until and gap > 0):
            continue
        most = max(twin_gaps)
        if most >= 0:  # no NaN
            ratios.append((gap / most if most else math.inf, step))
    times, step = max(ratios, default=(0.0, 0))
    return {"times": plain(times), "step": step, "until": until}


def _sooner(frameworks: int | None, *twins: int | None) -> dict[str, Any]:
    reached = [time for time in twins if time is not None]
    factor = None if frameworks is None or not reached else min(reached) / frameworks
    return {
        "frameworks": frameworks,
        "twins": list(twins),
        "factor": factor,
        "holds": frameworks is None or (factor is not None and factor <= HORIZON_FACTOR),
    }


def _tracks(pair: Pair) -> list[Track]:
    backends, start = pair.make(), pair.start
    left, right = (Lane(backend.name, backend, backend.load(start)) for backend in backends)
    tracks = [Track(f"{left.name} and {right.name}", "frameworks", right, left)]
    for draw in range(1, ULP_DRAWS + 1):
        twin = ulp_twin("ulp twin", left.backend, start, draw, pair.config.seed)
        tracks.append(Track(f"{left.name}, one ulp ({draw})", "ulp twin", twin, left))
    error = step_error(pair.config.dtype)
    for side, lane in enumerate((left, right)):
        name = f"{lane.name}, renumbered"
        tracks.append(Track(name, NULL[1], renumbered_twin(NULL[1], pair, side), lane))
        if error:
            twin = renumbered_twin(NAMED, pair, side, error)
            tracks.append(Track(f"{name}, β₂ rounded", NAMED, twin, lane))
    return tracks


class _Recorder:
    """Trains all lanes side by side and writes down how far each track has come."""

    def __init__(self, pair: Pair, tracks: list[Track]) -> None:
        self._dataset, self._size, self.tracks = pair.dataset, pair.config.batch_size, tracks
        self._lanes: list[Lane] = []  # each once
        for track in tracks:
            for lane in (track.beside, track.lane):
                if lane not in self._lanes:
                    self._lanes.append(lane)
        self.steps: list[int] = []

    def epoch(self, order: np.ndarray, done: int, between: int) -> None:
        """One epoch after `done` steps; the weights are recorded every `between` steps."""
        for index in range(0, len(order), between * self._size):
            part = order[index : index + between * self._size]
            self._advance(part, done + index // self._size)
        predictions = {lane: lane.predictions(self._dataset) for lane in self._lanes}
        for track in self.tracks:
            differ = predictions[track.lane] != predictions[track.beside]
            track.predictions.append(int(differ.sum()))

    def _advance(self, part: np.ndarray, done: int) -> None:
        """Train on some batches at once; one by one, from where they began, if a threshold is
        passed in them. It goes on from there, so that what is recorded is what was trained.
        """
        several = len(part) > self._size
        states = [lane.dump() for lane in self._lanes] if several else []
        for lane in self._lanes:
            lane.advance(part, done)
        divergences = self._divergences()
        if not several or not self._passes(divergences):
            self._record(done + math.ceil(len(part) / self._size), divergences)
            return
        for step in one_by_one(self._lanes, states, part, self._size, done):
            self._record(step, self._divergences())

    def _record(self, step: int, divergences: list[float]) -> None:
        self.steps.append(step)
        for track, value in zip(self.tracks, divergences, strict=True):
            track.divergence.append(value)

    def _divergences(self) -> list[float]:
        """How far apart the two lanes of each track are now."""
        params = {lane: lane.params() for lane in self._lanes}
        return [divergence(params[track.lane], params[track.beside]) for track in self.tracks]

    def _passes(self, divergences: list[float]) -> bool:
        """Whether a track passes a threshold for the first time."""
        for track, value in zip(self.tracks, divergences, strict=True):
            for limit in HORIZON_THRESHOLDS:
                if track.first_above(self.steps, limit) is None and not value <= limit:
                    return True
        return False
