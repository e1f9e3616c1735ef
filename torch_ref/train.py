"""Training as a PyTorch user writes it: modules, an optimizer, an eager loop over batches."""

from collections.abc import Iterable

import torch
from torch import nn

from mnist_fn.shared.config import Config
from mnist_fn.shared.optimizers import ALPHA, BETA1, BETA2, EPS, OPTIMIZERS
from torch_ref.model import MLP

# What PyTorch calls the slots of each optimizer's state.
SLOTS = {
    "adam": {"mu": "exp_avg", "nu": "exp_avg_sq"},
    "adamw": {"mu": "exp_avg", "nu": "exp_avg_sq"},
    "sgd": {"mu": "momentum_buffer"},
    "rmsprop": {"nu": "square_avg"},
}


def make_optimizer(model: MLP, config: Config) -> torch.optim.Optimizer:
    """The optimizer with two parameter groups, so that biases are never decayed.

    The study's penalty λ Σ W² has the gradient 2λW, which is what `weight_decay=2λ` adds to the
    gradient first, in every optimizer but AdamW, whose `weight_decay` is decoupled.
    """
    coupled = OPTIMIZERS[config.optimizer].coupled
    decay = 2 * config.l2 if coupled else config.weight_decay
    groups = [
        {"params": model.weights(), "weight_decay": decay},
        {"params": model.biases(), "weight_decay": 0.0},
    ]
    rate = config.learning_rate
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups, rate, momentum=config.momentum, nesterov=config.nesterov, fused=True
        )
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, rate, alpha=ALPHA, eps=EPS)
    make = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return make(groups, rate, betas=(BETA1, BETA2), eps=EPS, fused=True)


def objective(model: MLP, cross_entropy: torch.Tensor, l2: float) -> torch.Tensor:
    """The study's loss, CE + λ Σ W² over the weights, not the biases."""
    penalty = sum((weight.square().sum() for weight in model.weights()), torch.zeros(()))
    return cross_entropy + l2 * penalty


def train_epoch(
    model: MLP,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,  # (n, pixels), scaled, on the device
    labels: torch.Tensor,  # (n,) int64, on the device
    batches: Iterable[torch.Tensor],  # (m,) int64 each, on the device
    rates: Iterable[float],  # the learning rate of each batch
) -> tuple[float, int]:
    """One pass over batches; returns the sums of cross-entropy and of correct predictions.

    Both are taken before each batch's update and stay on the device until the end: an `.item()`
    a step would wait for it.
    """
    criterion = nn.CrossEntropyLoss()
    loss_sum = torch.zeros((), dtype=images.dtype, device=images.device)
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    for batch, rate in zip(batches, rates, strict=False):  # fewer batches if interrupted
        for group in optimizer.param_groups:
            group["lr"] = rate
        x, y = images.index_select(0, batch), labels.index_select(0, batch)
        logits = model(x)
        loss = criterion(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(batch)
        correct += (logits.detach().argmax(dim=1) == y).sum()
    return loss_sum.item(), int(correct.item())
