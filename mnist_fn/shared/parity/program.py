"""A program on the ladder: its weights, what it computes from given ones, how it trains."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.bounds import NUDGE_ULPS
from mnist_fn.shared.parity.causes.explanation import Cause
from mnist_fn.shared.streams import raw

Tensors = dict[str, np.ndarray]  # by the program's own names, in the order of computation
Nudge = Callable[[Tensors, int], Tensors]
DATA_FORMATS = ("channels_first", "channels_last")


@dataclass(frozen=True)
class Weights:
    """Parameters and buffers (running averages) under a program's own names, in its own layout."""

    params: Tensors
    buffers: Tensors = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()  # parameters that are not trained, where a program knows

    def cast(self, dtype: str) -> "Weights":
        """The same in a dtype."""
        cast = lambda tensor: tensor.astype(dtype, copy=False)  # noqa: E731
        return replace(self, params=nested(self.params, cast), buffers=nested(self.buffers, cast))

    def after(self, step: "Step") -> "Weights":
        """Return the weights after a step; a buffer that it lacks stays."""
        return replace(self, params=step.params, buffers={**self.buffers, **step.buffers})

    def nudged(self, draw: int) -> "Weights":
        """Each parameter moved by some ulps: see `nudged`."""
        return replace(self, params=nudged(self.params, draw))

    def scaled(self, factor: float) -> "Weights":
        """Each parameter times a factor."""
        return replace(self, params=nested(self.params, lambda tensor: factor * tensor))


