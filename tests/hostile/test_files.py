"""Every reader of files, given what claims one size, has another and unpacks to a third: exit 2,
one line, within bounds of memory and time.
"""

import gzip
import io
import json
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from mnist_fn.shared.storage import digest_of
from tests.support.idx_files import idx_bytes

GIB = 2**30


def idx_header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def zeros_gz(header: bytes, size: int) -> bytes:
    """A gzip file of a header and zeros."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(header)]
    parts += [packer.compress(bytes(2**24)) for _ in range(size // 2**24)]
    return b"".join([*parts, packer.flush()])


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n"


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def stride_of_zero() -> bytes:
    """30 tensors of 8192 x 8192 in 3.5 kB."""
    one = torch.zeros(1)
    return saved({f"{i}.weight": one.expand(8192, 8192) for i in range(30)})


def two_directories() -> bytes:
    """An archive whose first directory says deflated, and whose last, which Python's zipfile
    reads, stored: the members lie between them, twice.
    """
    small = {name: bytes(10) for name in ("archive/data.pkl", "archive/data/0", "archive/version")}
    large = {**small, "archive/data/0": bytes(2**26)}
    deflated, stored = zipped(large), zipped(small, zipfile.ZIP_STORED)
    return (
        stored[: stored.rindex(b"PK\x05\x06")] + deflated + stored[stored.rindex(b"PK\x05\x06") :]
    )


def pickled(pickle: bytes) -> bytes:
    return zipped({"x/data.pkl": pickle, "x/version": b"3\n"}, zipfile.ZIP_STORED)


def asks_for_memory() -> bytes:
    """A pickle that makes a bytearray of 8 GiB, as torch.load would let it."""
    size = b"\x8a\x05" + struct.pack("<Q", 8 * GIB)[:5]
    return pickled(b"\x80\x02cbuiltins\nbytearray\n" + size + b"\x85R.")


def lying_safetensors(shape: list[int], end: int, tail: bytes) -> bytes:
    header = {"0.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tail


WEIGHTS = {
    "strides.pt": (stride_of_zero, "numbers; at most"),
    "directories.pt": (two_directories, "directories.pt: "),
    "deflated.pt": (lambda: zipped({"x/data.pkl": bytes(2**28)}), "compressed"),
    "bytearray.pt": (asks_for_memory, "holds a bytearray"),
    "empty.pt": (lambda: b"", "an empty file"),
    "shape.safetensors": (lambda: lying_safetensors([2**20, 2**20], 4, bytes(4)), "not readable"),
    "offsets.safetensors": (lambda: lying_safetensors([2], 2**50, bytes(8)), "not readable"),
    "length.safetensors": (lambda: struct.pack("<Q", 2**62) + b"{}", "not readable"),
    "empty.safetensors": (lambda: b"", "empty.safetensors: "),
}


@pytest.mark.long
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_any_claim_are_refused_within_bounds(refused, tmp_path, name):
    make, said = WEIGHTS[name]
    (tmp_path / name).write_bytes(make())
    line = refused("import", name, "--pixels", "0-1", "--dataset", "digits")
    assert said in line
    assert name in line
    assert not (tmp_path / "runs").exists()


def overlapping() -> bytes:
    """An archive of one member that its directory lists a thousand times, under other names."""
    one = zipped({"arr_0.npy": npy_header((2**14, 28, 28)) + bytes(2**14 * 784)})
    return one + one[one.rindex(b"PK\x01\x02") :] * 1000


def many_members() -> bytes:
    """An archive of one member that its directory, of zip64, lists a million times."""
    one = zipped({"arr_0.npy": npy_header((2, 2, 2)) + bytes(8)})
    start, end, n = one.rindex(b"PK\x01\x02"), one.rindex(b"PK\x05\x06"), 10**6
    size = n * (end - start)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, n, n, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2**16 - 1, 2**16 - 1, *[2**32 - 1] * 2, 0)
    return b"".join([one[:start], one[start:end] * n, record, locator, last])


DATA = {
    "bomb.gz": (lambda: zeros_gz(idx_header(2**20, 25, 26), 2**29), "its header claims"),
    "claims-more.gz": (lambda: zeros_gz(idx_header(2**31, 2**10, 2**10), 0), "its header claims"),
    "holds-more.gz": (lambda: zeros_gz(idx_header(4, 4, 4), 2**29), "holds more"),
    "holds-less.gz": (lambda: gzip.compress(idx_header(4, 4, 4) + bytes(9)), "holds only 9"),
    "cut.gz": (lambda: zeros_gz(idx_header(100, 28, 28), 2**24)[:100], "cut.gz: "),
    "claims-more": (lambda: idx_header(2**16, 28, 28) + bytes(100), "holds only 100"),
    "empty": (lambda: b"", "empty"),
    "bomb.npz": (
        lambda: zipped({"arr_0.npy": npy_header((2**19, 32, 32)) + bytes(2**29)}),
        "bytes are read of a member of its size",
    ),
    "claims-more.npz": (lambda: zipped({"arr_0.npy": npy_header((9**9, 9, 9))}), "bytes are read"),
    "holds-more.npz": (
        lambda: zipped({"arr_0.npy": npy_header((2, 2, 2)) + bytes(2**28)}), "holds more"
    ),
    "overlapping.npz": (overlapping, "overlapping.npz: "),
    "many-members.npz": (many_members, "its list of members is too long"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", DATA)
def test_data_of_any_claim_are_refused_within_bounds(refused, tmp_path, name):
    make, said = DATA[name]
    folder = tmp_path / "data"
    folder.mkdir()
    suffix = ".npz" if name.endswith(".npz") else ".gz" if name.endswith(".gz") else ""
    image_file = f"train-images{suffix}" if suffix == ".npz" else f"train-images-idx3-ubyte{suffix}"
    (folder / image_file).write_bytes(make())
    rest = (np.zeros(4, np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8))
    others = ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    for file, array in zip(others, rest, strict=True):
        (folder / file).write_bytes(idx_bytes(array))
    line = refused("data", "verify", "--dataset", "idx", "--data-dir", "data")
    assert said.replace(name, image_file) in line


def resealed(document: dict) -> bytes:
    document = {name: value for name, value in document.items() if name != "digest"}
    return json.dumps({**document, "digest": digest_of(document)}).encode()


def of_run(change):
    """A changed run.json, with its digest computed again."""

    def make(run) -> tuple[str, bytes]:
        document = json.loads((run / "run.json").read_bytes())
        change(document)
        return "run.json", resealed(document)

    return make


RUN_FILES = {
    "one quoted record": lambda run: (
        "metrics.csv",
        (run / "metrics.csv").read_bytes() + b'1,"' + b"\n" * 60_000_000 + b'"\n',
    ),
    "too large for its epochs": lambda run: ("metrics.csv", b"\n" * 10_000_000),
    "one long line": lambda run: ("metrics.csv", b"1" * 16_000),
    "nested JSON": lambda run: ("run.json", b"[" * 2**23),
    "long JSON": lambda run: ("run.json", b"[" + b" " * 2**25),
    "a long number": lambda run: ("run.json", b'{"schema": ' + b"9" * 2**23 + b"}"),
    "large layers": of_run(lambda document: document["config"].update(hidden=[2**16, 2**16])),
    "many pixels": of_run(lambda document: document.update(pixels=2**40)),
    "versions of no kind": of_run(lambda document: document.update(versions=["jax"])),
    "a checkpoint that claims all": lambda run: (
        "checkpoint.safetensors",
        lying_safetensors([2**20, 2**20], 4, bytes(4)),
    ),
    "nested evaluation": lambda run: ("evaluation.json", b'{"a":' * 2**21),
}


@pytest.mark.parametrize("name", RUN_FILES)
def test_run_files_of_any_claim_are_refused_within_bounds(refused, run_of_digits, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(run_of_digits, run)
    file, content = RUN_FILES[name](run)
    (run / file).write_bytes(content)
    assert f"run/{file}: " in refused("export", "run", "--to", "onnx")


def recording(header: object) -> bytes:
    tensors = {"x": np.zeros(1, np.float32)}
    return save(tensors, metadata={"mnist_fn_port": json.dumps(header)})


RECORDINGS = {
    "nested": lambda: recording("[" * 10**6),
    "short of keys": lambda: recording({"schema": 1}),
    "claims all": lambda: lying_safetensors([2**30], 4, bytes(4)),
    "a long header": lambda: struct.pack("<Q", 2**62) + bytes(100),
    "empty": lambda: b"",
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_of_any_claim_are_refused_within_bounds(refused, tmp_path, name):
    (tmp_path / "kept").write_bytes(RECORDINGS[name]())
    (tmp_path / "port.py").write_text(
        "from mnist_fn.parity import Recording\n"
        "reference = port = Recording('kept')\nbatches = reference.batches\n"
    )
    assert "kept: " in refused("port", "port.py")


NAMES = {
    "one long line": lambda: b"a" * 2**27,
    "empty lines": lambda: b"\n" * 2**27,
    "one name": lambda: b"0 48\n" * 2**24,
    "no text": lambda: b"\xff" * 99,
}


@pytest.mark.parametrize("file", ["classes.txt", "idx-mapping.txt"])
@pytest.mark.parametrize("name", NAMES)
def test_class_names_of_any_size_are_refused_within_bounds(refused, tmp_path, file, name):
    folder = tmp_path / "data"
    folder.mkdir()
    files = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")  # fmt: skip
    labels = np.arange(10, dtype=np.uint8)
    for data_file, array in zip(files, (np.zeros((10, 4, 4), np.uint8), labels) * 2, strict=True):
        (folder / data_file).write_bytes(idx_bytes(array))
    (folder / file).write_bytes(NAMES[name]())
    line = refused("data", "verify", "--dataset", "idx", "--data-dir", "data")
    assert f"data/{file}: " in line
