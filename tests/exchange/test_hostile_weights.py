"""Damaged and forged weights for every reader: refused on one line, or an MLP of finite size."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.exchange.from_safetensors import read_tensors
from mnist_fn.shared.exchange.layers import mlp_of
from mnist_fn.shared.streams import MAX_PARAMETERS
from tests.support.hostile_files import EDITS, VALUES, edited
from torch_ref.exchange import read_pt

STATE = {
    "0.weight": torch.ones(8, 64), "0.bias": torch.ones(8),
    "2.weight": torch.ones(10, 8), "2.bias": torch.ones(10),
}  # fmt: skip
SHAPES = st.lists(st.integers(0, 65), max_size=3).map(tuple)
NAMES = st.sampled_from(["0.weight", "0.bias", "2.weight", "w", "", ".weight", "\x1b[31m.bias",
                         "module.0.weight", "a/kernel", "0.0.0.weight"])  # fmt: skip


def as_pt(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def repacked(edits: list) -> bytes:
    """The archive anew with its pickle changed: what a CRC would not stop."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(as_pt(STATE))) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            name = entry.filename
            new.writestr(name, edited(content, edits) if name.endswith("data.pkl") else content)
    return file.getvalue()


def forged(tensors: dict, extra: object) -> bytes:
    made = {name: torch.zeros(shape) for name, shape in tensors.items()}
    return as_pt(
        {**STATE, **made, "epoch": extra} if len(made) % 2 else {"model": made, "x": extra}
    )


STRATEGIES = {
    ".pt": st.builds(edited, st.just(as_pt(STATE)), EDITS)
    | st.builds(repacked, EDITS)
    | st.builds(forged, st.dictionaries(NAMES, SHAPES, max_size=4), VALUES)
    | st.binary(max_size=200),
    ".safetensors": st.builds(
        edited, st.just(save({k: v.numpy() for k, v in STATE.items()})), EDITS
    )
    | st.dictionaries(NAMES, SHAPES, max_size=4).map(
        lambda shapes: save({name: np.zeros(shape, "f") for name, shape in shapes.items()})
    )
    | st.binary(max_size=200),
}
ROOM = 2**24  # bytes, whatever the file: modules that torch imports when it first needs them
READERS = {".pt": read_pt, ".safetensors": read_tensors}


def memory(peak: bool = False) -> int:
    """Bytes that Python has, or had at most since this was asked for; 0 if nothing is traced."""
    if not tracemalloc.is_tracing():
        return 0
    now, most = tracemalloc.get_traced_memory()
    if not peak:
        tracemalloc.reset_peak()
    return most if peak else now


def attack(suffix: str, folder, n: int) -> dict[str, int]:
    counts, path = {"refused": 0, "accepted": 0}, folder / f"x{suffix}"

    @settings(max_examples=n, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(STRATEGIES[suffix])
    def attacked(content: bytes) -> None:
        path.write_bytes(content)
        before = memory()
        try:
            tree = mlp_of(READERS[suffix](path)[0], 64, 10, str(path))
        except InputError as error:
            assert str(error).isprintable()
            assert str(path) in str(error)
            assert memory(peak=True) - before < 8 * len(content) + ROOM
            counts["refused"] += 1
            return
        assert memory(peak=True) - before < 8 * len(content) + ROOM
        assert tree["layer1"]["kernel"].shape[0] == 64
        assert sum(one.size for layer in tree.values() for one in layer.values()) <= MAX_PARAMETERS
        counts["accepted"] += 1

    attacked()
    return counts


@pytest.mark.parametrize("suffix", READERS)
def test_hostile_weights_are_refused_or_an_mlp(tmp_path, suffix):
    counts = attack(suffix, tmp_path, 150)
    assert counts["refused"] > 50


@pytest.mark.long
@pytest.mark.parametrize("suffix", READERS)
def test_thousands_of_hostile_weights(tmp_path, suffix):
    tracemalloc.start()
    try:
        counts = attack(suffix, tmp_path, 5000)
    finally:
        tracemalloc.stop()
    assert counts["refused"] > 1000
    assert counts["accepted"] > 0
