"""State dicts in PyTorch's own files, read and written; nothing in one is ever executed."""

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.exchange.layers import Source
from mnist_fn.shared.state import ParamTree
from mnist_fn.shared.storage import MARK, read_bounded, write_atomically
from mnist_fn.shared.streams import MAX_PARAMETERS
from torch_ref.weights import to_state_dict

MAX_BYTES = 2**30
MAX_ENTRIES = 10_000  # of a checkpoint, all that is nested in it counted
DEEPEST = 4  # a state dict lies no deeper in a checkpoint
BROKEN = (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError)  # an archive raises them
OPTIMIZER = ("optim", "sched", "scaler")  # what a part of a checkpoint is called that is no model


def read_pt(path: Path) -> Source:
    """Read a model's tensors by name from a file of torch.save, narrow ones as float32.

    They may lie in a checkpoint's `model`, `state_dict` or an entry of any name, next to an
    optimizer's tensors and plain numbers.

    Raises:
        InputError: missing, too large, no state dict, one that would run code, or several.
    """
    data = read_bounded(path, MAX_BYTES)
    archive = _rewritten(path, data)
    try:
        with warnings.catch_warnings(action="ignore"):  # what is not plain is refused below
            loaded = torch.load(archive, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise InputError(f"{path}: asks for more memory than there is") from error
    except Exception as error:  # an adversary's pickle can raise anything in torch's reader
        raise InputError(
            f"{path}: not a state dict that can be read without running code "
            f"({_reason(error)}); save it with torch.save(model.state_dict(), ...)"
        ) from error
    state_dicts = _state_dicts(path, loaded)
    if len(state_dicts) != 1:
        which = ", ".join(state_dicts) or "none"
        raise InputError(
            f"{path}: one state dict is expected, there are {which[:200]}; save only that one"
        )
    ((_, state),) = state_dicts.items()
    # a small file may claim large tensors, by strides of 0
    numbers = sum(tensor.numel() for tensor in state.values())
    if numbers > MAX_PARAMETERS:
        raise InputError(f"{path}: {numbers:,} numbers; at most {MAX_PARAMETERS:,} are imported")
    arrays, kinds = {}, set()
    for name, tensor in state.items():
        # AveragedModel and BatchNorm count in whole numbers, which are no weights
        if tensor.ndim or tensor.dtype.is_floating_point:
            arrays[name] = _array(path, name, tensor)
            kinds.add(str(tensor.dtype).removeprefix("torch."))
    widened = frozenset(kinds - {"float32", "float64"})
    digest = hashlib.sha256(data).hexdigest()
    return Source(path, digest, arrays, ordered=True, widened=widened)


def write_pt(params: ParamTree, path: Path) -> None:
    """Write `layer1.weight` [out, in], `layer1.bias`, ... for `load_state_dict(torch.load(...))`.

    Raises:
        InputError: it can't be written.
    """
    file = io.BytesIO()
    torch.save(to_state_dict(params), file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = MARK.encode()
    write_atomically(path, file.getvalue())


def _rewritten(path: Path, data: bytes) -> io.BytesIO:
    """Write the archive again, so that PyTorch's reader sees the members that are checked here.

    Raises:
        InputError: no zip archive, a member that is compressed or there twice, TorchScript, or a
            pickle that asks for memory outright.
    """
    rewritten = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as archive,
            zipfile.ZipFile(rewritten, "w") as stored,
        ):
            members = archive.infolist()
            _check_members(path, members, len(data))
            for member in members:
                content = archive.read(member)
                if member.filename.endswith(".pkl") and b"bytearray" in content:
                    raise InputError(f"{path}: holds a bytearray, which no state dict does")
                stored.writestr(member.filename, content)
    except InputError:
        raise
    except BROKEN as error:
        kind = "not a file of torch.save (since PyTorch 1.6 a zip archive)"
        raise InputError(f"{path}: {kind if data else 'an empty file'}; save it again") from error
    rewritten.seek(0)
    return rewritten


def _check_members(path: Path, members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what torch.save does not write: programs, compressed members, members twice."""
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") for name in names):
        raise InputError(
            f"{path}: TorchScript, which is a program; save only the state dict, with "
            "torch.save(torch.jit.load(...).state_dict(), ...)"
        )
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not stored or sum(member.file_size for member in members) > size:
        raise InputError(
            f"{path}: its content is compressed, as torch.save never does; save it again"
        )
    if len(set(names)) < len(names):
        raise InputError(f"{path}: holds {names[0][:40]} or another member twice; save it again")


def _state_dicts(path: Path, loaded: Any) -> dict[str, Mapping[str, torch.Tensor]]:
    """Find every mapping of names to tensors in what was loaded, by its place."""
    state_dicts: dict[str, Mapping[str, torch.Tensor]] = {}
    entries_left = MAX_ENTRIES

    def look(value: Any, key: str, depth: int) -> None:
        nonlocal entries_left
        if not isinstance(value, Mapping) or depth > DEEPEST:
            return
        entries_left -= len(value)
        if entries_left < 0:
            raise InputError(f"{path}: more than {MAX_ENTRIES} entries; save only the state dict")
        tensors = {}
        for name, inner in value.items():
            if isinstance(inner, torch.Tensor):
                if isinstance(name, str):
                    tensors[name] = inner
            elif not str(name).lower().startswith(OPTIMIZER):
                look(inner, f"{key}.{name}" if key else str(name)[:40], depth + 1)
        if max((tensor.ndim for tensor in tensors.values()), default=0) > 1:
            state_dicts[key or "the file's own"] = tensors

    look(loaded, "", 0)
    return state_dicts


def _array(path: Path, name: str, tensor: torch.Tensor) -> np.ndarray:
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_quantized or not tensor.dtype.is_floating_point:
        raise InputError(
            f"{path}: {name[:60]} is no plain tensor of floating-point numbers "
            f"({tensor.dtype!s}, {tensor.layout!s}); only MLPs are imported"
        )
    dtype = tensor.dtype if tensor.dtype in (torch.float32, torch.float64) else torch.float32
    return tensor.detach().to(dtype).contiguous().numpy().copy()


def _reason(error: Exception) -> str:
    text = str(error).strip()
    refused = re.search(r"Unsupported \w+: .*?(?= was not an allowed|$)", text, re.MULTILINE)
    return (refused[0] if refused else (text.splitlines() or [type(error).__name__])[0])[:100]
