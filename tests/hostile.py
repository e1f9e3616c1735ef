"""Hostile files for every reader, by hypothesis: for the tests and for the evidence run.

Two kinds. *Damaged*: a good file with bytes changed; it must be refused, or mean exactly what it
meant. *Forged*: content changed and every digest made anew, as somebody who reads this code could
do; it must be refused, or give a run that can be shown.
"""

import copy
import gzip
import hashlib
import json
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from mnist_fn.shared import checkpoint, metrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.idx import MAX_BYTES, read_idx
from mnist_fn.shared.state import all_finite
from mnist_fn.shared.storage import digest_of
from mnist_fn.shared.trainer import load_run

FILES = ("run.json", "metrics.csv", "checkpoint.safetensors", "evaluation.json")
DEEP: Any = 0
for _ in range(400):
    DEEP = [DEEP]
NASTY = st.sampled_from(
    [None, True, 0, -1, 2**31, 2**63, 10**400, -(10**400), 0.5, 1e308, "", "x", "\x1b[31mred",
     "\ud800", "../../etc/passwd", "finished", "jax", [], [[]], [65_536, 65_536], {}, {"": 0}, DEEP]
)  # fmt: skip
VALUES = NASTY | st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "remove", "repeat"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=3,
)


def edited(good: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, new in edits:
        at = int(where * max(0, len(good) - 1))
        if kind == "flip":
            good = good[:at] + bytes([(good[at] if good else 0) ^ new[0]]) + good[at + 1 :]
        elif kind == "cut":
            good = good[:at]
        elif kind == "insert":
            good = good[:at] + new + good[at:]
        elif kind == "remove":
            good = good[:at] + good[at + len(new) :]
        else:
            good = good[:at] + good[max(0, at - new[0]) :]
    return good


def places(document: Any, here: tuple = ()) -> list[tuple]:
    """The way to each value in a JSON document; of a list to its first alone."""
    inner = document.items() if isinstance(document, dict) else enumerate(document[:1])
    found = []
    for key, value in inner:
        found.append((*here, key))
        if isinstance(value, dict | list):
            found += places(value, (*here, key))
    return found


def changed(document: Any, changes: list[tuple[tuple, Any]], remove: bool) -> Any:
    document = copy.deepcopy(document)
    for (*way, last), value in changes:
        try:
            holder = document
            for key in way:
                holder = holder[key]
            place = str(last) if isinstance(holder, dict) else last  # a change made it one
            if remove:
                del holder[place]
            else:
                holder[place] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return document


def documents(good: dict) -> st.SearchStrategy:
    change = st.tuples(st.sampled_from(places(good)), VALUES)
    return st.builds(
        changed, st.just(good), st.lists(change, min_size=1, max_size=3), st.booleans()
    )


def sealed(document: dict) -> bytes:
    document = {key: value for key, value in document.items() if key != "digest"}
    return json.dumps({**document, "digest": digest_of(document)}).encode()


def forged_checkpoint(good: bytes, changes: list, tensor_changes: list, csv: bytes | None) -> bytes:
    length = int.from_bytes(good[:8], "little")
    header = json.loads(json.loads(good[8 : 8 + length])["__metadata__"]["mnist_fn"])
    header = changed(header, changes, remove=False)
    tensors = load(good)
    for name, change in tensor_changes:
        if (tensor := tensors.pop(name, None)) is None or change == "remove":
            continue
        if change in ("nan", "inf") and tensor.dtype.kind == "f":
            tensors[name] = np.full_like(tensor, float(change))
        elif change == "flat":
            tensors[name] = tensor.ravel()
        elif change in ("float32", "int8"):
            tensors[name] = tensor.astype(change)
        else:
            tensors[change] = tensor
    header.pop("digest", None)
    if csv is not None:
        header["metrics"] = hashlib.sha256(csv).hexdigest()
    header["digest"] = checkpoint._digest(header, tensors)
    return save(tensors, metadata={"mnist_fn": json.dumps(header)})


def result_of(run: Any) -> str:
    """All that a run says, as one word; fails if it could not be shown."""
    assert all_finite(run.state)
    weights = checkpoint.weights_digest(run.weights)
    shown = {name: value for name, value in run.summary().items() if name != "run"}
    json.dumps(shown, allow_nan=False)  # what --json prints is JSON
    evaluation = [run.evaluation.predictions.tolist(), run.confusion_matrix.tolist()]
    return digest_of(repr([run.config.to_dict(), shown, run.rows, evaluation, weights]))


class Files(dict):
    """File names to contents; shown short."""

    def __repr__(self) -> str:
        return f"Files({ {name: content[:200] for name, content in self.items()} })"


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

    def _checkpoints(self) -> st.SearchStrategy:
        fields = [("schema",), ("epoch",), ("step",), ("run",), ("metrics",), ("other",)]
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


def _refusal(read: Callable, *arguments: Any) -> str | None:
    """What an InputError said, None if there was none; anything else goes through."""
    try:
        read(*arguments)
    except InputError as error:
        said = str(error)
        assert said.isprintable(), "more than one plain line"
        return said
    return None
