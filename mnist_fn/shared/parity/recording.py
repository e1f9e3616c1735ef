"""A program kept in a file: all that the ladder asks of it, for a machine that doesn't have it.

One safetensors file; its header is JSON, its tensors are stored once whatever refers to them, and a
digest stands over both. What a program is asked for is found by a digest of the weights and the
batch that it is asked with, so a recording answers what it was asked then and nothing else.
"""

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mnist_fn.shared.config import PRECISIONS
from mnist_fn.shared.errors import InputError, damaged
from mnist_fn.shared.parity import states
from mnist_fn.shared.parity.batches import read_batches
from mnist_fn.shared.parity.bounds import TRIED
from mnist_fn.shared.parity.diagnosis import STEPS
from mnist_fn.shared.parity.ladder_state import LadderState, Pairing
from mnist_fn.shared.parity.packing import NotRecordedError, Packed, Unpacked, question
from mnist_fn.shared.parity.pairing import called
from mnist_fn.shared.parity.param_map import ParamMap
from mnist_fn.shared.parity.program import (
    DATA_FORMATS,
    Batch,
    Nudge,
    Program,
    Step,
    Tensors,
    Trace,
    Variant,
    Weights,
    check_is_program,
)
from mnist_fn.shared.runs.checkpoint import sealed, unsealed
from mnist_fn.shared.storage import read_bounded, write_atomically

SCHEMA = 1
_KEY = "mnist_fn_port"
MAX_BYTES = 2**34


def record(
    program: Program,
    batches: Any,
    path: str | Path,
    *,
    steps: int = 20,
    precision: str = "float64",
    on_size: Callable[[int], None] = lambda _: None,
) -> int:
    """Keep in a file all that `check_port` asks of a program.

    Args:
        program: a program.
        batches: as for `check_port`, in the layout that the program itself takes.
        path: of the file, `.safetensors`; what was there is replaced when all is computed.
        steps: of the trajectory.
        precision: float64 or float32.
        on_size: told how many bytes it will be, before it is written.

    Returns:
        The file's size in bytes.

    Raises:
        InputError: as `check_port`, or the file can't be written.
    """
    check_is_program("reference", program)
    read = read_batches(batches, precision)
    start = called(program, lambda: program.start(read[0])).cast(precision)
    packed = Packed(program)
    pairing = Pairing(packed, packed, ParamMap(()), start, lambda batch: batch)
    ordinary = LadderState("", pairing, start, read[0])
    called(program, lambda: program.check_deterministic(start, read[0]))
    called(program, lambda: ordinary.left)
    stress = list(states.stress_states(ordinary, read))
    last = _trained(packed, ordinary, stress, read, steps)
    plain = packed.without_extras()
    ends = [last] if plain is None else [last, _trained(plain[0], ordinary, stress, read, steps)]
    for state in (ordinary, *stress):
        packed.passed(state.weights, state.batch, state.train, TRIED)
    for end in ends:  # evaluation is from the end of that training which the ladder goes by
        weights = start if end is None else start.after(end)
        packed.passed(weights, read[0], False, TRIED)
    header = {
        "schema": SCHEMA, "name": program.name, "data_format": program.data_format,
        "unsupported": program.unsupported,
        "rule": program.rule, "rule_is_given": program.rule_is_given,
        "notes": program.notes, "precision": precision,
        "start": packed.weights(start),
        "batches": [packed.batch(batch) for batch in read], **packed.entries,
    }  # fmt: skip
    if plain is not None:
        header["plain"] = {"note": plain[1], "trainings": plain[0].entries["trainings"]}
    data = sealed(header, packed.tensors, _KEY)
    on_size(len(data))
    write_atomically(Path(path), data)
    return len(data)


def _trained(
    packed: Packed,
    ordinary: LadderState,
    stress: list[LadderState],
    batches: list[Batch],
    steps: int,
) -> Step | None:
    """Train from the start and, for few steps, from the stress states; the start's last step."""
    if {"loss", "optimizer"} & packed.unsupported.keys():
        return None
    *_, last = itertools.islice(packed.train(ordinary.weights, itertools.cycle(batches)), steps)
    for state in stress:
        turns = itertools.cycle([state.batch, *batches[1:]])
        list(itertools.islice(packed.train(state.weights, turns), STEPS))
    return last


class Recording(Program):
    """A program out of a file; see `record`. `batches` are those that it was recorded with.

    Raises:
        InputError: no such file, damaged, of another schema, or not a recording.
    """

    recorded = True
    _plain = False  # whether trainings are those without what a framework adds of its own

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        data = read_bounded(self._path, MAX_BYTES)
        what = "a recording of a port's program"
        header, tensors = unsealed(self._path, data, _KEY, what, SCHEMA)
        with _as_recorded(self._path):
            self._kept = Unpacked(header, tensors)
            if header["data_format"] not in DATA_FORMATS or header["precision"] not in PRECISIONS:
                raise ValueError(f"{header['data_format']!r:.40}, {header['precision']!r:.40}")
            super().__init__(f"{header['name']} (recorded)", header["data_format"])
            self.unsupported = dict(header["unsupported"])
            self._declared = rule = header["rule"]
            self.rule_is_given = bool(header.get("rule_is_given"))  # files of before lack it
            for key, value in (rule or {}).items():
                if isinstance(value, list):
                    rule[key] = tuple(value)
            self.precision: str = header["precision"]
            self.notes = list(header["notes"])
            self.batches = list(map(self._kept.batch, header["batches"]))

    def start(self, batch: Batch) -> Weights:
        """The weights that it was recorded with, float64."""
        with _as_recorded(self._path):
            return self._kept.start.cast("float64")

    def run(
        self, weights: Weights, batch: Batch, train: bool = True, variant: Variant | None = None
    ) -> Trace:
        """See `Program`; InputError if this was not asked when it was recorded."""
        with _as_recorded(self._path):
            trace = self._kept.passed(question(weights, batch, train), variant)
        if trace is None:
            raise self._unknown()
        return trace

    def train(
        self,
        weights: Weights,
        batches: Iterator[Batch],
        nudge: Nudge | None = None,
        gradients: Iterator[Tensors] | None = None,
    ) -> Iterator[Step]:
        """See `Program`; as many steps as were recorded."""
        with _as_recorded(self._path):
            key = question(weights, next(iter(batches)), True)
            steps = self._kept.training(key, self._plain)
        if steps is None or nudge is not None or gradients is not None:
            raise self._unknown()
        for packed in steps:
            with _as_recorded(self._path):
                step = self._kept.step(packed)
            yield step

    def without_extras(self) -> tuple["Recording", str] | None:
        """This with gradients clipped to just the norm, if it was recorded; what is left out."""
        if self._plain or not self._kept.plain:
            return None
        plain = copy.copy(self)
        plain._plain = True
        return plain, self._kept.plain

    def variants(self, trace: Trace, first: int, last: int) -> list[Variant]:
        """See `Program`: those that were tried when it was recorded."""
        with _as_recorded(self._path):
            return self._kept.variants(first, last)

    def _unknown(self) -> NotRecordedError:
        return NotRecordedError(
            f"{self._path}: was recorded with other weights or batches than it is asked for; give "
            "the same batches (its own are Recording(…).batches), or record again"
        )


@contextlib.contextmanager
def _as_recorded(path: Path) -> Iterator[None]:
    """Whatever fails in it fails for what the file holds: its digest is no signature."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise damaged(path, f"not what a recording holds, {reason}") from error
