"""What a side was asked and what it answered, as JSON and tensors, and back."""

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.porting.side import (
    Batch,
    Call,
    Change,
    Nudge,
    Seen,
    Side,
    Step,
    Tensors,
    Weights,
)

GRADIENTS = 6  # steps of which gradients are kept too: what a diagnosis takes
SAMPLE = 64  # entries of each tensor that are kept of a change
WINDOW = 3  # calls behind a change that are kept of it
UNKNOWN = float(np.float32(-1.2345e-30))  # an entry that was not kept


class NotRecordedError(InputError):
    """A recording is asked what it was not asked when it was made."""


def question(weights: Weights, batch: Batch, train: bool) -> str:
    """SHA-256 of what a side is asked with."""
    digest = hashlib.sha256(str(train).encode())
    named = [*sorted(weights.params.items()), *sorted(weights.buffers.items())]
    inputs = [*enumerate(batch.inputs), *sorted(batch.named.items()), *_leaves(batch.targets)]
    for name, array in (*named, *inputs):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _leaves(targets: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(targets, dict):
        for key, part in sorted(targets.items()):
            yield from _leaves(part, f"{name}/{key}")
    elif isinstance(targets, tuple):
        for i, part in enumerate(targets):
            yield from _leaves(part, f"{name}/{i}")
    elif targets is not None:
        yield name, targets


class Packed:
    """A side that writes down what it is asked and what it says; each tensor once."""

    def __init__(self, side: Side) -> None:
        self._side, self.tensors = side, dict[str, np.ndarray]()
        self.name, self.channels, self.lacks = side.name, side.channels, side.lacks
        self.rule = side.rule
        self._ids: dict[str, str] = {}
        self.entries: dict[str, dict[str, Any]] = {"passes": {}, "courses": {}}

    def plainly(self) -> tuple["Packed", str] | None:
        """The same with what a framework adds of its own taken out, and what that is: see `Course`;
        its tensors are kept with these.
        """
        found = getattr(self._side, "plainly", lambda: None)()
        if found is None:
            return None
        other = copy.copy(self)
        other._side, other.entries = found[0], {"passes": {}, "courses": {}}
        return other, found[1]

    def spec(self, batch: Batch) -> Weights:
        """See `Side`."""
        return self._side.spec(batch)

    def start(self, batch: Batch) -> Weights:
        """See `Side`."""
        return self._side.start(batch)

    def changes(self, seen: Seen, first: int, last: int) -> list[Change]:
        """See `Side`."""
        return self._side.changes(seen, first, last)

    def observe(
        self, weights: Weights, batch: Batch, train: bool = True, change: Change | None = None
    ) -> Seen:
        """See `Side`."""
        seen = self._side.observe(weights, batch, train, change)
        if change is None:
            self.entries["passes"][question(weights, batch, train)] = self._seen(seen)
        return seen

    def passed(self, weights: Weights, batch: Batch, train: bool, most: int) -> None:
        """One pass, and a sample of what each change of the side's program makes of it."""
        seen = self.observe(weights, batch, train)
        entry = self.entries["passes"][question(weights, batch, train)]
        entry["changes"] = []
        fixed = [c for c in self._side.changes(seen, 0, seen.ticks[1]) if not c.starts]
        for change in fixed[:most]:
            try:
                other = self._side.observe(weights, batch, train, change)
            except Exception:  # noqa: S112 - a change that can't be computed here is none
                continue
            values = [(slot, _sampled(array)) for slot, array in _slots(other, seen, change)]
            joined = np.concatenate([v for _, v in values]) if values else np.zeros(0)
            entry["changes"].append(
                {**asdict(change), "slots": [list(slot) for slot, _ in values],
                 "values": self._id(joined)}
            )  # fmt: skip

    def train(
        self, weights: Weights, batches: Iterator[Batch], nudge: Nudge | None = None
    ) -> Iterator[Step]:
        """See `Side`."""
        first = next(batches)
        steps: list[Any] = []
        self.entries["courses"][question(weights, first, True)] = steps
        again = _again(first, batches)
        for i, step in enumerate(self._side.train(weights, again, nudge)):
            gradients = step.gradients if i < GRADIENTS else {}
            steps.append([*map(self._tensors, (step.params, step.buffers, gradients)),
                          step.loss.hex()])  # fmt: skip
            yield step

    def weights(self, weights: Weights) -> Any:
        """As JSON."""
        return [self._tensors(weights.params), self._tensors(weights.buffers),
                sorted(weights.frozen)]  # fmt: skip

    def batch(self, batch: Batch) -> Any:
        """As JSON."""
        return [self._arrays(batch.inputs), self._tensors(batch.named), self._nested(batch.targets)]

    def _nested(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {"dict": {key: self._nested(part) for key, part in value.items()}}
        if isinstance(value, tuple):
            return {"tuple": [self._nested(part) for part in value]}
        return None if value is None else self._id(value)

    def _seen(self, seen: Seen) -> dict[str, Any]:
        calls = [
            [c.module, c.kind, self._arrays(c.inputs), self._arrays(c.outputs), c.settings, c.began,
             c.ended]
            for c in seen.calls
        ]  # fmt: skip
        return {
            "outputs": self._arrays(seen.outputs), "calls": calls,
            "loss": None if seen.loss is None else seen.loss.hex(),
            "slopes": self._arrays(seen.output_gradients),
            "gradients": self._tensors(seen.gradients), "buffers": self._tensors(seen.buffers),
            "ticks": seen.ticks, "changes": [],
        }  # fmt: skip

    def _arrays(self, arrays: tuple[np.ndarray, ...]) -> list[str]:
        return [self._id(array) for array in arrays]

    def _tensors(self, tensors: Tensors) -> list[list[str]]:
        return [[name, self._id(array)] for name, array in tensors.items()]

    def _id(self, array: np.ndarray) -> str:
        array = np.ascontiguousarray(array)
        key = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
        name = self._ids.setdefault(key.hexdigest(), f"t{len(self._ids)}")
        self.tensors.setdefault(name, array)
        return name


def _again(first: Batch, rest: Iterator[Batch]) -> Iterator[Batch]:
    yield first
    yield from rest


Slot = tuple[Any, ...]  # ("outputs", i), ("slopes", i), ("call", i, "inputs", j), ("loss",), …


def _slots(seen: Seen, like: Seen, change: Change) -> Iterator[tuple[Slot, np.ndarray]]:
    """What is kept of a changed pass: the calls behind the change, the outputs, the loss; where
    these are as they were, the gradients.
    """
    behind = [
        (i, call) for i, call in enumerate(seen.calls)
        if i < len(like.calls) and call.ended >= change.tick
    ][:WINDOW]  # fmt: skip
    for i, call in behind:
        for kind in ("inputs", "outputs"):
            for j, array in enumerate(getattr(call, kind)):
                yield ("call", i, kind, j), array
    for i, array in enumerate(seen.outputs):
        yield ("outputs", i), array
    for i, array in enumerate(seen.output_gradients):
        yield ("slopes", i), array
    if seen.loss is not None:
        yield ("loss",), np.float64(seen.loss).reshape(1)
        if like.loss is not None and abs(seen.loss - like.loss) <= 1e-6 * abs(like.loss):
            for name, array in seen.gradients.items():
                yield ("gradients", name), array


def _places(size: int) -> np.ndarray:
    return np.unique(np.linspace(0, size - 1, min(size, SAMPLE)).astype(np.int64))


def _sampled(array: np.ndarray) -> np.ndarray:
    flat = array.ravel()
    return flat[_places(flat.size)].astype(np.float64) if flat.size else np.zeros(0)


class Unpacked:
    """The way back."""

    def __init__(self, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        self._header, self._tensors = header, tensors
        params, buffers, frozen = header["start"]
        self.start = Weights(self._named(params), self._named(buffers), frozenset(frozen))

    def batch(self, packed: Any) -> tuple[Any, Any]:
        """(inputs, targets), as `check_port` takes them."""
        inputs, named, targets = packed
        return self._named(named) or self._arrays(inputs), self._nested(targets)

    def passed(self, key: str, change: Change | None) -> Seen | None:
        """What was seen; with a change, what was kept of it, the rest UNKNOWN."""
        entry = self._header["passes"].get(key)
        if entry is None:
            return None
        seen = self._seen(entry)
        self._last = entry
        if change is None:
            return seen
        for one in entry["changes"]:
            if one["site"] == change.site and one["key"] == change.key:
                return _expanded(seen, one["slots"], self._tensors[one["values"]])
        return None

    def changes(self, seen: Seen) -> list[Change]:
        """All that were tried of the pass that was asked for last."""
        fields = ("site", "text", "key", "tick", "family", "rank")
        return [Change(**{f: one[f] for f in fields}) for one in self._last["changes"]]

    @property
    def plain(self) -> str:
        """What is taken out of the courses that were kept without it; "" if there are none."""
        return self._header.get("plain", {"note": ""})["note"]

    def course(self, key: str, plainly: bool = False) -> Iterator[Step] | None:
        """The steps of a training."""
        kept = self._header["plain"] if plainly else self._header
        steps = kept["courses"].get(key)
        if steps is None:
            return None
        return (
            Step(
                self._named(params),
                self._named(buffers),
                self._named(gradients),
                float.fromhex(loss),
            )
            for params, buffers, gradients, loss in steps
        )

    def _seen(self, entry: dict[str, Any]) -> Seen:
        calls = [
            Call(module, kind, self._arrays(inputs), self._arrays(outputs), settings, began, ended)
            for module, kind, inputs, outputs, settings, began, ended in entry["calls"]
        ]
        loss = entry["loss"]
        return Seen(
            self._arrays(entry["outputs"]), calls,
            None if loss is None else float.fromhex(loss), self._arrays(entry["slopes"]),
            self._named(entry["gradients"]), self._named(entry["buffers"]),
            (entry["ticks"][0], entry["ticks"][1]),
        )  # fmt: skip

    def _arrays(self, names: list[str]) -> tuple[np.ndarray, ...]:
        return tuple(self._tensors[name] for name in names)

    def _named(self, pairs: list[list[str]]) -> Tensors:
        return {name: self._tensors[key] for name, key in pairs}

    def _nested(self, value: Any) -> Any:
        if isinstance(value, dict):
            if "dict" in value:
                return {key: self._nested(part) for key, part in value["dict"].items()}
            return tuple(self._nested(part) for part in value["tuple"])
        return None if value is None else self._tensors[value]


def _expanded(seen: Seen, slots: list[list[Any]], values: np.ndarray) -> Seen:
    """A pass of which only samples are known."""
    blank = lambda array: np.full(array.shape, UNKNOWN)  # noqa: E731
    outputs, slopes = list(map(blank, seen.outputs)), list(map(blank, seen.output_gradients))
    gradients = {name: blank(g) for name, g in seen.gradients.items()}
    calls = [
        replace(c, inputs=tuple(map(blank, c.inputs)), outputs=tuple(map(blank, c.outputs)))
        for c in seen.calls
    ]
    loss, at = UNKNOWN, 0
    for kind, *where in slots:
        if kind == "loss":
            loss, at = float(values[at]), at + 1
            continue
        if kind == "call":
            array = getattr(calls[where[0]], where[1])[where[2]]
        else:
            array = {"outputs": outputs, "slopes": slopes, "gradients": gradients}[kind][where[0]]
        places = _places(array.size)
        array.ravel()[places] = values[at : at + len(places)]
        at += len(places)
    return Seen(tuple(outputs), calls, loss, tuple(slopes), gradients, seen.buffers, seen.ticks)
