"""What PyTorch's epoch is measured against: its bare products, in-memory loops, the notebook."""

import itertools
import math
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.bench.timing import Contender
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Split, scale_pixels
from mnist_fn.shared.data.sources import FILES
from mnist_fn.shared.streams import batch_order
from torch_ref.computing import ComputingThread

NOTEBOOK_ROUNDS = 3  # an epoch takes many seconds


def pick(device: str) -> torch.device:
    """The torch device for "auto", "cpu" or "gpu"; the CPU where there is no GPU."""
    gpu = device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def floor(config: Config, dataset: Dataset, device: str) -> Iterator[Contender]:
    """The matrix products of an epoch, into buffers that are there already."""
    torch_device, n = pick(device), config.batch_size
    dtype = getattr(torch, config.dtype)
    sizes = (dataset.pixels, *config.hidden, dataset.classes)
    random = [
        torch.rand(shape, dtype=dtype, device=torch_device) for shape in [(n, w) for w in sizes]
    ]
    kernels = [
        torch.rand(shape, dtype=dtype, device=torch_device) for shape in itertools.pairwise(sizes)
    ]
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
        _synchronize(torch_device)

    yield Contender("torch/products", "its matrix products alone", run)


Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def loops(config: Config, dataset: Dataset, device: str) -> Iterator[Contender]:
    """The fastest PyTorch that we know to write, each as an epoch and the plain one with its test
    evaluation too: data in memory, batches gathered into one buffer, the penalty as Adam's
    `weight_decay` on the kernels alone, denormals flushed, nothing counted but the loss.
    """
    torch_device = pick(device)
    computing = ComputingThread()
    images, labels = _on_device(config, dataset.train, torch_device)
    order = torch.from_numpy(batch_order(0, 1, len(labels)).astype(np.int64)).to(torch_device)
    x, y = images[: config.batch_size].clone(), labels[: config.batch_size].clone()

    def epoch(step: Step, ragged: Step) -> None:
        total = torch.zeros((), device=torch_device)
        for batch in order.split(config.batch_size):
            n = len(batch)
            torch.index_select(images, 0, batch, out=x[:n])
            torch.index_select(labels, 0, batch, out=y[:n])
            total += (step if n == len(x) else ragged)(x[:n], y[:n])
        math.isfinite(total.item())  # waits for the device

    def contender(name: str, what: str, step: Step, ragged: Step, rounds: int | None) -> Contender:
        run = partial(epoch, step, ragged)
        return Contender(name, what, lambda: computing.run(run), rounds)

    model, eager = _eager_step(config, dataset, torch_device)
    yield contender("torch/loop", "the fastest eager loop, fused Adam", eager, eager, None)
    pixels, _ = _on_device(config, dataset.test, torch_device)

    def with_test() -> None:
        epoch(eager, eager)
        with torch.inference_mode():
            model(pixels).argmax(1).cpu()

    what = "the same and the test set, inference_mode"
    yield Contender("torch/loop+test", what, lambda: computing.run(with_test))
    whole_step = functional_step(config, dataset, torch_device)
    compiled = torch.compile(whole_step, dynamic=False)
    what = "the whole step in one torch.compile"
    yield contender("torch/loop, compiled", what, compiled, whole_step, None)
    if torch_device.type == "cuda":
        _, eager = _eager_step(config, dataset, torch_device, capturable=True)
        graph = computing.run(_graphed, eager, x, y)
        what = "the eager step as one CUDA graph"
        yield contender("torch/loop, CUDA graph", what, graph, eager, None)


def _eager_step(
    config: Config, dataset: Dataset, device: torch.device, capturable: bool = False
) -> tuple[nn.Module, Step]:
    model = _model(config, dataset, device)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 2 * config.l2},
        {"params": [p for p in model.parameters() if p.ndim == 1]},
    ]
    adam = torch.optim.Adam(groups, lr=config.learning_rate, fused=True, capturable=capturable)

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        adam.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        adam.step()
        return loss.detach()

    return model, step


def functional_step(config: Config, dataset: Dataset, where: torch.device) -> Step:
    """A step that `torch.compile` takes as a whole: gradients by torch.func, Adam written out, so
    that all of it is fused into one pass over weights and moments.
    """
    model = _model(config, dataset, where)
    params = {name: tensor.detach() for name, tensor in model.named_parameters()}
    mu, nu = ({n: torch.zeros_like(p) for n, p in params.items()} for _ in range(2))
    count = torch.zeros((), device=where)

    def loss_of(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(torch.func.functional_call(model, params, (x,)), y)

    @torch.no_grad()
    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        count.add_(1)
        grads, loss = torch.func.grad_and_value(loss_of)(params, x, y)
        first, second = 1 - 0.9**count, 1 - 0.999**count
        for name, param in params.items():
            grad = grads[name] + 2 * config.l2 * param if param.ndim == 2 else grads[name]
            mu[name].lerp_(grad, 0.1)
            nu[name].mul_(0.999).addcmul_(grad, grad, value=0.001)
            size = config.learning_rate / first
            param.sub_(size * mu[name] / ((nu[name] / second).sqrt() + 1e-8))
        return loss

    return step


def _graphed(step: Step, x: torch.Tensor, y: torch.Tensor) -> Step:
    """A step recorded as a CUDA graph and replayed: it reads x and y where they lie."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # as PyTorch's notes on CUDA graphs ask for
            step(x, y)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(x, y)

    def replay(*_: torch.Tensor) -> torch.Tensor:
        graph.replay()
        return loss

    return replay


def notebook(config: Config, dataset: Dataset, device: str, folder: Path) -> Iterator[Contender]:
    """The study's way: torchvision's dataset, ToTensor, DataLoader, `.item()` in every step."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    torch_device = pick(device)
    write_idx_files(dataset, folder / "MNIST" / "raw")
    train = datasets.MNIST(str(folder), train=True, transform=transforms.ToTensor())
    loader = DataLoader(train, batch_size=config.batch_size, shuffle=True)
    model = _model(config, dataset, torch_device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)

    def run() -> None:
        loss_sum = correct = 0.0
        for images, labels in loader:
            x, y = images.reshape(len(images), -1).to(torch_device), labels.to(torch_device)
            optimizer.zero_grad()
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            squares = [(p**2).sum() for p in model.parameters() if p.ndim == 2]
            (loss + config.l2 * sum(squares)).backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()

    yield Contender("torch/notebook", "DataLoader, ToTensor, .item()", run, NOTEBOOK_ROUNDS)


def _model(config: Config, dataset: Dataset, device: torch.device) -> nn.Module:
    sizes = (dataset.pixels, *config.hidden, dataset.classes)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(device, getattr(torch, config.dtype))


def _on_device(
    config: Config, split: Split, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(scale_pixels(split.images, config.dtype))
    return images.to(device), torch.from_numpy(split.labels.astype(np.int64)).to(device)


def write_idx_files(dataset: Dataset, folder: Path) -> None:
    """A dataset as the four decompressed IDX files, as torchvision reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [a for split in (dataset.train, dataset.test) for a in (split.images, split.labels)]
    for file, array in zip(FILES, arrays, strict=True):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / file).write_bytes(header + np.ascontiguousarray(array).tobytes())
