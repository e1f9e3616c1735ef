"""What PyTorch's epoch is compared with: its bare products, in-memory loops, the notebook."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.optimizers import BETA1, BETA2, EPS
from mnist_fn.shared.streams import batch_order
from torch_ref.backend import describe, find_device
from torch_ref.computing import ComputingThread
from torch_ref.model import MLP
from torch_ref.train import make_optimizer, objective

Run = Callable[[], object]
Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make(name: str, config: Config, dataset: Dataset, device: str) -> tuple[Run, str]:
    """What to time under the contender's name, and the device's name.

    Raises:
        InputError: the device or a CUDA graph that can't be had here.
    """
    torch_device = find_device(device)
    makers = {"torch/products": products, "torch/notebook": notebook}
    make_run = makers.get(name, partial(loop, name))
    return make_run(config, dataset, torch_device), describe(torch_device)


def products(config: Config, dataset: Dataset, device: torch.device) -> Run:
    """The matrix products of an epoch, into buffers that are there already."""
    n, dtype = config.batch_size, getattr(torch, config.dtype)
    sizes = (dataset.pixels, *config.hidden, dataset.classes)
    layers = [torch.rand((n, size), dtype=dtype, device=device) for size in sizes]
    kernels = [torch.rand(shape, dtype=dtype, device=device) for shape in itertools.pairwise(sizes)]
    forward, backward = list(map(torch.empty_like, layers[1:])), list(map(torch.empty_like, layers))
    gradients = list(map(torch.empty_like, kernels))

    def run() -> None:
        for _ in range(len(dataset.train) // n):
            for i, kernel in enumerate(kernels):
                torch.mm(layers[i], kernel, out=forward[i])
            for i in reversed(range(len(kernels))):
                torch.mm(layers[i].T, layers[i + 1], out=gradients[i])
                if i:
                    torch.mm(layers[i + 1], kernels[i].T, out=backward[i])
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def loop(name: str, config: Config, dataset: Dataset, device: torch.device) -> Run:
    """The fastest PyTorch that we know to write: data in memory, batches gathered into one buffer,
    the penalty as Adam's `weight_decay` on the kernels alone, denormals flushed, nothing counted
    but the loss. The step is eager, one `torch.compile` or one CUDA graph.
    """
    computing = ComputingThread()
    images = torch.from_numpy(scale_pixels(dataset.train.images, config.dtype)).to(device)
    labels = torch.from_numpy(dataset.train.labels.astype(np.int64)).to(device)
    order = torch.from_numpy(batch_order(0, 1, len(labels)).astype(np.int64)).to(device)
    x, y = images[: config.batch_size].clone(), labels[: config.batch_size].clone()
    if name == "torch/loop, compiled":
        ragged = functional_step(config, dataset, device)
        step = torch.compile(ragged, dynamic=False)
    elif name == "torch/loop, CUDA graph":
        if device.type != "cuda":
            raise InputError("it needs a GPU that PyTorch sees")
        ragged = eager_step(config, dataset, device, capturable=True)
        step = computing.run(_graphed, ragged, x, y)
    else:
        step = ragged = eager_step(config, dataset, device)

    def epoch() -> None:
        total = torch.zeros((), device=device)
        for batch in order.split(config.batch_size):
            n = len(batch)
            torch.index_select(images, 0, batch, out=x[:n])
            torch.index_select(labels, 0, batch, out=y[:n])
            total += (step if n == len(x) else ragged)(x[:n], y[:n])
        math.isfinite(total.item())  # waits for the device

    return lambda: computing.run(epoch)


def eager_step(
    config: Config, dataset: Dataset, device: torch.device, capturable: bool = False
) -> Step:
    """A step in the usual way, with fused Adam."""
    model = _model(config, dataset, device)
    optimizer = make_optimizer(model, config)
    for group in optimizer.param_groups:
        group["capturable"] = capturable

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def functional_step(config: Config, dataset: Dataset, device: torch.device) -> Step:
    """Make a step for `torch.compile`: gradients by torch.func, Adam written out, to be fused."""
    model = _model(config, dataset, device)
    params, mu, nu = {}, {}, {}
    for name, tensor in model.named_parameters():
        params[name] = tensor.detach()
        mu[name], nu[name] = torch.zeros_like(params[name]), torch.zeros_like(params[name])
    count = torch.zeros((), device=device)

    def loss_of(params: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(torch.func.functional_call(model, params, (x,)), y)

    @torch.no_grad()
    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        count.add_(1)
        grads, loss = torch.func.grad_and_value(loss_of)(params, x, y)
        first, second = 1 - BETA1**count, 1 - BETA2**count
        for name, param in params.items():
            grad = grads[name] + 2 * config.l2 * param if param.ndim == 2 else grads[name]
            mu[name].lerp_(grad, 1 - BETA1)
            nu[name].mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
            size = config.learning_rate / first
            param.sub_(size * mu[name] / ((nu[name] / second).sqrt() + EPS))
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


def notebook(config: Config, dataset: Dataset, device: torch.device) -> Run:
    """The study's way: torchvision's dataset, ToTensor, DataLoader, `.item()` in every step."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    train = datasets.MNIST.__new__(datasets.MNIST)  # without its files: the dataset is here
    train.data = torch.tensor(dataset.train.images)
    train.targets = torch.tensor(dataset.train.labels)
    train.transform, train.target_transform = transforms.ToTensor(), None
    loader = DataLoader(train, batch_size=config.batch_size, shuffle=True)
    model = _model(config, dataset, device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)

    def run() -> None:
        loss_sum = correct = 0.0
        for images, labels in loader:
            x, y = images.reshape(len(images), -1).to(device), labels.to(device)
            optimizer.zero_grad()
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            objective(model, loss, config.l2).backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()

    return run


def _model(config: Config, dataset: Dataset, device: torch.device) -> MLP:
    dtype = getattr(torch, config.dtype)
    return MLP(dataset.pixels, config.hidden, dataset.classes, dtype).to(device)
