"""Hostile files for every reader, by hypothesis: for the tests and for the evidence run.

Two kinds. *Damaged*: a good file with bytes changed; it must be refused, or mean exactly what it
meant. *Forged*: content changed and every digest computed again, as somebody who reads this code
could do; it must be refused, or give a run that can be shown.
"""

import gzip
import io
import json
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.arrays import MAX_BYTES, read_idx, read_npz
from mnist_fn.shared.data.meaning import read_classes, read_mapping
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.exchange.layers import mlp_of
from mnist_fn.shared.runs import checkpoint, metrics
from mnist_fn.shared.runs.trainer import load_run
from mnist_fn.shared.state import ParamTree, all_finite
from mnist_fn.shared.storage import digest_of
from mnist_fn.shared.streams import MAX_PARAMETERS
from tests.support.hostile_files import (
    EDITS,
    FILES,
    VALUES,
    Files,
    changed,
    documents,
    edited,
    forged_checkpoint,
    sealed,
    zipped,
)
from tests.support.hostile_weights import READERS, STRATEGIES
from tests.support.idx_files import idx_int_bytes


def result_of(run: Any) -> str:
    """All that a run says, as one word; fails if it could not be shown."""
    assert all_finite(run.state)
    weights = checkpoint.weights_digest(run.weights)
    shown = {name: value for name, value in run.summary().items() if name != "run"}
    json.dumps(shown, allow_nan=False)  # what --json prints is JSON
    evaluation = [run.evaluation.predictions.tolist(), run.confusion_matrix.tolist()]
    return digest_of(repr([run.config.to_dict(), shown, run.rows, evaluation, weights]))


