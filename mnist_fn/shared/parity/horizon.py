"""The horizon: how long two backends stay together, beside how long a backend stays with itself.

Training amplifies rounding until two runs of one experiment are as far apart as two seeds. Two
frameworks are as equal as arithmetic allows if they part no faster than *twins* do: one backend
against itself with one weight moved by one ulp, or with its sums in another order and its steps as
far off as a float32 β₂ makes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mnist_fn.shared.parity.checks import Pair
from mnist_fn.shared.parity.compare import divergence, plain
from mnist_fn.shared.parity.trajectory import epochs
from mnist_fn.shared.parity.twins import Lane, renumbered_twin, ulp_twin

# In float32 an ulp of a weight is more than the first; there the second tells.
THRESHOLDS = (1e-9, 1e-2)
ULP_DRAWS = 3
STEPS_BETWEEN = 30  # from the second epoch on; in the first every step is recorded
# The claim: the frameworks part no more than so many times sooner than the soonest twin.
FACTOR = 2.0


@dataclass
class Track:
    """How far one lane is from another, along the training."""

    name: str
    kind: str  # "frameworks", "ulp twin" or "renumbered twin"
    lane: Lane = field(repr=False)
    beside: Lane = field(repr=False)
    divergence: list[float] = field(default_factory=list)  # of the weights, at each recorded step
    predictions: list[int] = field(default_factory=list)  # that differ, after each epoch

    def first_above(self, steps: list[int], threshold: float) -> int | None:
        """The first recorded step with a weight further apart than the threshold."""
        pairs = zip(steps, self.divergence, strict=True)
        return next((step for step, apart in pairs if not apart <= threshold), None)

    @property
    def first_prediction(self) -> int | None:
        """The first epoch after which a test prediction differs."""
        return next((i for i, n in enumerate(self.predictions, start=1) if n), None)

    def to_dict(self, steps: list[int]) -> dict[str, Any]:
        """Plain values for JSON; divergences to 3 digits."""
        return {
            "name": self.name,
            "kind": self.kind,
            "first_step_above": [self.first_above(steps, limit) for limit in THRESHOLDS],
            "first_epoch_with_another_prediction": self.first_prediction,
            "divergence": [plain(float(f"{apart:.2e}")) for apart in self.divergence],
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
    tracks = _tracks(pair)
    lanes = list({id(lane): lane for t in tracks for lane in (t.beside, t.lane)}.values())
    size = pair.config.batch_size
    an_epoch = -(-len(pair.dataset.train) // size)
    steps: list[int] = []
    for epoch, (done, order) in enumerate(epochs(pair, length * an_epoch), start=1):
        chunk = size if epoch == 1 else STEPS_BETWEEN * size
        for at in range(0, len(order), chunk):
            part = order[at : at + chunk]
            for lane in lanes:
                lane.advance(part, done + at // size)
            steps.append(done + -(-(at + len(part)) // size))
            _record_weights(tracks, lanes)
        _record_predictions(pair, tracks, lanes)
        on_epoch(epoch)
    return {
        "config": pair.config.to_dict(),
        "precision": pair.config.precision,
        "thresholds": THRESHOLDS,
        "factor": FACTOR,
        "steps": steps,
        "tracks": [track.to_dict(steps) for track in tracks],
        "claims": claims(tracks, steps),
    }


def claims(tracks: list[Track], steps: list[int]) -> list[dict[str, Any]]:
    """Against all twins together, which is what is judged, and against each kind: did the
    frameworks part sooner than the soonest, by more than FACTOR?

    Parting is the first step above each of THRESHOLDS and the first epoch with another prediction.
    What never happened to either is `None` and holds.
    """
    frameworks, *others = sorted(tracks, key=lambda track: track.kind != "frameworks")
    kinds = {"twin": others}
    for track in others:
        kinds.setdefault(track.kind, []).append(track)
    found = []
    for kind, twins in kinds.items():
        both = (frameworks, *twins)
        weights = [_sooner(*(t.first_above(steps, limit) for t in both)) for limit in THRESHOLDS]
        predictions = _sooner(*(t.first_prediction for t in both))
        holds = all(time["holds"] for time in (*weights, predictions))
        found.append(
            {"twins": kind, "draws": len(twins), "weights": weights, "predictions": predictions,
             "holds": holds}
        )  # fmt: skip
    return found


def _sooner(frameworks: int | None, *twins: int | None) -> dict[str, Any]:
    reached = [time for time in twins if time is not None]
    factor = None if frameworks is None or not reached else min(reached) / frameworks
    return {
        "frameworks": frameworks,
        "twins": list(twins),
        "factor": factor,
        "holds": frameworks is None or (factor is not None and factor <= FACTOR),
    }


def _tracks(pair: Pair) -> list[Track]:
    backends, start = pair.make(), pair.start
    left, right = (Lane(backend.name, backend, backend.load(start)) for backend in backends)
    tracks = [Track(f"{left.name} and {right.name}", "frameworks", right, left)]
    for draw in range(1, ULP_DRAWS + 1):
        twin = ulp_twin("ulp twin", left.backend, start, draw, pair.config.seed)
        tracks.append(Track(f"{left.name}, one ulp ({draw})", "ulp twin", twin, left))
    sides = zip(pair.makers, (left, right), strict=True)
    for draw, ((make, device), lane) in enumerate(sides):
        twin = renumbered_twin("twin", make, pair.config, pair.dataset, device, start, draw)
        tracks.append(Track(f"{lane.name}, renumbered", "renumbered twin", twin, lane))
    return tracks


def _record_weights(tracks: list[Track], lanes: list[Lane]) -> None:
    params = {id(lane): lane.params() for lane in lanes}
    for track in tracks:
        apart = divergence(params[id(track.lane)], params[id(track.beside)])
        track.divergence.append(apart)


def _record_predictions(pair: Pair, tracks: list[Track], lanes: list[Lane]) -> None:
    found = {id(lane): lane.predictions(pair.dataset) for lane in lanes}
    for track in tracks:
        differ = found[id(track.lane)] != found[id(track.beside)]
        track.predictions.append(int(differ.sum()))
