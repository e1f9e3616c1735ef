"""Training as a PyTorch user writes it: modules, an optimizer, an eager loop over batches."""

from collections.abc import Iterable

import torch
from torch import nn

from mnist_fn.shared.config import Config
from torch_ref.model import MLP


def make_optimizer(model: MLP, config: Config) -> torch.optim.Optimizer:
    """Adam or AdamW with two parameter groups, so that biases are never decayed.

    The study's penalty λ Σ W² has the gradient 2λW, which is what Adam's `weight_decay=2λ` adds
    before its moments. AdamW's `weight_decay` is decoupled from them.
    """
    adamw = config.optimizer == "adamw"
    groups = [
        {
            "params": model.weights(),
            "weight_decay": config.weight_decay if adamw else 2 * config.l2,
        },
        {"params": model.biases(), "weight_decay": 0.0},
    ]
    make = torch.optim.AdamW if adamw else torch.optim.Adam
    return make(groups, lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)


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
) -> tuple[float, int]:
    """One pass over batches; returns the sums of cross-entropy and of correct predictions.

    Both are taken before each batch's update and stay on the device until the end: an `.item()`
    a step would wait for it.
    """
    criterion = nn.CrossEntropyLoss()
    loss_sum = torch.zeros((), dtype=images.dtype, device=images.device)
    correct = torch.zeros((), dtype=torch.int64, device=images.device)
    for batch in batches:
        x, y = images.index_select(0, batch), labels.index_select(0, batch)
        logits = model(x)
        loss = criterion(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(batch)
        correct += (logits.detach().argmax(dim=1) == y).sum()
    return loss_sum.item(), int(correct.item())
