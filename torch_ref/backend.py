"""The PyTorch backend: the plain training code of `train.py` behind the shared contract."""

from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, scale_pixels
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.optimizers import learning_rates, slots_of
from mnist_fn.shared.state import ParamTree, StateTree
from torch_ref.computing import ComputingThread, in_its_thread
from torch_ref.model import MLP
from torch_ref.train import SLOTS, make_optimizer, objective, train_epoch
from torch_ref.weights import from_state_dict, to_state_dict


def make(config: Config, dataset: Dataset, device: str = "auto") -> "TorchBackend":
    """Put the data on the device.

    Raises:
        InputError: no such device, or a precision that this backend does not have.
    """
    if config.precision != config.dtype:
        raise InputError("precision", config.precision, "float32 or float64 on the torch backend")
    return TorchBackend(config, dataset, find_device(device))


def find_device(name: str) -> torch.device:
    """The device for "auto" (a GPU if there is one), "cpu" or "gpu".

    Raises:
        InputError: PyTorch has no such device here.
    """
    has_gpu = torch.cuda.is_available()
    if name == "gpu" and not has_gpu:
        text = ": PyTorch finds no CUDA GPU here; use "
        raise InputError((Argument("device", "gpu"), text, Argument("device", "cpu")))
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def describe(device: torch.device) -> str:
    """A device in words, as it is recorded."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


class State(NamedTuple):
    """A model and its optimizer, which change in place, and the number of steps taken."""

    model: MLP
    optimizer: torch.optim.Optimizer
    step: int


class TorchBackend:
    """See `mnist_fn.shared.backend.Backend` for the methods."""

    name = "torch"

    def __init__(self, config: Config, dataset: Dataset, device: torch.device) -> None:
        self.config = config
        self.computing = ComputingThread()
        self._device = device
        self.threads = self.computing.threads if device.type == "cpu" else None
        self.device = describe(device)
        self._dtype = getattr(torch, config.dtype)
        self._test = dataset.test.images
        self._slots = {name: SLOTS[config.optimizer][name] for name in slots_of(config)}
        self._steps_an_epoch = ceil(len(dataset.train) / config.batch_size)
        self._sizes = (dataset.pixels, config.hidden, dataset.classes)
        self._images = self._put(scale_pixels(dataset.train.images, config.dtype))
        self._labels = self._put(dataset.train.labels.astype(np.int64))
        self._test_on_device = self._put(scale_pixels(self._test, config.dtype))

    @in_its_thread
    def load(self, state: StateTree) -> State:
        """A model and an optimizer with this state."""
        model = MLP(*self._sizes, dtype=self._dtype).to(self._device)
        model.load_state_dict(to_state_dict(state.params))
        optimizer = make_optimizer(model, self.config)
        slots = {theirs: to_state_dict(state.slots[ours]) for ours, theirs in self._slots.items()}
        for name, parameter in model.named_parameters():
            optimizer.state[parameter] = {
                "step": torch.tensor(float(state.step), device=self._device),
                **{slot: tree[name].to(self._device, self._dtype) for slot, tree in slots.items()},
            }
        return State(model, optimizer, state.step)

    @in_its_thread
    def dump(self, state: State) -> StateTree:
        """Copy a state to NumPy."""
        slots = {}
        for ours, theirs in self._slots.items():
            tensors = {}
            for name, parameter in state.model.named_parameters():
                tensors[name] = state.optimizer.state[parameter][theirs]
            slots[ours] = from_state_dict(tensors)
        return StateTree(from_state_dict(state.model.state_dict()), slots, state.step)

    @in_its_thread
    def train_epoch(self, state: State, order: np.ndarray) -> tuple[State, EpochMetrics]:
        """Run one epoch; the given state is changed in place and returned."""
        batches = self._indices(order).split(self.config.batch_size)
        rates = learning_rates(self.config, state.step, len(batches), self._steps_an_epoch)
        loss_sum, correct = train_epoch(
            state.model,
            state.optimizer,
            self._images,
            self._labels,
            self.computing.while_awaited(batches),
            rates.tolist(),
        )
        state = state._replace(step=state.step + len(batches))
        return state, EpochMetrics(loss_sum, correct, len(order))

    @in_its_thread
    @torch.inference_mode()
    def logits(self, state: State, images: np.ndarray) -> np.ndarray:
        """Logits of uint8 images [n, rows, columns]; the test set stays on the device."""
        if images is self._test:
            pixels = self._test_on_device
        else:
            pixels = self._put(scale_pixels(images, self.config.dtype))
        return state.model(pixels).cpu().numpy()

    @in_its_thread
    def losses(self, state: State, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch."""
        cross_entropy = self._cross_entropy(state.model, indices)
        total = objective(state.model, cross_entropy, self.config.l2)
        return cross_entropy.item(), total.item()

    @in_its_thread
    def gradients(self, state: State, indices: np.ndarray) -> ParamTree:
        """Gradient of the objective on one batch."""
        total = objective(state.model, self._cross_entropy(state.model, indices), self.config.l2)
        names, parameters = zip(*state.model.named_parameters(), strict=True)
        grads = torch.autograd.grad(total, parameters)
        return from_state_dict(dict(zip(names, grads, strict=True)))

    def _cross_entropy(self, model: MLP, indices: np.ndarray) -> torch.Tensor:
        batch = self._indices(indices)
        return nn.functional.cross_entropy(model(self._images[batch]), self._labels[batch])

    def _indices(self, indices: np.ndarray) -> torch.Tensor:
        return self._put(indices.astype(np.int64))

    def _put(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)
