"""Forged recordings: any content under a right digest is refused on one line, or compared."""

import json

import numpy as np
import pytest
from safetensors.numpy import load

from mnist_fn.parity import Recording, check_port, record
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.checkpoint import sealed
from tests.hostile.test_headers import OTHERS, altered, places
from tests.parity.test_porting import BATCHES, torch_side

KEY = "mnist_fn_port"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings") / "r.safetensors"
    record(torch_side(), BATCHES, path, steps=2)  # pyright: ignore
    return path


def forged(path, header, tensors):
    header = {name: value for name, value in header.items() if name != "digest"}
    path.write_bytes(sealed(header, tensors, KEY))


def parts(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY]), load(data)


RUNG_ENDS = (": done", ": differs; looking for the cause")  # what is said of each rung on the way


@pytest.mark.long
def test_forged_recordings_are_refused_on_one_line(kept, in_process, tmp_path):
    header, tensors = parts(kept)
    everywhere = [path for path in places(header) if path[0] != "digest" and len(path) < 5]
    (tmp_path / "port.py").write_text(
        "from mnist_fn.parity import Recording\n"
        "reference, port = Recording('x'), Recording('x')\nbatches = reference.batches\n"
        "steps = 2\n"
    )
    refused = 0
    for i, path in enumerate(everywhere[:: max(1, len(everywhere) // 24)]):
        other = altered(header, path, *[OTHERS[i % len(OTHERS)]][: i % 4])
        forged(tmp_path / "x", other, tensors)
        done = in_process("port", "port.py")
        assert done.returncode in (0, 1, 2), path
        if done.returncode == 2:
            refused += 1
            lines = done.stderr.splitlines()
            errors = [line for line in lines if not line.endswith(RUNG_ENDS)]
            assert len(errors) == 1, done.stderr
            assert errors[0] == lines[-1]
            assert "Traceback" not in done.stderr
    assert refused > 3


def test_forged_tensors_are_refused(kept, tmp_path):
    header, tensors = parts(kept)
    for change in (lambda a: a.astype(np.float16), lambda a: a[..., :0], lambda a: a.reshape(-1)):
        forged(tmp_path / "x", header, {name: change(one) for name, one in tensors.items()})
        try:
            program = Recording(tmp_path / "x")
            check_port(program, program, program.batches, steps=2)
        except InputError as error:
            assert str(error).isprintable()
