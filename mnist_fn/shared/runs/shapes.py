"""Runs of one shape share a program: which do, and the group that trains them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from mnist_fn.shared import backend as backends
from mnist_fn.shared.backend import Group, GroupOfOne
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset

T = TypeVar("T")


def shape_of(config: Config) -> Config:
    """What two configs have in common if one program can train both, the data included."""
    own = {} if config.validation else {"seed": 0}
    decay = 1.0 if config.optimizer == "adamw" else 0.0
    return config.replace(l2=0.0, learning_rate=1.0, weight_decay=decay, **own)


def by_shape(configs: Sequence[Config]) -> list[list[Config]]:
    """The configs that one program can train, together; in the order of their first."""
    shapes: dict[Config, list[Config]] = {}
    for config in configs:
        shapes.setdefault(shape_of(config), []).append(config)
    return list(shapes.values())


def shared_group(
    backend: str, config: Config, dataset: Dataset, device: str, models: int, memory: int | None
) -> Group | None:
    """A group for every run of a config's shape; None for a backend that has no groups.

    Arguments and errors as for `shared.backend.MakeGroup` and `find_group`.
    """
    make_group = backends.find_group(backend)
    return None if make_group is None else make_group(config, dataset, device, models, memory)


def single_group(backend: str, config: Config, dataset: Dataset, device: str) -> Group:
    """A group of one for one run; arguments and errors as for `shared.backend.MakeBackend`."""
    return GroupOfOne(backends.find(backend)(config, dataset, device))


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, `size` at a time; the last may be fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
