"""What PyTorch's epoch is measured against: its bare products, in-memory loops, the notebook."""

import itertools
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.bench.timing import Contender
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.data.sources import FILES
from mnist_fn.shared.streams import batch_order

NOTEBOOK_ROUNDS = 3  # an epoch takes many seconds
COMPILED_ROUNDS = 5


def pick(device: str) -> torch.device:
    """The torch device for "auto", "cpu" or "gpu"; the CPU where there is no GPU."""
    gpu = device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def floor(config: Config, dataset: Dataset, device: str) -> Iterator[Contender]:
    """The matrix products of an epoch, into buffers that are there already."""
    where, n = pick(device), config.batch_size
    dtype = getattr(torch, config.dtype)
    sizes = (dataset.pixels, *config.hidden, dataset.classes)
    random = [torch.rand(shape, dtype=dtype, device=where) for shape in [(n, w) for w in sizes]]
    kernels = [torch.rand(shape, dtype=dtype, device=where) for shape in itertools.pairwise(sizes)]
    forward = [torch.empty_like(layer) for layer in random[1:]]
    backward = [torch.empty_like(layer) for layer in random]
    gradients = [torch.empty_like(kernel) for kernel in kernels]

    def run() -> None:
        for _ in range(len(dataset.train) // n):
            for i, kernel in enumerate(kernels):
                torch.mm(random[i], kernel, out=forward[i])
            for i in reversed(range(len(kernels))):
                torch.mm(random[i].T, random[i + 1], out=gradients[i])
                if i:
                    torch.mm(random[i + 1], kernels[i].T, out=backward[i])
        _synchronize(where)

    yield Contender("torch/products", "its matrix products alone", run)


def loops(config: Config, dataset: Dataset, device: str) -> Iterator[Contender]:
    """Plain PyTorch loops with the data in memory: fused Adam, and torch.compile besides."""
    where = pick(device)
    images = torch.from_numpy(scale_pixels(dataset.train.images, config.dtype)).to(where)
    labels = torch.from_numpy(dataset.train.labels.astype(np.int64)).to(where)
    order = torch.from_numpy(batch_order(0, 1, len(labels)).astype(np.int64)).to(where)
    for compiled in (False, True):
        model, optimizer = _model(config, dataset, where)

        def loss_of(x: Any, y: Any, model: Any = model) -> Any:
            return _objective(model, config.l2, x, y)

        mode = "reduce-overhead" if where.type == "cuda" else None  # that is CUDA graphs
        step = torch.compile(loss_of, mode=mode) if compiled else loss_of

        def run(step: Any = step, optimizer: Any = optimizer) -> None:
            total = torch.zeros((), device=where)
            for batch in order.split(config.batch_size):
                optimizer.zero_grad()
                loss = step(images[batch], labels[batch])
                loss.backward()
                optimizer.step()
                total += loss.detach()
            math.isfinite(total.item())  # waits for the device

        name = "torch/loop, compiled" if compiled else "torch/loop"
        what = "in-memory loop, fused Adam" + (", torch.compile" if compiled else "")
        yield Contender(name, what, run, COMPILED_ROUNDS if compiled else None)


def notebook(config: Config, dataset: Dataset, device: str, folder: Path) -> Iterator[Contender]:
    """The study's way: torchvision's dataset, ToTensor, DataLoader, `.item()` in every step."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    where = pick(device)
    write_idx_files(dataset, folder / "MNIST" / "raw")
    train = datasets.MNIST(str(folder), train=True, transform=transforms.ToTensor())
    loader = DataLoader(train, batch_size=config.batch_size, shuffle=True)
    model, optimizer = _model(config, dataset, where, fused=False)

    def run() -> None:
        loss_sum = correct = 0.0
        for images, labels in loader:
            x, y = images.reshape(len(images), -1).to(where), labels.to(where)
            optimizer.zero_grad()
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            squares = [(p**2).sum() for p in model.parameters() if p.ndim == 2]
            (loss + config.l2 * sum(squares)).backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()

    yield Contender("torch/notebook", "DataLoader, ToTensor, .item()", run, NOTEBOOK_ROUNDS)


def _model(config: Config, dataset: Dataset, where: torch.device, fused: bool = True) -> Any:
    sizes = (dataset.pixels, *config.hidden, dataset.classes)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).to(where, getattr(torch, config.dtype))
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=fused)
    return model, optimizer


def _objective(model: Any, l2: float, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    cross_entropy = nn.functional.cross_entropy(model(x), y)
    squares = [(p**2).sum() for p in model.parameters() if p.ndim == 2]
    return cross_entropy + l2 * torch.stack(squares).sum()


def write_idx_files(dataset: Dataset, folder: Path) -> None:
    """A dataset as the four decompressed IDX files, as torchvision reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [a for split in (dataset.train, dataset.test) for a in (split.images, split.labels)]
    for file, array in zip(FILES, arrays, strict=True):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / file).write_bytes(header + np.ascontiguousarray(array).tobytes())
