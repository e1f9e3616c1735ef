"""The cause of a failed rung, looked for where it parts first."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.causes.explanation import Candidate, Explanation, judge
from mnist_fn.shared.parity.causes.gradients import explain_gradients
from mnist_fn.shared.parity.causes.rules import Rule
from mnist_fn.shared.parity.causes.update import explain_update
from mnist_fn.shared.parity.checks import TOLERANCE_IN_EPS
from mnist_fn.shared.parity.porting.layouts import aligned
from mnist_fn.shared.parity.porting.packing import UNKNOWN
from mnist_fn.shared.parity.porting.side import Change, Seen, Step, Weights
from mnist_fn.shared.parity.porting.situation import TWINS, Situation
from mnist_fn.shared.parity.porting.walk import Fault

TRIED = 400  # changes of a program, each a pass through it
NEAR = 12  # of them looked at once more, where none fits
TWIN_ROUNDING = 16  # times what a twin of a changed program does; two draws show some of it
STEPS = 6  # of an update that is to be told from others

Read = Callable[[Seen], np.ndarray | None]


def explain_fault(situation: Situation, fault: Fault) -> Explanation:
    """Which change of the reference's program gives what the port shows at a place."""
    reference = situation.pairing.reference
    changes = [
        change
        for change in reference.changes(situation.left, fault.first, fault.last)
        if not any(a < change.tick < b for a, b in fault.inside)
    ]
    pattern = _pattern(fault.read(situation.left), fault.seen)
    if fault.call is not None:
        pattern = f"{fault.call.kind} parts though its inputs agree: {pattern}"
    return _tried(situation, fault.where, changes, fault.read, fault.seen, pattern)


def explain_loss(situation: Situation) -> Explanation:
    """Which change of the loss gives the port's value and its gradient of the outputs."""
    ends = situation.left.ticks
    changes = situation.pairing.reference.changes(situation.left, *ends)
    seen = _value_and_slope(situation.right, situation.left)
    return _tried(situation, "loss and its gradient of the outputs", changes,
                  lambda s: _value_and_slope(s, s), seen,
                  _ratio(situation.left.loss, situation.right.loss))  # fmt: skip


def explain_slope(situation: Situation) -> Explanation:
    """Which change of the program gives the port's gradients, where all values agree."""
    ends = situation.left.ticks
    names = list(situation.left.gradients)

    def read(seen: Seen) -> np.ndarray:
        parts = [seen.gradients[name].ravel() for name in names if name in seen.gradients]
        return np.concatenate([*parts, np.atleast_1d(seen.loss or 0.0)])

    changes = situation.pairing.reference.changes(situation.left, 0, ends[1])
    seen = read(situation.right)
    expected = {name: situation.left.gradients[name] for name in names}
    own = {name: situation.right.gradients[name] for name in names}
    algebra = explain_gradients(
        expected, own, situation.weights.params, situation.batch.examples,
        str(seen.dtype), f"{situation.name or 'start'}: gradients",
    )  # fmt: skip
    tried = _tried(situation, "gradients", changes, read, seen, algebra.pattern)
    return tried if tried.found or not algebra.found else algebra


def explain_steps(
    rule: dict[str, object] | None, start: Weights, ours: list[Step], theirs: list[Step]
) -> Explanation | None:
    """Which change of the declared rule leads from the port's gradients to its weights."""
    if rule is None or not theirs:
        return None
    trained = {n: p for n, p in start.params.items() if n in theirs[0].gradients}
    return explain_update(
        Rule(**rule),  # pyright: ignore[reportArgumentType]
        [step.gradients for step in theirs],
        trained,
        [{name: step.params[name] for name in trained} for step in theirs],
        dtype=str(next(iter(trained.values())).dtype),
        of=f"the port's weights after {len(theirs)} steps",
    )


