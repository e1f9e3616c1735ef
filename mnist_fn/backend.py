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
from mnist_fn.shared.backend import EpochMetrics, Group
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import Dataset, scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.shared.streams import initial_state
from mnist_fn.training import Data, Hyper, State, apply, make_loss, make_train_epoch


def make(config: Config, dataset: Dataset, device: str = "auto") -> "JaxBackend":
    """Put the data on the device and compile the epoch.

    Raises:
        InputError: no such device, or not with this precision.
    """
    return JaxBackend(config, dataset, find_devices(device)[0])


def find_devices(name: str) -> list[Any]:
    """The local devices for "auto" (JAX's own choice), "cpu" or "gpu".

    Raises:
        InputError: JAX has no such device here.
    """
    try:
        return jax.local_devices(backend=None if name == "auto" else name)
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:160] if str(error) else "no reason given"
        raise InputError(
            f"--device {name}: JAX finds none ({reason}); for an NVIDIA GPU install "
            "mnist-fn[cuda], or use --device cpu"
        ) from error


def describe(device: Any) -> str:
    """A device in words, as it is recorded."""
    return "cpu" if device.platform == "cpu" else device.device_kind


def make_model(config: Config, classes: int, device: Any) -> MLP:
    """The model of a config in its precision.

    Raises:
        InputError: the device does not have the precision.
    """
    if config.precision == "tf32":
        if device.platform != "gpu":
            raise InputError(
                f"--precision tf32: {describe(device)} has none, NVIDIA GPUs since Ampere have; "
                "use float32, or --device gpu where there is one"
            )
        algorithm = jax.lax.DotAlgorithmPreset.TF32_TF32_F32
        return MLP(config.hidden, classes, jnp.dtype("float32"), precision=algorithm)
    compute = jnp.dtype("bfloat16") if config.precision == "bf16" else None
    return MLP(config.hidden, classes, jnp.dtype(config.dtype), compute)


@contextlib.contextmanager
def scope(config: Config, device: Any) -> Iterator[None]:
    """float64 only in a float64 run and only inside its calls: the caller's process,
    a notebook say, keeps its own setting.
    """
    with jax.enable_x64(config.precision == "float64"), jax.default_device(device):
        yield


def to_numpy(tree: Any) -> ParamTree:
    """A tree of device or NumPy arrays as NumPy arrays of its own, kernels first."""
    return {
        layer: {kind: np.array(tensors[kind]) for kind in ("kernel", "bias")}
        for layer, tensors in tree.items()
    }


def make_group(
    config: Config, dataset: Dataset, device: str, models: int, memory: int | None
) -> Group:
    """Make a group for a sweep; see `shared.backend.MakeGroup`."""
    from mnist_fn import capacity

    return capacity.make_group(config, dataset, device, models, memory)


class JaxBackend:
    """See `mnist_fn.shared.backend.Backend` for the methods."""

    name = "jax"

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        device: Any,  # a jax.Device
    ) -> None:
        self.config = config
        self._device = device
        self.device = describe(device)
        self._dtype = jnp.dtype(config.dtype)
        self._test = dataset.test.images
        model = make_model(config, dataset.classes, device)
        self._scope = partial(scope, config, device)
        with self._scope():
            self._data = Data(
                images=self._put(scale_pixels(dataset.train.images, config.dtype)),
                labels=self._put(dataset.train.labels.astype(np.int32)),
            )
            self._test_on_device = self._put(scale_pixels(self._test, config.dtype))
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
        return StateTree(to_numpy(state.params), to_numpy(mu), to_numpy(nu), int(np.asarray(count)))

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
                there = self._put(scale_pixels(images, self.config.dtype))
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
            return to_numpy(grads)

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


def _shapes(state: StateTree) -> State:
    params, mu, nu = (
        jax.tree.map(lambda tensor: jax.ShapeDtypeStruct(tensor.shape, tensor.dtype), tree)
        for tree in (state.params, state.mu, state.nu)
    )
    count = cast(jax.Array, jax.ShapeDtypeStruct((), jnp.int32))
    return State(params, optax.ScaleByAdamState(count, mu, nu))
