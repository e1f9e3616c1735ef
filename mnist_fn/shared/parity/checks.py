"""What a rung of the ladder is made of: two backends' figures, compared and judged."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fn.shared.backend import Backend, MakeBackend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.backends.kinks import Kinks
from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.compare import Difference, compare, compare_trees, plain
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.shared.streams import initial_state

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Check:
    """One comparison of a rung with the bound it is held to."""

    what: str
    difference: Difference
    tolerance: float
    measure: str  # which figure of the difference the bound is on: "absolute" or "relative"
    reason: str
    state: str = ""  # which stress state it was made in; "" at the ordinary start
    step: int | None = None  # after which step of a training

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bound; what is not finite never is."""
        value = getattr(self.difference, self.measure)
        return bool(np.isfinite(value)) and value <= self.tolerance

    @property
    def share(self) -> float:
        """The difference as a share of its bound; where the bound is 0, the difference."""
        value = getattr(self.difference, self.measure)
        return value / self.tolerance if self.tolerance else value

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the reason, which a rung gives once."""
        return {
            "what": self.what,
            **self.difference.to_dict(),
            "tolerance": plain(self.tolerance),
            "measure": self.measure,
            **({"state": self.state} if self.state else {}),
            **({"step": self.step} if self.step is not None else {}),
        }


@dataclass(frozen=True)
class Rung:
    """A rung's checks, the worst of which speaks for it."""

    name: str
    checks: list[Check] = field(repr=False)
    traceback: str = ""  # of the error that ended it

    @property
    def passed(self) -> bool:
        """Whether every check is within its bound, and there is one."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def worst(self) -> Check:
        """The first check that fails, else the one nearest to its bound."""
        for check in self.checks:
            if not check.passed:
                return check
        return max(self.checks, key=lambda check: check.share)

    @property
    def failed(self) -> list[Check]:
        """All checks that are out of their bounds, in the order of the network."""
        return [check for check in self.checks if not check.passed]

    @property
    def held(self) -> list[Check]:
        """All checks that are within."""
        return [check for check in self.checks if check.passed]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rung": self.name,
            "passed": self.passed,
            "worst": {**self.worst.to_dict(), "reason": self.worst.reason},
            "checks": [{**check.to_dict(), "passed": check.passed} for check in self.checks],
            **({"traceback": self.traceback} if self.traceback else {}),
        }


@dataclass(frozen=True)
class Pair:
    """Two backends' makers and one experiment."""

    left: MakeBackend
    right: MakeBackend
    config: Config
    dataset: Dataset
    devices: tuple[str, str] = ("cpu", "cpu")

    def make(self, config: Config | None = None, dataset: Dataset | None = None) -> list[Backend]:
        """Both backends, for another config or dataset if one is given."""
        config, dataset = config or self.config, dataset or self.dataset
        return [make(config, dataset, device) for make, device in self.makers]

    @property
    def makers(self) -> list[tuple[MakeBackend, str]]:
        """Each side's maker and device."""
        return list(zip((self.left, self.right), self.devices, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """What the sides are called before they are made: their makers' modules."""
        return tuple(
            getattr(make, "__module__", type(make).__name__).partition(".")[0]
            for make in (self.left, self.right)
        )

    @property
    def start(self) -> StateTree:
        """The state that both begin with."""
        return initial_state(self.config, self.dataset.pixels, self.dataset.classes)

    @property
    def tolerance(self) -> float:
        """The bound on sums, relative to a tensor's largest entry: see `sum_bound`."""
        return sum_bound(self.longest_sum, self.config.dtype)

    @property
    def longest_sum(self) -> int:
        """Terms of the longest sum of products: over pixels, a layer's units, or a batch.

        The penalty's squares are more, but all positive, and λ makes their sum a small part of the
        objective.
        """
        return max(self.dataset.pixels, *self.config.hidden, self.config.batch_size)


def run_rung(name: str, checks: Callable[[], list[Check]], sides: tuple[str, ...] = ()) -> Rung:
    """A rung from its checks; an error inside a backend, or no check, is a difference without
    bound.

    `sides` are the names of the backends, to say whose error it is.
    """
    trace = ""
    try:
        found = checks()
        text, reason = "nothing was compared", "there must be something to compare"
    except InputError:
        raise
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        text = raised(error, sides)
        found, reason = [], "must not raise"
    if not found:
        found = [Check(text, Difference.infinite(text), 0.0, "absolute", reason)]
    return Rung(name, found, trace)


def raised(error: BaseException, sides: tuple[str, ...] = ()) -> str:
    """An error in a line: what, whose, in which file and line."""
    said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
    steps = list(traceback.extract_tb(error.__traceback__))
    outside = [step for step in steps if not step.filename.startswith(str(HERE))]
    if not outside:
        return said
    # the deepest line of the backend's own package: its libraries' lines say less
    library = ("site-packages", "dist-packages", "/lib/python")
    own = [step for step in outside if not any(part in step.filename for part in library)]
    last = (own or outside)[-1]
    path = Path(last.filename)
    where = f"{path.parent.name}/{path.name}, line {last.lineno}, in {last.name}"
    theirs = [side for side in sides if any(f"/{side}" in step.filename for step in outside)]
    whose = f"{theirs[0] if theirs else ' or '.join(dict.fromkeys(sides))}: " if sides else ""
    return f"{whose}{said} ({where})"


def bitwise(what: str, differences: list[Difference]) -> list[Check]:
    """Checks that must be met to the bit."""
    return [Check(f"{what} {d.where}", d, 0.0, "absolute", "equal to the bit") for d in differences]


def sums(pair: Pair, what: str, difference: Difference) -> Check:
    """A check on sums of many products: a share of the tensor's largest entry."""
    return Check(what, difference, pair.tolerance, "relative", sums_reason(pair.longest_sum))


def trees(
    pair: Pair,
    what: str,
    left: ParamTree,
    right: ParamTree,
    prefix: str = "",
    kinks: Kinks | None = None,
    times: float = 1.0,
    reason: str = "",
) -> list[Check]:
    """Checks on each named tensor of two trees.

    Args:
        pair: whose precision sets the bound.
        what: stands before each tensor's name.
        left: one side's.
        right: the other's.
        prefix: of the names.
        kinks: units that rounding may switch, with what they do to a gradient.
        times: multiplies the bound on sums.
        reason: of that factor.
    """
    found = []
    for d in compare_trees(left, right, prefix):
        name = d.tensor.removeprefix(prefix)
        check = sums(pair, f"{what} {d.where}", d)
        if times != 1:
            check = replace(check, tolerance=check.tolerance * times,
                            reason=f"{check.reason}, times {times:.3g}: {reason}")  # fmt: skip
        if not check.passed and kinks and np.isfinite(d.absolute):
            layer, _, kind = name.partition("/")
            a, b = left[layer][kind], right[layer][kind]
            check = _switched(check, prefix + name, what, a, b, kinks, kinks.allowed[name])
        found.append(check)
    return found


def _switched(
    check: Check,
    name: str,
    what: str,
    left: np.ndarray,
    right: np.ndarray,
    kinks: Kinks,
    allowed: np.ndarray,
) -> Check:
    """A check in which units at their kinks may do what they can, entry by entry, and no more."""
    largest = max(float(np.abs(left).max()), float(np.abs(right).max()))
    bound = check.tolerance * largest + allowed
    gap = np.abs(left.astype(np.float64) - right)
    at = np.unravel_index(int((gap / bound).argmax()), gap.shape)
    d = replace(compare(name, left[at], right[at]), index=tuple(map(int, at)))
    reason = f"{check.reason}, and what {kinks.named} can do"
    return Check(f"{what} {d.where}", d, float(bound[at]), "absolute", reason)
