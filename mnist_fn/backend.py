"""The JAX backend: the pure functions of `training.py` behind the shared contract."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mnist_fn.model import MLP
from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.shared.streams import initial_state
from mnist_fn.training import Data, Hyper, State, apply, make_loss, make_train_epoch


def make(config: Config, dataset: Dataset, device: str = "auto") -> "JaxBackend":
    """Put the data on the device and compile the epoch.

    Raises:
        InputError: no such device, or it has not enough memory.
    """
    return JaxBackend(config, dataset, find_device(device))


def find_device(name: str) -> jax.Device:  # pyright: ignore[reportInvalidTypeForm]
    """The device for "auto" (JAX's own choice), "cpu" or "gpu".

    Raises:
        InputError: JAX has no such device here.
    """
    try:
        return jax.devices(None if name == "auto" else name)[0]
    except (RuntimeError, AssertionError) as error:  # the latter where JAX_PLATFORMS has none
        reason = str(error).splitlines()[0][:160] if str(error) else "no reason given"
        raise InputError(
            f"--device {name}: JAX finds none ({reason}); for an NVIDIA GPU install "
            "mnist-fn[cuda], or use --device cpu"
        ) from error


class JaxBackend:
    """See `mnist_fn.shared.backend.Backend` for the methods."""

    name = "jax"

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        device: jax.Device,  # pyright: ignore[reportInvalidTypeForm]
    ) -> None:
        self.config = config
        self._device = device
        self.device = "cpu" if device.platform == "cpu" else device.device_kind
        self._dtype = jnp.dtype(config.precision)
        self._test = dataset.test.images
        model = MLP(config.hidden, dataset.classes, self._dtype)
        with self._scope():
            self._data = Data(
                images=self._put(scale_pixels(dataset.train.images, config.precision)),
                labels=self._put(dataset.train.labels.astype(np.int32)),
            )
            self._test_on_device = self._put(scale_pixels(self._test, config.precision))
            self._hyper = Hyper(
                *(
                    self._put(np.asarray(value, self._dtype))
                    for value in (config.learning_rate, config.l2, config.weight_decay)
                )
            )
            self._loss = make_loss(model)
            self._epoch = jax.jit(make_train_epoch(model, config.batch_size), donate_argnums=0)
            self._logits = jax.jit(partial(apply, model))
            self._gradients = jax.jit(jax.grad(self._loss, has_aux=True))
            self._losses = jax.jit(self._loss)
        self._programs: dict[int, jax.stages.Compiled] = {}  # by the length of the order
        self._state_like = _shapes(initial_state(config, dataset.pixels, dataset.classes))
        self._program(len(dataset.train))

    def load(self, state: StateTree) -> State:
        """Copy a shared state to the device."""
        with self._scope():
            params, mu, nu = (
                jax.tree.map(lambda tensor: self._put(np.array(tensor, self._dtype)), tree)
                for tree in (state.params, state.mu, state.nu)
            )
            count = self._put(np.asarray(state.step, np.int32))
            return State(params, optax.ScaleByAdamState(count, mu, nu))

    def dump(self, state: State) -> StateTree:
        """Copy a state to NumPy."""
        count, mu, nu = state.adam
        return StateTree(_numpy(state.params), _numpy(mu), _numpy(nu), int(np.asarray(count)))

    def train_epoch(self, state: State, order: np.ndarray) -> tuple[State, EpochMetrics]:
        """Run one epoch; the given state's memory is reused."""
        with self._scope():
            program = self._program(len(order))
            state, sums = program(state, self._put(order), self._data, self._hyper)
            return state, EpochMetrics(float(sums.loss), int(sums.correct), len(order))

    def logits(self, state: State, images: np.ndarray) -> np.ndarray:
        """Logits of uint8 images [n, rows, columns]; the test set stays on the device."""
        with self._scope():
            if images is self._test:
                there = self._test_on_device
            else:
                there = self._put(scale_pixels(images, self.config.precision))
            return np.asarray(self._logits(state.params, there))

    def losses(self, state: State, indices: np.ndarray) -> tuple[float, float]:
        """(cross-entropy, objective) of one batch."""
        with self._scope():
            objective, (cross_entropy, _) = self._losses(
                state.params, *self._batch(indices), self._hyper.l2
            )
            return float(cross_entropy), float(objective)

    def gradients(self, state: State, indices: np.ndarray) -> ParamTree:
        """Gradient of the objective on one batch."""
        with self._scope():
            grads, _ = self._gradients(state.params, *self._batch(indices), self._hyper.l2)
            return _numpy(grads)

    def _program(self, n: int) -> jax.stages.Compiled:
        """The compiled epoch over n examples; compiled ahead, so it can't retrace unseen."""
        if n not in self._programs:
            with self._scope():
                order = jax.ShapeDtypeStruct((n,), jnp.int32)
                lowered = self._epoch.lower(self._state_like, order, self._data, self._hyper)
                self._programs[n] = lowered.compile()
        return self._programs[n]

    def _batch(self, indices: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return self._data.images[indices], self._data.labels[indices]

    def _put(self, array: np.ndarray) -> jax.Array:
        return jax.device_put(array, self._device)

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        """float64 only in a float64 run and only inside its calls: the caller's process,
        a notebook say, keeps its own setting.
        """
        with jax.enable_x64(self.config.precision == "float64"), jax.default_device(self._device):
            yield


def _shapes(state: StateTree) -> State:
    params, mu, nu = (
        jax.tree.map(lambda tensor: jax.ShapeDtypeStruct(tensor.shape, tensor.dtype), tree)
        for tree in (state.params, state.mu, state.nu)
    )
    count = cast(jax.Array, jax.ShapeDtypeStruct((), jnp.int32))
    return State(params, optax.ScaleByAdamState(count, mu, nu))


def _numpy(tree: Any) -> ParamTree:
    return {
        layer: {kind: np.array(tensors[kind]) for kind in ("kernel", "bias")}
        for layer, tensors in tree.items()
    }