def nested(value: Any, change: Callable[[Any], Any]) -> Any:
    """A tuple or dict, of tuples or dicts, of changed arrays."""
    if isinstance(value, dict):
        return {key: nested(part, change) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(nested(part, change) for part in value)
    return None if value is None else change(value)


@dataclass(frozen=True)
class Batch:
    """One batch, as a program takes it."""

    inputs: tuple[np.ndarray, ...]  # what the model is called with, in this order
    named: dict[str, np.ndarray] = field(default_factory=dict)  # and by keyword
    targets: Any = None  # handed to the loss: an array, or a tuple or dict of arrays

    @property
    def examples(self) -> int:
        """How many examples, by the first input's first axis."""
        first = self.arrays[0]
        return len(first) if first.ndim else 1

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All inputs."""
        return (*self.inputs, *self.named.values())

    def changed(
        self, inputs: Callable[[Any], Any], targets: Callable[[Any], Any] | None = None
    ) -> "Batch":
        """Each input changed, and each target."""
        kept = self.targets if targets is None else nested(self.targets, targets)
        return Batch(nested(self.inputs, inputs), nested(self.named, inputs), kept)


@dataclass(frozen=True)
class Call:
    """One call of a module: what went in and what came out."""

    module: str
    kind: str  # the module's class
    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    settings: dict[str, Any] = field(default_factory=dict)  # plain values: eps, momentum, …
    began: int = 0  # in ticks of the program's clock
    ended: int = 0


@dataclass(frozen=True)
class Trace:
    """All that one pass through a program shows."""

    outputs: tuple[np.ndarray, ...]
    calls: list[Call]
    loss: float | None = None
    output_gradients: tuple[np.ndarray, ...] = ()  # of the loss, with respect to the outputs
    gradients: Tensors = field(default_factory=dict)
    buffers: Tensors = field(default_factory=dict)  # after the pass
    ticks: tuple[int, int] = (0, 0)  # when the model and when the loss had ended
    names: tuple[str, ...] = ()  # of the outputs: a key, a field or a place; "" for a single one
    dropouts: tuple[float, ...] | None = None  # rates above 0, sorted; None: they can't be read


@dataclass(frozen=True)
class Step:
    """After one step of training: the gradients it was made of, and what it made."""

    params: Tensors
    buffers: Tensors
    gradients: Tensors
    loss: float

    def without_gradients(self) -> "Step":
        """The same without them: they take as much memory as the weights."""
        return replace(self, gradients={})


@dataclass(frozen=True)
class Variant(Cause):
    """What a port may have in place of one line of a program."""

    site: int
    key: int | str  # what the program knows it by
    tick: int = 0  # when the line is done
    also: tuple[tuple[int, int], ...] = ()  # site and key of other lines that are changed with it
    # a number of the line that is solved for
    starts: tuple[float, ...] = ()  # where to begin; empty: there is none
    scale: str = "log"  # one of causes.search.SCALES
    value: float = 0.0
    # a control run's: norms take their variance in one pass, which another order of sums may be
    control: bool = False
    draw: int | None = None  # and what is rounded is rounded at random, where a program can do so

    def on(self, site: int) -> "Variant | None":
        """What it changes at a line; None where that stays as it is."""
        key = {self.site: self.key, **dict(self.also)}.get(site)
        return None if key is None else replace(self, site=site, key=key)

    def as_control(self, draw: int | None = None) -> "Variant":
        """The same in a control of the program."""
        return replace(self, control=True, draw=draw)


NONE = Variant("", -1, "")  # of no line


class Program:
    """One of the two programs. It computes in the dtype of the weights that it is given.

    Args:
        name: what the verdict calls it.
        data_format: "channels_first" or "channels_last": where its images have their channels.
        loss, optimizer: None where it has none; what needs them is then not supported.

    Raises:
        InputError: another data format.
    """

    recorded = False  # it answers what it was asked when it was recorded, and nothing else
    rule_is_given = False  # by hand, so it may not be what the optimizer does

    def __init__(
        self, name: str, data_format: str, loss: Any = None, optimizer: Any = None
    ) -> None:
        if data_format not in DATA_FORMATS:
            raise InputError(
                f"{name}: data_format={data_format!r}: must be {' or '.join(DATA_FORMATS)}"
            )
        self.name, self.data_format = name, data_format
        self.notes: list[str] = []  # what it had to do to be compared
        self.unsupported: dict[str, str] = {}  # what it can't serve, and why: also modules
        for part, value in (("loss", loss), ("optimizer", optimizer)):
            if value is None:
                self.unsupported[part] = f"{name} was given no {part}"
        self._declared: dict[str, Any] | None = None

    @property
    def rule(self) -> dict[str, Any] | None:
        """Its optimizer's declared rule, where it can be read."""
        return self._declared

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if f"{self.name}: {text}" not in self.notes:
            self.notes.append(f"{self.name}: {text}")

    def spec(self, batch: Batch) -> Weights:
        """Names and shapes; the values don't count."""
        return self.start(batch)

    def start(self, batch: Batch) -> Weights:
        """The weights that it has, float64."""
        raise NotImplementedError

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """One pass, in training mode with loss and gradients, or in evaluation mode without."""
        raise NotImplementedError

    def train(
        self,
        weights: Weights,
        batches: Iterator[Batch],
        nudge: Nudge | None = None,
        gradients: Iterator[Tensors] | None = None,
    ) -> Iterator[Step]:
        """A step for each batch. `nudge` moves the weights after each step, for controls.
        `gradients` are taken in place of the program's, which the steps still show.
        """
        raise NotImplementedError

    def check_deterministic(self, weights: Weights, batch: Batch) -> None:
        """Raise InputError where two runs from the same state differ."""

    def variants(self, trace: Trace, first: int, last: int) -> list[Variant]:
        """What could stand in its program otherwise, between two ticks; may be none."""
        return []

    def without_extras(self) -> "tuple[Program, str] | None":
        """The same without what a framework adds of its own, and what that is."""
        return None

    def in_float32(self, weights: Weights, batch: Batch) -> dict[str, str]:
        """What of it is in float32 though the weights are float64, by name, in words."""
        return {}


def check_is_program(role: str, value: object) -> None:
    """Raise InputError unless a value that was given in a role is a program."""
    if not isinstance(value, Program):
        raise InputError(
            f"{role} is a {type(value).__name__}, not a program; make it with TorchProgram, "
            "FlaxProgram, JaxProgram or Recording"
        )


def random_ulps(draw: int, index: int, n: int) -> np.ndarray:
    """Whole numbers from -NUDGE_ULPS to NUDGE_ULPS, int64 [n], of a control run's stream."""
    words = raw(draw, "twin", index, n)
    return (words % np.uint64(2 * NUDGE_ULPS + 1)).astype(np.int64) - NUDGE_ULPS


def nudged(params: Tensors, draw: int, step: int = 0) -> Tensors:
    """Each weight moved by up to NUDGE_ULPS units in the last place: what a control starts with."""
    moved = {}
    for i, (name, p) in enumerate(params.items()):
        # a stream of its own for each tensor, step and draw
        ulps = random_ulps(draw, 2**20 * step + i, p.size)
        moved[name] = (p + np.spacing(abs(p)) * ulps.reshape(p.shape)).astype(p.dtype)
    return moved
