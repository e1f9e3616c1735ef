"""Damaged and forged weights for every reader: refused on one line, or an MLP of finite size."""

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.exchange.layers import mlp_of
from mnist_fn.shared.streams import MAX_PARAMETERS
from tests.support.hostile_weights import READERS, STRATEGIES

ROOM = 2**24  # bytes, whatever the file: modules that torch imports when it first needs them


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
            tree = mlp_of(READERS[suffix](path).tensors, 64, 10, str(path))
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