def _tried(
    situation: Situation, of: str, changes: Iterable[Change], read: Read, seen: np.ndarray,
    pattern: str,
) -> Explanation:  # fmt: skip
    """Each change tried; where none fits as it is, the near ones once more beside twins of theirs,
    since what a port does may round worse than what is declared.
    """
    declared = _candidate("as declared", read(situation.left), seen, situation.eps)
    near: list[tuple[Change, Candidate]] = []
    for change in list(changes)[:TRIED]:
        got = _read(situation, change, read)
        one = _candidate(change.text, got, seen, situation.eps, change)
        if one.units < declared.units:
            near.append((change, one))
    if not any(one.fits for _, one in near):
        near.sort(key=lambda pair: pair[1].units)
        near = [
            (change, _beside_twins(situation, change, one, read, seen) if i < NEAR else one)
            for i, (change, one) in enumerate(near)
        ]
    return judge(of, declared, [one for _, one in near], pattern)


def _read(situation: Situation, change: Change, read: Read, draw: int | None = None) -> Any:
    try:
        return read(situation.with_change(change, draw))
    except InputError:
        raise
    except Exception:  # a change that can't be computed here is none
        return None


def _beside_twins(
    situation: Situation, change: Change, plain: Candidate, read: Read, seen: np.ndarray
) -> Candidate:
    """The candidate with each entry held to what the changed program's own rounding does there."""
    got = _read(situation, change, read)
    twins = [_read(situation, change, read, draw) for draw in range(TWINS)]
    if got is None or any(twin is None for twin in twins):
        return plain
    own = TWIN_ROUNDING * np.max([np.abs(twin - got) for twin in twins], axis=0)
    return _candidate(change.text, got, seen, situation.eps, change, own)


def _candidate(
    text: str,
    got: np.ndarray | None,
    seen: np.ndarray,
    eps: float,
    change: Change | None = None,
    rounding: np.ndarray | float = 0.0,
) -> Candidate:
    """How far `got` is from `seen`, absolute and in units of the bound on sums and `rounding`."""
    if got is None or got.shape != seen.shape:
        return Candidate(text, np.inf, np.inf)
    a, b = got.astype(np.float64), seen.astype(np.float64)
    gap = np.abs(a - b)
    if not (a != UNKNOWN).any():  # a recording kept nothing of this place
        return Candidate(text, np.inf, np.inf)
    same = (np.isnan(a) & np.isnan(b)) | (a == b) | (a == UNKNOWN)  # infinities of one sign agree
    gap = np.where(same, 0.0, np.where(np.isfinite(gap), gap, np.inf))
    finite = np.abs(b[np.isfinite(b)])
    largest = float(finite.max(initial=0.0)) or 1.0
    bound = TOLERANCE_IN_EPS * eps * largest + np.nan_to_num(rounding, nan=np.inf)
    units = float((gap / bound).max(initial=0.0))
    family, rank = ("", 0) if change is None else (change.family, change.rank)
    return Candidate(text, float(gap.max(initial=0.0)), units, family, rank)


def _value_and_slope(seen: Seen, like: Seen) -> np.ndarray:
    parts = [
        aligned(g, one).ravel()
        for g, one in zip(seen.output_gradients, like.output_gradients, strict=False)
    ]
    return np.concatenate([np.atleast_1d(np.float64(seen.loss or 0.0)), *parts])


def _ratio(ours: float | None, theirs: float | None) -> str:
    if not ours or theirs is None:
        return "the loss parts"
    return f"the port's is {theirs / ours:.9g} times the reference's"


def _pattern(ours: np.ndarray | None, theirs: np.ndarray) -> str:
    """What can be said of two arrays without a cause."""
    if ours is None or ours.shape != theirs.shape:
        return f"shapes {None if ours is None else list(ours.shape)} and {list(theirs.shape)}"
    apart = np.abs(ours.astype(np.float64) - theirs)
    share = float((apart > 1e-9 * max(float(np.abs(ours).max()), 1e-300)).mean())
    text = f"{share:.0%} of the entries part"
    nonzero = np.abs(ours) > 1e-6 * float(np.abs(ours).max() or 1)
    if nonzero.any():
        ratio = (theirs[nonzero] / ours[nonzero]).astype(np.float64)
        if float(np.ptp(ratio)) < 1e-9 * abs(float(ratio.mean())):
            return f"the port's is {float(ratio.mean()):.9g} times the reference's"
    if np.allclose(np.sort(ours, None), np.sort(theirs, None), rtol=1e-12, atol=1e-14):
        text = "the same numbers in another order"
    elif float(np.abs(theirs).max()) == 0:
        text = "the port's is 0"
    return text
