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
        plain = self._program.without_extras()
        if plain is None:
            return None
        packed = copy.copy(self)
        packed._program, packed.entries = plain[0], {"passes": {}, "trainings": {}}
        return packed, plain[1]

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
            values = [(slot, _sampled(array)) for slot, array in _slots(varied, trace, variant)]
            joined = np.concatenate([v for _, v in values]) if values else np.zeros(0)
            entry["variants"].append(
                {
                    **{name: plain(value) for name, value in asdict(variant).items()},
                    "slots": [list(slot) for slot, _ in values],
                    "values": self._id(joined),
                }
            )

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
            return {"tuple": [self._nested(part) for part in value]}
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
        return [self._id(array) for array in arrays]

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
    behind = [
        (i, call)
        for i, call in enumerate(trace.calls)
        if i < len(like.calls) and call.ended >= variant.tick
    ][:WINDOW]
    for i, call in behind:
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

    def variants(self, trace: Trace) -> list[Variant]:
        """All that were tried of the pass that was asked for last."""
        names = [field.name for field in fields(Variant) if field.name != "starts"]
        variants = []
        for kept in self._last["variants"]:
            if "text" in kept:  # recorded when causes were sentences
                kept = {**kept, "code": kept["text"], "declared": None, "at": None}
            variants.append(Variant(**{name: kept[name] for name in names if name in kept}))
        return variants

    @property
    def plain(self) -> str:
        """What is taken out of the trainings that were kept without it; "" if there are none."""
        return self._header.get("plain", {"note": ""})["note"]

    def training(self, key: str, plainly: bool = False) -> Iterator[Step] | None:
        """The steps of a training."""
        header = self._header["plain"] if plainly else self._header
        steps = header["trainings"].get(key)
        if steps is None:
            return None
        return (
            Step(self._named(params), self._named(buffers), self._named(grads), float.fromhex(loss))
            for params, buffers, grads, loss in steps
        )

    def _unpacked_trace(self, entry: dict[str, Any]) -> Trace:
        calls = [
            Call(module, kind, self._arrays(inputs), self._arrays(outputs), settings, began, ended)
            for module, kind, inputs, outputs, settings, began, ended in entry["calls"]
        ]
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
            return tuple(self._nested(part) for part in value["tuple"])
        return None if value is None else self._tensors[value]


def _expanded(trace: Trace, slots: list[list[Any]], values: np.ndarray) -> Trace:
    """A pass of which only samples are known."""
    blank = lambda array: np.full(array.shape, UNKNOWN)  # noqa: E731
    outputs, slopes = list(map(blank, trace.outputs)), list(map(blank, trace.output_gradients))
    gradients = {name: blank(g) for name, g in trace.gradients.items()}
    calls = [
        replace(c, inputs=tuple(map(blank, c.inputs)), outputs=tuple(map(blank, c.outputs)))
        for c in trace.calls
    ]
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
        trace,
        outputs=tuple(outputs),
        calls=calls,
        loss=loss,
        output_gradients=tuple(slopes),
        gradients=gradients,
    )