class Hostile:
    """Inputs for each reader, made from one good run; counts what became of them."""

    def __init__(self, run: Path, scratch: Path) -> None:
        self.run, self.scratch = run, scratch
        self.good = {name: (run / name).read_bytes() for name in FILES}
        self.meaning = result_of(load_run(run))

    def targets(self) -> dict[str, tuple[st.SearchStrategy, Callable]]:
        """For each reader: what it is given, and what must hold of it."""
        found: dict[str, tuple[st.SearchStrategy, Callable]] = {
            "IDX reader": (self._idx(), self.check_idx),
            "label reader": (self._labels(), self.check_labels),
            "NumPy archive reader": (self._archives(), self.check_archive),
            "mapping reader": (self._mappings(), self.check_mapping),
            "class name reader": (self._class_lists(), self.check_class_list),
            "state dict reader": (STRATEGIES[".pt"], self.check_state_dict),
            "safetensors reader": (STRATEGIES[".safetensors"], self.check_safetensors),
            "config reader": (documents(Config().to_dict()) | VALUES, self.check_config),
        }
        for name in FILES:
            damaged = st.builds(edited, st.just(self.good[name]), EDITS)
            found[f"{name} damaged"] = (
                damaged.map(lambda b, n=name: Files({n: b})),
                self.check_damaged,
            )
        for name in ("run.json", "evaluation.json"):
            forged = documents(json.loads(self.good[name])).map(
                lambda d, n=name: Files({n: sealed(d)})
            )
            found[f"{name} forged"] = (forged, self.check_forged)
        found["checkpoint.safetensors forged"] = (self._checkpoints(), self.check_forged)
        found["metrics.csv forged"] = (self._tables(), self.check_forged)
        return found

    def attack(self, target: str, n: int, shrink: bool = True) -> Counter[str]:
        """Give a reader `n` inputs; raises if one is handled wrongly, the smallest found."""
        strategy, check = self.targets()[target]
        counts: Counter[str] = Counter()
        phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

        @settings(max_examples=n, deadline=None, database=None, derandomize=True, phases=phases,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(strategy)
        def attacked(value: Any) -> None:
            counts["refused" if check(value) else "accepted"] += 1

        attacked()
        return counts

    def check_idx(self, content: bytes) -> bool:
        path = self.scratch / "file"
        path.write_bytes(content)
        if said := _refusal(read_idx, path, 3):
            assert str(path) in said
            return True
        array, _ = read_idx(path, 3)
        assert 0 < array.size <= MAX_BYTES
        return False

    def check_labels(self, content: bytes) -> bool:
        return self._check_array(read_idx, content, 1)

    def check_archive(self, content: bytes) -> bool:
        return self._check_array(read_npz, content, 3)

    def _check_array(self, read: Callable, content: bytes, dimensions: int) -> bool:
        path = self.scratch / "file"
        path.write_bytes(content)
        if said := _refusal(read, path, dimensions):
            assert str(path) in said
            return True
        array, digest = read(path, dimensions)
        assert (array.dtype, array.ndim, len(digest)) == (np.uint8, dimensions, 64)
        assert 0 < array.size <= MAX_BYTES
        return False

    def check_mapping(self, content: bytes) -> bool:
        return self._check_names(read_mapping, content)

    def check_class_list(self, content: bytes) -> bool:
        return self._check_names(read_classes, content, [1, 2, 4])

    def _check_names(self, read: Callable, content: bytes, *more: Any) -> bool:
        path = self.scratch / "names"
        path.write_bytes(content)
        if said := _refusal(read, path, *more):
            assert str(path) in said
            return True
        names = read(path, *more)
        assert set(names) <= set(range(256))
        assert all(name.isprintable() and 0 < len(name) <= 40 for name in names.values())
        return False

    def check_state_dict(self, content: bytes) -> bool:
        return self._check_weights(".pt", content)

    def check_safetensors(self, content: bytes) -> bool:
        return self._check_weights(".safetensors", content)

    def _check_weights(self, suffix: str, content: bytes) -> bool:
        """Refused, or an MLP of finite size."""
        path = self.scratch / f"weights{suffix}"
        path.write_bytes(content)
        trees: list[ParamTree] = []

        def read() -> None:
            trees.append(mlp_of(READERS[suffix](path).tensors, 64, 10, str(path)))

        if said := _refusal(read):
            assert str(path) in said
            return True
        (tree,) = trees
        assert tree["layer1"]["kernel"].shape[0] == 64
        assert sum(one.size for layer in tree.values() for one in layer.values()) <= MAX_PARAMETERS
        return False

    def check_config(self, document: Any) -> bool:
        if _refusal(Config.from_dict, document):
            return True
        config = Config.from_dict(document)
        assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        return False

    def check_damaged(self, files: dict[str, bytes]) -> bool:
        return self._check_run(files, lambda run: result_of(run) == self.meaning)

    def check_forged(self, files: dict[str, bytes]) -> bool:
        return self._check_run(files, lambda run: len(result_of(run)) == 64)

    def _check_run(self, files: dict[str, bytes], good: Callable[[Any], bool]) -> bool:
        for name, content in {**self.good, **files}.items():
            (self.scratch / name).write_bytes(content)
        if said := _refusal(load_run, self.scratch):
            assert str(self.scratch) in said
            return True
        assert good(load_run(self.scratch)), "a wrong result"
        return False

    def _idx(self) -> st.SearchStrategy:
        good = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 4, 3) + bytes(range(60))
        sizes = st.tuples(*[st.integers(0, 9) | st.integers(0, 2**32 - 1)] * 3)
        claims = st.builds(
            lambda size, tail: bytes([0, 0, 8, 3]) + struct.pack(">3I", *size) + tail,
            sizes, st.binary(max_size=80),
        )  # fmt: skip
        plain = st.builds(edited, st.just(good), EDITS) | claims | st.binary(max_size=80)
        zipped = plain.map(lambda content: gzip.compress(content, mtime=0))
        return plain | zipped | st.builds(edited, st.just(gzip.compress(good, mtime=0)), EDITS)

    def _labels(self) -> st.SearchStrategy:
        good = idx_int_bytes(np.arange(40).reshape(5, 8))
        kinds = st.sampled_from([8, 9, 11, 12, 13, 0])
        sizes = st.lists(st.integers(0, 9) | st.integers(0, 2**32 - 1), max_size=4)
        claims = st.builds(
            lambda kind, size, tail: bytes([0, 0, kind, len(size)])
            + struct.pack(f">{len(size)}I", *size) + tail,
            kinds, sizes, st.binary(max_size=80),
        )  # fmt: skip
        plain = st.builds(edited, st.just(good), EDITS) | claims | st.binary(max_size=80)
        return plain | plain.map(lambda content: gzip.compress(content, mtime=0))

    def _archives(self) -> st.SearchStrategy:
        """Damaged archives, and whole ones around damaged or lying arrays."""
        array = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
        npy = io.BytesIO()
        np.save(npy, array)
        words = st.sampled_from(["|u1", "<i8", "|O", "|b1", "<f4", "(" * 90, "'", "V9", "\0"])
        shapes = st.lists(st.integers(-1, 9) | st.integers(0, 2**64), max_size=4).map(tuple)
        lying = st.builds(_npy, shapes | st.text(max_size=9), words, st.binary(max_size=90))
        inner = st.builds(edited, st.just(npy.getvalue()), EDITS) | lying | st.binary(max_size=90)
        names = st.sampled_from(["arr_0.npy", "x.npy", "y.txt"])
        whole = st.builds(zipped, inner, names, st.booleans())
        good = [zipped(npy.getvalue(), "arr_0.npy", packed) for packed in (False, True)]
        return st.builds(edited, st.sampled_from(good), EDITS) | whole | st.binary(max_size=80)

    def _mappings(self) -> st.SearchStrategy:
        good = b"".join(b"%d %d %d\n" % (i, 64 + i, 96 + i) for i in range(1, 27))
        numbers = st.lists(st.lists(st.integers(-1, 2**40), max_size=4), max_size=5)
        lines = numbers.map(lambda rows: "\n".join(" ".join(map(str, r)) for r in rows).encode())
        return st.builds(edited, st.just(good), EDITS) | lines | st.binary(max_size=80)

    def _class_lists(self) -> st.SearchStrategy:
        texts = st.lists(st.text(max_size=50), max_size=6).map(
            lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
        )
        good = "ant\nbee\ncätfish\n".encode()
        return st.builds(edited, st.just(good), EDITS) | texts | st.binary(max_size=80)

    def _checkpoints(self) -> st.SearchStrategy:
        fields = [
            ("schema",),
            ("epoch",),
            ("step",),
            ("run",),
            ("metrics",),
            ("backend",),
            ("other",),
        ]
        good = self.good["checkpoint.safetensors"]
        tensor_change = st.tuples(
            st.sampled_from(sorted(load(good))),
            st.sampled_from(["nan", "inf", "flat", "float32", "int8", "remove", "params/layer1",
                             "params/layerx/kernel", "mu/a/b/c", "\x1b[31m", ""]),
        )  # fmt: skip
        return st.builds(
            lambda changes, tensors: Files(
                {"checkpoint.safetensors": forged_checkpoint(good, changes, tensors, None)}
            ),
            st.lists(st.tuples(st.sampled_from(fields), VALUES), max_size=2),
            st.lists(tensor_change, max_size=2),
        )

    def _tables(self) -> st.SearchStrategy:
        rows = metrics.read_csv(self.run / "metrics.csv", 4)
        change = st.tuples(
            st.sampled_from([(i, name) for i in (0, 3) for name in rows[0]]),
            st.floats() | st.integers() | st.text(max_size=4),
        )

        def forge(changes: list, remove: bool) -> dict[str, bytes]:
            table = changed(rows, changes, remove)
            names = list(table[0])
            lines = [names, *([str(row.get(name, "")) for name in names] for row in table)]
            csv = "".join(",".join(line) + "\n" for line in lines).encode()
            good = self.good["checkpoint.safetensors"]
            checkpoint = forged_checkpoint(good, [], [], csv)
            return Files({"metrics.csv": csv, "checkpoint.safetensors": checkpoint})

        return st.builds(forge, st.lists(change, min_size=1, max_size=3), st.booleans())


def _npy(shape: object, descr: str, values: bytes) -> bytes:
    """An array whose header says what it likes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def _refusal(read: Callable, *arguments: Any) -> str | None:
    """What an InputError said, None if there was none; anything else goes through."""
    try:
        read(*arguments)
    except InputError as error:
        said = str(error)
        assert said.isprintable(), "more than one plain line"
        return said
    return None
