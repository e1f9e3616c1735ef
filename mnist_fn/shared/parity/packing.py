"""What a program was asked and what it answered, as JSON and tensors, and back."""

import copy
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.bounds import SAME_LOSS
from mnist_fn.shared.parity.program import (
    Batch,
    Call,
    Nudge,
    Program,
    Step,
    Tensors,
    Trace,
    Variant,
    Weights,
    nested,
)
from mnist_fn.shared.parity.words import plain

GRADIENTS = 6  # steps of which gradients are kept too: what a diagnosis takes
SAMPLE = 64  # entries of each tensor that are kept of a variant
WINDOW = 3  # calls behind a variant that are kept of it
UNKNOWN = float(np.float32(-1.2345e-30))  # an entry that was not kept


class NotRecordedError(InputError):
    """A recording is asked what it was not asked when it was made."""


def question(weights: Weights, batch: Batch, train: bool) -> str:
    """SHA-256 of what a program is asked with."""
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


class Packed(Program):
    """A program that writes down what it is asked and what it says; each tensor once."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.name, program.data_format)
        self._program, self.unsupported = program, program.unsupported
        self.tensors: dict[str, np.ndarray] = {}
        self._ids: dict[str, str] = {}
        self.entries: dict[str, dict[str, Any]] = {"passes": {}, "trainings": {}}

    def without_extras(self) -> tuple["Packed", str] | None:
        """See `Program`; its tensors are kept with these."""
        stripped = self._program.without_extras()
        if stripped is None:
            return None
        packed = copy.copy(self)
        packed._program, packed.entries = stripped[0], {"passes": {}, "trainings": {}}
        return packed, stripped[1]

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """See `Program`."""
        trace = self._program.run(weights, batch, train, variant)
        if variant is None:
            self.entries["passes"][question(weights, batch, train)] = self._packed_trace(trace)
        return trace

    def passed(self, weights: Weights, batch: Batch, train: bool, most: int) -> None:
        """One pass, and a sample of what each variant of the program's program makes of it."""
        trace = self.run(weights, batch, train)
        entry = self.entries["passes"][question(weights, batch, train)]
        entry["variants"] = []
        fixed = [c for c in self._program.variants(trace, 0, trace.ticks[1]) if not c.starts]
        for variant in fixed[:most]:
            try:
                varied = self._program.run(weights, batch, train, variant)
            except Exception:  # noqa: S112 - a variant that can't be computed here is none
                continue
            slots, samples = [], [np.zeros(0)]
            for slot, array in _slots(varied, trace, variant):
                slots.append(slot)
                samples.append(array.ravel()[_places(array.size)].astype(np.float64))
            values = self._id(np.concatenate(samples))
            entry["variants"].append({**plain(asdict(variant)), "slots": slots, "values": values})

    def train(
        self,
        weights: Weights,
        batches: Iterator[Batch],
        nudge: Nudge | None = None,
        gradients: Iterator[Tensors] | None = None,
    ) -> Iterator[Step]:
        """See `Program`."""
        first = next(batches)
        steps: list[Any] = []
        self.entries["trainings"][question(weights, first, True)] = steps
        again = itertools.chain([first], batches)
        for i, step in enumerate(self._program.train(weights, again, nudge, gradients)):
            grads = step.gradients if i < GRADIENTS else {}
            steps.append([*map(self._tensors, (step.params, step.buffers, grads)), step.loss.hex()])
            yield step

    def weights(self, weights: Weights) -> Any:
        """As JSON."""
        tensors = map(self._tensors, (weights.params, weights.buffers))
        return [*tensors, sorted(weights.frozen)]

    def batch(self, batch: Batch) -> Any:
        """As JSON."""
        return [self._arrays(batch.inputs), self._tensors(batch.named), self._nested(batch.targets)]

    def _nested(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {"dict": {key: self._nested(part) for key, part in value.items()}}
        if isinstance(value, tuple):
            return {"tuple": list(map(self._nested, value))}
        return None if value is None else self._id(value)

    def _packed_trace(self, trace: Trace) -> dict[str, Any]:
        calls = []
        for call in trace.calls:
            arrays = map(self._arrays, (call.inputs, call.outputs))
            calls.append([call.module, call.kind, *arrays, call.settings, call.began, call.ended])
        return {
            "outputs": self._arrays(trace.outputs), "calls": calls,
            "loss": None if trace.loss is None else trace.loss.hex(),
            "slopes": self._arrays(trace.output_gradients),
            "gradients": self._tensors(trace.gradients), "buffers": self._tensors(trace.buffers),
            "ticks": trace.ticks, "names": trace.names, "dropouts": trace.dropouts, "variants": [],
        }  # fmt: skip

    def _arrays(self, arrays: tuple[np.ndarray, ...]) -> list[str]:
        return list(map(self._id, arrays))

    def _tensors(self, tensors: Tensors) -> list[list[str]]:
        return [[name, self._id(array)] for name, array in tensors.items()]

    def _id(self, array: np.ndarray) -> str:
        array = np.ascontiguousarray(array)
        key = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
        name = self._ids.setdefault(key.hexdigest(), f"t{len(self._ids)}")
        self.tensors.setdefault(name, array)
        return name


Slot = tuple[Any, ...]  # ("outputs", i), ("slopes", i), ("call", i, "inputs", j), ("loss",), …


def _slots(trace: Trace, like: Trace, variant: Variant) -> Iterator[tuple[Slot, np.ndarray]]:
    """What is kept of a changed pass: the calls behind the variant, the outputs, the loss; where
    these are as they were, the gradients.
    """
    remaining = WINDOW
    for i, call in enumerate(trace.calls[: len(like.calls)]):
        if remaining and call.ended >= variant.tick:
            remaining -= 1
            for kind in ("inputs", "outputs"):
                for j, array in enumerate(getattr(call, kind)):
                    yield ("call", i, kind, j), array
    for i, array in enumerate(trace.outputs):
        yield ("outputs", i), array
    for i, array in enumerate(trace.output_gradients):
        yield ("slopes", i), array
    if trace.loss is not None:
        yield ("loss",), np.float64(trace.loss).reshape(1)
        if like.loss is not None and abs(trace.loss - like.loss) <= SAME_LOSS * abs(like.loss):
            for name, array in trace.gradients.items():
                yield ("gradients", name), array


def _places(size: int) -> np.ndarray:
    """The entries that are kept of a flattened tensor."""
    return np.unique(np.linspace(0, size - 1, min(size, SAMPLE)).astype(np.int64))


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

    def passed(self, key: str, variant: Variant | None) -> Trace | None:
        """What was shown; with a variant, what was kept of it, the rest UNKNOWN."""
        entry = self._header["passes"].get(key)
        if entry is None:
            return None
        trace = self._unpacked_trace(entry)
        self._last = entry
        if variant is None:
            return trace
        for sample in entry["variants"]:
            places = [(sample["site"], sample["key"]), *map(tuple, sample.get("also", ()))]
            if places == [(variant.site, variant.key), *map(tuple, variant.also)]:
                return _expanded(trace, sample["slots"], self._tensors[sample["values"]])
        return None

    def variants(self, first: int, last: int) -> list[Variant]:
        """Those between two ticks that were tried of the pass that was asked for last."""
        names = {field.name for field in fields(Variant)} - {"starts"}
        variants = []
        for kept in self._last["variants"]:
            if "text" in kept:  # recorded when causes were sentences
                kept = {**kept, "code": kept["text"], "declared": None, "at": None}
            variant = Variant(**{name: kept[name] for name in names & kept.keys()})
            if first <= variant.tick <= last:
                variants.append(variant)
        return variants

    @property
    def plain(self) -> str:
        """What is taken out of the trainings that were kept without it; "" if there are none."""
        return self._header.get("plain", {"note": ""})["note"]

    def training(self, key: str, plainly: bool = False) -> list[Any] | None:
        """The steps of a training, packed; None if it was not recorded."""
        header = self._header["plain"] if plainly else self._header
        steps = header["trainings"].get(key)
        return None if steps is None else list(steps)

    def step(self, packed: Any) -> Step:
        """Unpack a step of a training."""
        params, buffers, grads, loss = packed
        tensors = self._named(params), self._named(buffers), self._named(grads)
        return Step(*tensors, float.fromhex(loss))

    def _unpacked_trace(self, entry: dict[str, Any]) -> Trace:
        calls = []
        for module, kind, inputs, outputs, settings, began, ended in entry["calls"]:
            arrays = self._arrays(inputs), self._arrays(outputs)
            calls.append(Call(module, kind, *arrays, settings, began, ended))
        loss = entry["loss"]
        return Trace(
            self._arrays(entry["outputs"]),
            calls,
            None if loss is None else float.fromhex(loss),
            self._arrays(entry["slopes"]),
            self._named(entry["gradients"]),
            self._named(entry["buffers"]),
            (entry["ticks"][0], entry["ticks"][1]),
            tuple(entry["names"]),
            None if entry["dropouts"] is None else tuple(entry["dropouts"]),
        )

    def _arrays(self, names: list[str]) -> tuple[np.ndarray, ...]:
        return tuple(self._tensors[name] for name in names)

    def _named(self, pairs: list[list[str]]) -> Tensors:
        return {name: self._tensors[key] for name, key in pairs}

    def _nested(self, value: Any) -> Any:
        if isinstance(value, dict):
            if "dict" in value:
                return {key: self._nested(part) for key, part in value["dict"].items()}
            return tuple(map(self._nested, value["tuple"]))
        return None if value is None else self._tensors[value]


def _expanded(trace: Trace, slots: list[list[Any]], values: np.ndarray) -> Trace:
    """A pass of which only samples are known."""
    blank = lambda array: np.full(array.shape, UNKNOWN)  # noqa: E731
    calls = []
    for call in trace.calls:
        inputs, outputs = nested((call.inputs, call.outputs), blank)
        calls.append(replace(call, inputs=inputs, outputs=outputs))
    tensors = trace.outputs, trace.output_gradients, trace.gradients
    outputs, slopes, gradients = nested(tensors, blank)
    loss, offset = UNKNOWN, 0
    for kind, *path in slots:
        if kind == "loss":
            loss, offset = float(values[offset]), offset + 1
            continue
        if kind == "call":
            array = getattr(calls[path[0]], path[1])[path[2]]
        else:
            array = {"outputs": outputs, "slopes": slopes, "gradients": gradients}[kind][path[0]]
        places = _places(array.size)
        array.ravel()[places] = values[offset : offset + len(places)]
        offset += len(places)
    return replace(
        trace, outputs=outputs, calls=calls, loss=loss, output_gradients=slopes, gradients=gradients
    )
