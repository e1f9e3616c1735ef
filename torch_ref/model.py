"""The model as a PyTorch user writes it, with the study's names: layer1, layer2, layer3."""

import torch
from torch import nn


class MLP(nn.Module):
    """Linear layers with ReLU between them; the last gives logits. No hidden layer: linear."""

    def __init__(
        self, pixels: int, hidden: tuple[int, ...], classes: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        sizes = (pixels, *hidden, classes)
        for index in range(1, len(sizes)):
            layer = nn.Linear(sizes[index - 1], sizes[index], dtype=dtype)
            self.add_module(f"layer{index}", layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (n, pixels) -> (n, classes)
        """Logits of images flattened and scaled to [0, 1]."""
        *hidden, last = self.children()
        for layer in hidden:
            x = torch.relu(layer(x))
        return last(x)

    def weights(self) -> list[nn.Parameter]:
        """The weight matrices, without the biases."""
        return [parameter for name, parameter in self.named_parameters() if name.endswith("weight")]

    def biases(self) -> list[nn.Parameter]:
        """The biases."""
        return [parameter for name, parameter in self.named_parameters() if name.endswith("bias")]
