"""Files as a broken disk or an adversary would leave them, as hypothesis strategies."""

import copy
import hashlib
import io
import json
import zipfile
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import load

from mnist_fn.shared.runs import checkpoint
from mnist_fn.shared.storage import digest_of

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
                holder[place] = json.loads(json.dumps(value))  # of its own
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


def forged_checkpoint(
    good: bytes, changes: list, tensor_changes: list, csv: bytes | None, remove: bool = False
) -> bytes:
    length = int.from_bytes(good[:8], "little")
    header = json.loads(json.loads(good[8 : 8 + length])["__metadata__"]["mnist_fn"])
    header = changed(header, changes, remove)
    tensors = load(good)
    for name, change in tensor_changes:
        if (tensor := tensors.pop(name, None)) is None or change == "remove":
            continue
        if change in ("nan", "inf") and tensor.dtype.kind == "f":
            tensors[name] = np.full_like(tensor, float(change))
        elif change == "flat":
            tensors[name] = tensor.ravel()
        elif change in ("float32", "int8"):
            with np.errstate(invalid="ignore"):
                tensors[name] = tensor.astype(change)
        else:
            tensors[change] = tensor
    header.pop("digest", None)
    if csv is not None:
        header["metrics"] = hashlib.sha256(csv).hexdigest()
    return checkpoint.sealed(header, tensors, "mnist_fn")


def zipped(content: bytes, name: str, packed: bool = True, n: int = 1) -> bytes:
    """A zip archive of one member, or of `n` by that name with a number."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", 8 if packed else 0) as archive:
        for i in range(n):
            archive.writestr(zipfile.ZipInfo(f"{i}{name}" if n > 1 else name), content, 8 * packed)
    return file.getvalue()


class Files(dict):
    """File names to contents; shown short."""

    def __repr__(self) -> str:
        return f"Files({ {name: content[:200] for name, content in self.items()} })"
