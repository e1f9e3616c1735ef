"""A StateTree as one safetensors file that carries a digest of its content. No pickle."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mnist_fn.shared.errors import InputError, damaged
from mnist_fn.shared.state import ParamTree, StateTree, all_finite, named_tensors, tree_of
from mnist_fn.shared.storage import check_schema, digest_of, read_bounded, write_atomically

SCHEMA = 1
_HEADER_BYTES = 2**20  # more than the names of the deepest model take
_FIELDS = {
    "schema": int,
    "epoch": int,
    "step": int,
    "run": str,
    "metrics": str,
    "backend": str,
}
# what reading a safetensors file raises, and writing its header once more for the digest
_UNREADABLE = (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
_LATER = "backend"  # not in checkpoints written before it was recorded
_KEY = "mnist_fn"  # the one metadata key: with several, safetensors' order is not fixed


@dataclass(frozen=True)
class Checkpoint:
    """A state and what it belongs to."""

    state: StateTree
    epoch: int  # epochs done
    run: str  # the identity of its run: see records.identity
    metrics: str  # SHA-256 of the metrics rows up to this epoch
    backend: str  # that did its last epoch; "" in a checkpoint from before it was recorded


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; equal checkpoints give equal bytes.

    Raises:
        InputError: it can't be written.
    """
    tensors = _named(checkpoint.state)
    header = {
        "schema": SCHEMA,
        "epoch": checkpoint.epoch,
        "step": checkpoint.state.step,
        "run": checkpoint.run,
        "metrics": checkpoint.metrics,
        "backend": checkpoint.backend,
    }
    write_atomically(path, sealed(header, tensors, _KEY))


def read_checkpoint(path: Path, like: StateTree) -> Checkpoint:
    """Read a checkpoint whose tensors must have the names, shapes and dtypes of `like`.

    Raises:
        InputError: missing, damaged, of another schema, of another model, or not finite.
    """
    expected = _named(like)
    size = sum(tensor.nbytes for tensor in expected.values())
    data = read_bounded(path, size + _HEADER_BYTES)
    header, tensors = unsealed(path, data, _KEY, "a checkpoint of mnist-fn", SCHEMA)
    kinds = {_LATER: str} | {name: type(value) for name, value in header.items()}
    if kinds != _FIELDS or not all(0 <= header[name] < 2**31 for name in ("epoch", "step")):
        raise damaged(path, "a field of its header is missing, unknown or out of range")
    for name in sorted(expected.keys() | tensors.keys()):
        want, have = expected.get(name), tensors.get(name)
        if want is None or have is None or want.shape != have.shape or want.dtype != have.dtype:
            raise InputError(
                f"{path}: {name[:60]} is {_describe(have)}, this run's is {_describe(want)}; "
                "the checkpoint is of another run"
            )
    trees: dict[str, ParamTree] = {}
    for kind, tree in like.trees().items():
        trees[kind] = tree_of({name: tensors[f"{kind}/{name}"] for name, _ in named_tensors(tree)})
    state = StateTree(trees.pop("params"), trees, step=header["step"])
    if not all_finite(state):
        raise damaged(path, "a weight or a moment is not finite")
    return Checkpoint(
        state, header["epoch"], header["run"], header["metrics"], header.get(_LATER, "")
    )


def weights_digest(params: ParamTree) -> str:
    """SHA-256 of the weights alone, hexadecimal: names an evaluation's subject."""
    return _digest({}, dict(named_tensors(params)))


def sealed(header: dict[str, Any], tensors: dict[str, np.ndarray], key: str) -> bytes:
    """A safetensors file of tensors and, under a metadata key, a header with a digest of both."""
    header = {**header, "digest": _digest(header, tensors)}
    return save(tensors, metadata={key: json.dumps(header, sort_keys=True)})


def unsealed(
    path: Path, data: bytes, key: str, what: str, schema: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and tensors of what `sealed` made.

    Args:
        path: of the file, for messages.
        data: the file's bytes.
        key: the metadata key.
        what: the file is to be, in words.
        schema: the version that is read.

    Raises:
        InputError: damaged, of another kind or schema, or content that its digest denies.
    """
    try:  # the format: a little-endian length, then JSON of that length
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][key])
        version = header["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, f"not {what}") from error
    check_schema(path, version, schema)
    digest = header.pop("digest", None)
    try:
        tensors = load(data)
        good = digest == _digest(header, tensors)
    except _UNREADABLE as error:
        raise damaged(path, "not readable as safetensors") from error
    if not good:
        raise damaged(path, "its content does not match its digest")
    return header, tensors


def _named(state: StateTree) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for kind, tree in state.trees().items():
        for name, tensor in named_tensors(tree):
            tensors[f"{kind}/{name}"] = np.ascontiguousarray(tensor)
    return tensors


def _digest(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(digest_of(header).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def _describe(tensor: np.ndarray | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
