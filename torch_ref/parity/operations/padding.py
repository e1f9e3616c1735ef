"""The paddings of convolutions and poolings, in numbers and in words."""

from typing import Any


def each(setting: Any, n: int) -> tuple[Any, ...]:
    """A setting for each of n axes."""
    return (setting,) * n if isinstance(setting, int) else tuple(setting)


def single(setting: Any) -> Any:
    """A tuple of equal numbers as one number."""
    return setting[0] if isinstance(setting, tuple) and len(set(setting)) == 1 else setting


def same(sizes: Any, kernel: Any, strides: Any) -> list[tuple[int, int]]:
    """What SAME, XLA's and TensorFlow's, adds before and after each axis."""
    sides = []
    for size, k, stride in zip(sizes, kernel, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        sides.append((total // 2, total - total // 2))
    return sides


def for_pad(sides: list[tuple[int, int]]) -> list[int]:
    """As torch.nn.functional.pad takes them: the last axis first."""
    return [width for side in reversed(sides) for width in side]
