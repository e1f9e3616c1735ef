"""Weights as a broken disk or an adversary would leave them, as hypothesis strategies by suffix."""

import io
import json
import struct
import zipfile

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.numpy import save

from mnist_fn.shared.exchange.from_safetensors import read_tensors
from tests.support.hostile_files import EDITS, VALUES, edited
from torch_ref.exchange import read_pt

STATE = {
    "0.weight": torch.ones(8, 64), "0.bias": torch.ones(8),
    "2.weight": torch.ones(10, 8), "2.bias": torch.ones(10),
}  # fmt: skip
SHAPES = st.lists(st.integers(0, 65), max_size=3).map(tuple)
NAMES = st.sampled_from(["0.weight", "0.bias", "2.weight", "w", "", ".weight", "\x1b[31m.bias",
                         "module.0.weight", "a/kernel", "0.0.0.weight"])  # fmt: skip
READERS = {".pt": read_pt, ".safetensors": read_tensors}


def as_pt(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _repacked(edits: list) -> bytes:
    """The archive written again with its pickle changed: what a CRC would not stop."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(as_pt(STATE))) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            name = entry.filename
            new.writestr(name, edited(content, edits) if name.endswith("data.pkl") else content)
    return file.getvalue()


def _forged(tensors: dict, extra: object) -> bytes:
    made = {name: torch.zeros(shape) for name, shape in tensors.items()}
    return as_pt(
        {**STATE, **made, "epoch": extra} if len(made) % 2 else {"model": made, "x": extra}
    )


def _lying(tensors: dict, ends: list[int], tail: bytes) -> bytes:
    """A safetensors file whose header says what it likes of types, shapes and places."""
    header = {
        name: {"dtype": dtype, "shape": list(shape), "data_offsets": ends[:2]}
        for name, (dtype, shape) in tensors.items()
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tail


TYPES = st.sampled_from(["F32", "F64", "F16", "BF16", "I32", "BOOL", "F8_E4M3", "C64", "x", ""])
GOOD = save({name: tensor.numpy() for name, tensor in STATE.items()})
STRATEGIES = {
    ".pt": st.builds(edited, st.just(as_pt(STATE)), EDITS)
    | st.builds(_repacked, EDITS)
    | st.builds(_forged, st.dictionaries(NAMES, SHAPES, max_size=4), VALUES)
    | st.binary(max_size=200),
    ".safetensors": st.builds(edited, st.just(GOOD), EDITS)
    | st.dictionaries(NAMES, SHAPES, max_size=4).map(
        lambda shapes: save({name: np.zeros(shape, "f") for name, shape in shapes.items()})
    )
    | st.builds(
        _lying,
        st.dictionaries(NAMES, st.tuples(TYPES, SHAPES), max_size=3),
        st.lists(st.integers(0, 300) | st.integers(0, 2**64), min_size=2, max_size=2),
        st.binary(max_size=300),
    )
    | st.binary(max_size=200),
}
