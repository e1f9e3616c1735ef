"""The contract between the experiment and the numerics, and how a backend is found."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import numpy as np

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Split
from mnist_fn.shared.errors import Argument, InputError, MissingExtraError, template
from mnist_fn.shared.evaluation import Evaluation, evaluate
from mnist_fn.shared.state import ParamTree, StateTree

GROUP = "mnist_fn.backends"
GROUPS = "mnist_fn.groups"
DEVICES = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class EpochMetrics:
    """Sums over the examples of an epoch, each taken before the update of its batch."""

    loss_sum: float  # of each example's cross-entropy, without the penalty
    correct: int
    count: int

    @property
    def loss(self) -> float:
        """Mean cross-entropy of an example."""
        return self.loss_sum / self.count

    @property
    def accuracy(self) -> float:
        """Share of examples classified correctly, 0 to 1."""
        return self.correct / self.count


class Backend(Protocol):
    """The numerics of one Config on one Dataset, made by `make(config, dataset, device)`.

    `State` is the backend's own and opaque to everything else. A state that was given to
    `train_epoch` must not be used again (its memory may have been reused).
    """

    name: str
    device: str  # what it computes on, in words: "cpu", "NVIDIA H200"
    # threads: int, of its arithmetic on a CPU; a backend that lacks it is recorded as unknown

    def load(self, state: StateTree) -> Any:
        """The backend's own state from the shared one; `state` is not kept or changed."""
        ...

    def dump(self, state: Any) -> StateTree:
        """The shared form of a state, in NumPy arrays of its own."""
        ...

    def train_epoch(self, state: Any, order: np.ndarray) -> tuple[Any, EpochMetrics]:
        """One pass over the training examples in `order`.

        Args:
            state: what `load` or the last `train_epoch` returned.
            order: int32 [n], cut into batches of `config.batch_size`; the last may be short.
        """
        ...

    def logits(self, state: Any, images: np.ndarray) -> np.ndarray:
        """Logits [n, classes] of uint8 images [n, rows, columns], in the run's precision."""
        ...

    def losses(self, state: Any, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch, means over it; the objective adds the
        penalty λ Σ W². For the parity ladder.
        """
        ...

    def gradients(self, state: Any, indices: np.ndarray) -> ParamTree:
        """Gradient of the objective on one batch of training examples. For the ladder."""
        ...


class MakeBackend(Protocol):
    """What a backend's entry point names."""

    def __call__(self, config: Config, dataset: Dataset, device: str) -> Backend:
        """Make the backend; raises InputError for a device or precision it doesn't have."""
        ...


class Group(Protocol):
    """Runs of one shape that advance together in one program: what a sweep wants of a backend.

    They may differ in seed, λ, learning rate and weight decay. `State` is opaque, as for Backend,
    and holds the models that `load` was given.
    """

    name: str
    device: str
    size: int  # models at once; `load` takes as many or fewer

    def load(self, configs: Sequence[Config], states: Sequence[StateTree]) -> Any:
        """The group's own state from the shared ones, a model for each config."""
        ...

    def dump(self, state: Any) -> list[StateTree]:
        """The shared form of each model's state."""
        ...

    def train_epoch(
        self, state: Any, orders: Sequence[np.ndarray]
    ) -> tuple[Any, list[EpochMetrics]]:
        """One pass of every model over its own order, int32 [n] each; `state` is used up."""
        ...

    def evaluate(self, state: Any, split: Split) -> list[Evaluation]:
        """Each model's evaluation on a split."""
        ...


class MakeGroup(Protocol):
    """What an entry point of the group `mnist_fn.groups` names, under its backend's name."""

    def __call__(
        self, config: Config, dataset: Dataset, device: str, models: int, memory: int | None
    ) -> Group:
        """Make a group for runs of `config`'s shape.

        Args:
            config: any of the runs.
            dataset: of all of them.
            device: one of DEVICES.
            models: how many runs there are to train, in one or more loads.
            memory: bytes that the models may take; None leaves it to the device.

        Raises:
            InputError: a device or precision it doesn't have, or memory for no model at all.
        """
        ...


class GroupOfOne:
    """A Backend as a Group, so that one epoch loop serves single runs and sweeps."""

    size = 1

    def __init__(self, backend: Backend) -> None:
        self.name, self.device = backend.name, backend.device
        self.threads: int | None = getattr(backend, "threads", None)
        self._backend = backend

    def load(self, configs: Sequence[Config], states: Sequence[StateTree]) -> Any:
        """See Group; `configs` is the one that the backend was made for."""
        (state,) = states
        return self._backend.load(state)

    def dump(self, state: Any) -> list[StateTree]:
        """See Group."""
        return [self._backend.dump(state)]

    def train_epoch(
        self, state: Any, orders: Sequence[np.ndarray]
    ) -> tuple[Any, list[EpochMetrics]]:
        """See Group."""
        (order,) = orders
        state, metrics = self._backend.train_epoch(state, order)
        return state, [metrics]

    def evaluate(self, state: Any, split: Split) -> list[Evaluation]:
        """See Group."""
        return [evaluate(self._backend.logits(state, split.images), split.labels)]


def names() -> list[str]:
    """The names of all installed backends, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find(name: str) -> MakeBackend:
    """The maker of a backend, by its entry point's name.

    Raises:
        InputError: no such backend, or it can't be imported.
    """
    return _import(check(name))


def find_group(name: str) -> MakeGroup | None:
    """The maker of a backend's groups, by its entry point in `mnist_fn.groups`.

    None if it has none; its runs are then trained one by one. Errors as for `find`.
    """
    for group in entry_points(group=GROUPS, name=name):
        return _import(group)
    check(name)
    return None


def check(name: str) -> EntryPoint:
    """Where a backend is, by its name; it is not imported. InputError if there is none."""
    for point in entry_points(group=GROUP, name=name):
        return point
    raise InputError("backend", name, names() or "installed; none is")


def _import(point: EntryPoint) -> Any:
    try:
        return point.load()
    except MissingExtraError as error:
        raise MissingExtraError((Argument("backend", point.name), ": ", error)) from error
    except (ImportError, AttributeError) as error:
        raise InputError(
            (Argument("backend", point.name), f": cannot be loaded ({error})")
        ) from error


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Within it, or a function decorated with it, no memory left is an InputError.

    The frameworks' own errors are told by their words: this module imports neither.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # JAX on any device; torch on a GPU; torch on the CPU
        marks = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory")
        if not (isinstance(error, MemoryError) or any(mark in str(error) for mark in marks)):
            raise
        raise InputError(
            f"out of memory ({str(error)[:100] or 'on the host'})",
            hint=template(
                "use a smaller {hidden} or {batch_size}, {precision=float32}, or another {device}"
            ),
        ) from error


def check_device(device: str) -> str:
    """`device` if it is one of DEVICES.

    Raises:
        InputError: it is not.
    """
    if device not in DEVICES:
        raise InputError("device", device, DEVICES)
    return device
