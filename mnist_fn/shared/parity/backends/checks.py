"""Two backends on one experiment, and how their figures are compared and judged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mnist_fn.shared.backend import Backend, MakeBackend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.parity.backends.numpy_program import NumpyBackend
from mnist_fn.shared.parity.bounds import sum_bound, sums_reason
from mnist_fn.shared.parity.compare import compare
from mnist_fn.shared.parity.result import Check, Difference
from mnist_fn.shared.state import StateTree, zeros_like
from mnist_fn.shared.streams import batch_order, initial_state

FEW_EXAMPLES = 1000
# units of a hidden layer and batches of a dataset, where steps are to be explained
NARROW, BATCHES = 16, 8


@dataclass(frozen=True)
class Pair:
    """Two backends' makers and one experiment."""

    left: MakeBackend
    right: MakeBackend
    config: Config
    dataset: Dataset
    devices: tuple[str, str] = ("cpu", "cpu")

    def make(self) -> list[Backend]:
        """Both backends."""
        return [make(self.config, self.dataset, device) for make, device in self.makers]

    @property
    def makers(self) -> list[tuple[MakeBackend, str]]:
        """Each side's maker and device."""
        return list(zip((self.left, self.right), self.devices, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """What the sides are called before they are made: their makers' modules."""
        names = []
        for make in (self.left, self.right):
            names.append(getattr(make, "__module__", type(make).__name__).partition(".")[0])
        return tuple(names)

    @cached_property
    def declared(self) -> NumpyBackend:
        """The experiment in NumPy."""
        return NumpyBackend(self.config, self.dataset)

    @cached_property
    def linear(self) -> "Pair":
        """The two as a linear model on few examples, through which pixels can be read."""
        train, test = self.dataset.train.first(FEW_EXAMPLES), self.dataset.test.first(FEW_EXAMPLES)
        size = min(self.config.batch_size, len(train))
        config = self.config.replace(hidden=(), batch_size=size)
        return replace(self, config=config, dataset=replace(self.dataset, train=train, test=test))

    @cached_property
    def narrow(self) -> "Pair | None":
        """The two with few units and few examples; None if there are few units anyway."""
        hidden = tuple(min(width, NARROW) for width in self.config.hidden)
        if hidden == self.config.hidden:
            return None
        train = self.dataset.train.first(BATCHES * self.config.batch_size)
        config = self.config.replace(hidden=hidden)
        return replace(self, config=config, dataset=replace(self.dataset, train=train))

    @cached_property
    def start(self) -> StateTree:
        """The state that both begin with."""
        return initial_state(self.config, self.dataset.pixels, self.dataset.classes)

    @property
    def zeros(self) -> StateTree:
        """The start with all weights 0, which may be written to."""
        return replace(self.start, params=zeros_like(self.start.params))

    def epochs(self, steps: int) -> Iterator[tuple[int, np.ndarray]]:
        """(steps done before, batch order) of each epoch; the last may be cut short."""
        n, size = len(self.dataset.train), self.config.batch_size
        done, epoch = 0, 1
        while done < steps:
            order = batch_order(self.config.seed, epoch, n)[: (steps - done) * size]
            yield done, order
            done, epoch = done + math.ceil(len(order) / size), epoch + 1

    @cached_property
    def first_epoch(self) -> np.ndarray:
        """The first epoch's order of training examples, int32."""
        return batch_order(self.config.seed, 1, len(self.dataset.train))

    @property
    def first_batches(self) -> np.ndarray:
        """The first epoch's first two batches, int32 [2 n]."""
        return self.first_epoch[: 2 * self.config.batch_size]

    @property
    def first_batch(self) -> np.ndarray:
        """The first epoch's first batch, int32 [n]."""
        return self.first_epoch[: self.config.batch_size]

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


def absolute(
    what: str,
    differences: list[Difference],
    bound: float = 0.0,
    reason: str = "equal to the bit",
    step: int | None = None,
) -> list[Check]:
    """Checks on absolute differences; without a bound they must be met to the bit."""
    return [
        Check(f"{what} {d.where}", d, bound, "absolute", reason, step=step) for d in differences
    ]


def compare_numbers(name: str, left: float, right: float, dtype: str = "float64") -> Difference:
    """The difference of two numbers."""
    return compare(name, np.asarray(left, dtype), np.asarray(right, dtype))


def sums(pair: Pair, what: str, difference: Difference) -> Check:
    """A check on sums of many products: a share of the tensor's largest entry."""
    return Check(what, difference, pair.tolerance, "relative", sums_reason(pair.longest_sum))


def number(pair: Pair, what: str, left: float, right: float) -> Check:
    """The same of two numbers."""
    return sums(pair, what, compare_numbers(what, left, right, pair.config.dtype))
