"""How many models a sweep trains at once: as many as fit, in equal loads."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnist_fn.backend import JaxBackend, find_devices
from mnist_fn.shared.backend import Group, GroupOfOne
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.state import StateTree, count_parameters
from mnist_fn.shared.streams import blank_state
from mnist_fn.sweeping import JaxGroup

MEMORY_SHARE = 0.8  # of what is free on an accelerator, for everything


def make_group(
    config: Config,
    dataset: Dataset,
    device: str = "auto",
    models: int = 1,
    memory: int | None = None,
) -> Group:
    """Put the data on every local device and compile the epoch; see `shared.backend.MakeGroup`.

    A CPU takes one model at a time: a product of one model fills its cores already, and vmap was
    6 % slower than one model after another.
    """
    devices = find_devices(device)
    on_cpu = devices[0].platform == "cpu"
    if memory is None and not on_cpu:
        memory = free_bytes(devices[0]) * len(devices)
    per_device = 1 if on_cpu else math.ceil(models / len(devices))
    if memory is not None:
        per_device = min(per_device, models_in(config, dataset, memory // len(devices)))
    # balanced loads: 180 models, at most 64 at a time, are 3 times 60, not 64, 64 and 52
    loads = math.ceil(models / (per_device * len(devices)))
    per_device = math.ceil(models / (loads * len(devices)))
    if per_device * len(devices) == 1:
        return OneAtATime(JaxBackend(config, dataset, devices[0]))
    return JaxGroup(config, dataset, devices, per_device)


class OneAtATime(GroupOfOne):
    """A sweep's models one after another through the very program of a single run: its bits."""

    _backend: JaxBackend

    def load(self, configs: Sequence[Config], states: Sequence[StateTree]) -> Any:
        """See Group; the one config may be any of the shape's."""
        self._backend.take_hyper(configs[0])
        return super().load(configs, states)


def models_in(config: Config, dataset: Dataset, memory: int) -> int:
    """How many models fit into the bytes of one device besides the data.

    Raises:
        InputError: not even one.
    """
    examples = len(dataset.train) + len(dataset.test) + len(dataset.validation or ())
    data = np.dtype(config.dtype).itemsize * examples * dataset.pixels
    count = (memory - data) // model_bytes(config, dataset)
    if count < 1:
        need = data + model_bytes(config, dataset)
        text = f": {memory:,} bytes to a device, the data and one model take {need:,}; allow more"
        raise InputError((Argument("max_memory"), text))
    return count


def model_bytes(config: Config, dataset: Dataset) -> int:
    """Memory that one more model takes, from above: weights, two moments and the gradient,
    each once more as an update's result; the activations of a batch in training and of the test
    set in evaluation; the epoch's order.
    """
    itemsize = np.dtype(config.dtype).itemsize
    sizes = (dataset.pixels, *config.hidden, dataset.classes)
    parameters = count_parameters(blank_state(config, dataset.pixels, dataset.classes).params)
    activations = 3 * config.batch_size * sum(sizes) + 2 * len(dataset.test) * sum(sizes[1:])
    return itemsize * (8 * parameters + activations) + 4 * len(dataset.train)


def free_bytes(device: Any) -> int:
    """Bytes that may be taken of what nobody holds; of 8 GiB where the device does not say."""
    stats = device.memory_stats() or {}
    free = stats.get("bytes_limit", 2**33) - stats.get("bytes_in_use", 0)
    return int(MEMORY_SHARE * free)
