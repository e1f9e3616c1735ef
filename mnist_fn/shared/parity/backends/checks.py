"""Two backends on one experiment, and how their figures are compared and judged."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.backend import Backend, MakeBackend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.parity.backends.relu_boundary import Boundary
from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.compare import compare, compare_trees
from mnist_fn.shared.parity.result import Check, Difference
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.shared.streams import initial_state


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

    @cached_property
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
    boundary: Boundary | None = None,
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
        boundary: units that rounding may switch, with what they do to a gradient.
        times: multiplies the bound on sums.
        reason: of that factor.
    """
    results = []
    for d in compare_trees(left, right, prefix):
        name = d.tensor.removeprefix(prefix)
        check = sums(pair, f"{what} {d.where}", d)
        if times != 1:
            check = replace(
                check,
                tolerance=check.tolerance * times,
                reason=f"{check.reason}, times {times:.3g}: {reason}",
            )
        if not check.passed and boundary and np.isfinite(d.absolute):
            layer, _, kind = name.partition("/")
            a, b = left[layer][kind], right[layer][kind]
            check = _switched(check, prefix + name, what, a, b, boundary, boundary.allowed[name])
        results.append(check)
    return results


def _switched(
    check: Check,
    name: str,
    what: str,
    left: np.ndarray,
    right: np.ndarray,
    boundary: Boundary,
    allowed: np.ndarray,
) -> Check:
    """A check in which units at ReLU's boundary may do what they can, entry by entry."""
    largest = max(float(np.abs(left).max()), float(np.abs(right).max()))
    bound = check.tolerance * largest + allowed
    gap = np.abs(left.astype(np.float64) - right)
    worst = np.unravel_index(int((gap / bound).argmax()), gap.shape)
    d = replace(compare(name, left[worst], right[worst]), index=tuple(map(int, worst)))
    reason = f"{check.reason}, and what {boundary.named} can do"
    return Check(f"{what} {d.where}", d, float(bound[worst]), "absolute", reason)
