"""The JAX backend: the pure functions of `training.py` behind the shared contract."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from mnist_fn.compiling import compile_for, use_compilation_cache
from mnist_fn.model import MLP
from mnist_fn.shared import faults
from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Split, scale_pixels
from mnist_fn.shared.errors import Argument, InputError
from mnist_fn.shared.optimizers import learning_rates
from mnist_fn.shared.runs.environment import cores
from mnist_fn.shared.state import ParamTree, StateTree
from mnist_fn.shared.streams import blank_state
from mnist_fn.training import Data, Hyper, State, apply, make_direction, make_loss, make_train_epoch


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
    faults.warn()
    try:
        return jax.local_devices(backend=None if name == "auto" else name)
    except (RuntimeError, AssertionError) as error:  # the latter where JAX_PLATFORMS has none
        platforms = os.environ.get("JAX_PLATFORMS", "")
        if name == "cpu" and platforms and (cpus := _cpu_alone()):
            return cpus
        reason = str(error).splitlines()[0][:160] if str(error) else "no reason given"
        hint: Any = ""
        if platforms:
            hint = f"unset JAX_PLATFORMS={platforms}, which lets JAX look for no other"
        if name != "cpu":
            install = "for an NVIDIA GPU install mnist-fn[cuda], or use "
            hint = (hint, ", or " if hint else "", install, Argument("device", "cpu"))
        what = (Argument("device", name), f": JAX finds none ({reason})")
        raise InputError(what, hint=hint) from error


def _cpu_alone() -> list[Any]:
    """The CPU where JAX_PLATFORMS leaves it out; none if JAX has started without it already."""
    platforms = getattr(jax.config, "jax_platforms")  # noqa: B009 - unknown to checkers
    try:
        jax.config.update("jax_platforms", "cpu")
        return jax.local_devices(backend="cpu")
    except (RuntimeError, AssertionError):
        jax.config.update("jax_platforms", platforms)
        return []


def describe(device: Any) -> str:
    """A device in words, as it is recorded."""
    return "cpu" if device.platform == "cpu" else device.device_kind


def threads_of(device: Any) -> int | None:
    """Threads of XLA's products on the CPU; None on an accelerator.

    PJRT_NPROC says how many; else there is one for each core that the process may use.
    """
    if device.platform != "cpu":
        return None
    threads = os.environ.get("PJRT_NPROC", "")
    return int(threads) if threads.isdecimal() and int(threads) else cores()


def make_model(config: Config, classes: int, device: Any) -> MLP:
    """The model of a config in its precision.

    Raises:
        InputError: the device does not have the precision.
    """
    if config.precision == "tf32":
        if device.platform != "gpu":
            text = f": {describe(device)} has none, NVIDIA GPUs since Ampere have"
            hint = ("use float32, or ", Argument("device", "gpu"), " where there is one")
            raise InputError((Argument("precision", "tf32"), text), hint=hint)
        algorithm = jax.lax.DotAlgorithmPreset.TF32_TF32_F32
        return MLP(config.hidden, classes, jnp.dtype("float32"), precision=algorithm)
    compute = jnp.dtype("bfloat16") if config.precision == "bf16" else None
    return MLP(config.hidden, classes, jnp.dtype(config.dtype), compute)


@contextlib.contextmanager
def scope(config: Config, device: Any) -> Iterator[None]:
    """Use float64 in a float64 run's calls alone; the caller's process keeps its own setting."""
    with jax.enable_x64(config.precision == "float64"), jax.default_device(device):
        yield


def to_numpy(tree: Any) -> ParamTree:
    """A tree of device or NumPy arrays as NumPy arrays of its own, in the model's order.

    JAX sorts the names of a tree as text: `layer10` before `layer2`.
    """
    arrays: ParamTree = {}
    for layer in sorted(tree, key=lambda name: int(name.removeprefix("layer"))):
        arrays[layer] = {kind: np.array(tree[layer][kind]) for kind in ("kernel", "bias")}
    return arrays


def scaled(images: np.ndarray, dtype: Any, placement: Any) -> jax.Array:
    """Rows of pixels (n, pixels) on a device or sharding, the very bits of `scale_pixels`.

    Bytes travel and a table of the 256 quotients makes numbers of them there: a quarter of the
    bytes, and no second copy in this process's memory.
    """
    table = scale_pixels(np.arange(256, dtype=np.uint8)[:, None, None], dtype.name).ravel()
    flat = images.reshape(len(images), -1)
    return _look_up(*jax.device_put((table, flat), placement))


@jax.jit
def _look_up(table: jax.Array, indices: jax.Array) -> jax.Array:
    return jnp.take(table, indices, mode="clip")


def place(split: Split, dtype: Any, placement: Any) -> tuple[jax.Array, jax.Array]:
    """A split's scaled images and its labels, int32, on a device or sharding."""
    labels = jax.device_put(split.labels.astype(np.int32), placement)
    return scaled(split.images, dtype, placement), labels


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
        self.device, self.threads = describe(device), threads_of(device)
        self._dtype = jnp.dtype(config.dtype)
        self._test = dataset.test.images
        model = make_model(config, dataset.classes, device)
        self._scope = partial(scope, config, device)
        self._loss = make_loss(model)
        self._epoch = jax.jit(
            make_train_epoch(model, config.batch_size, make_direction(config)), donate_argnums=0
        )
        self._logits = jax.jit(partial(apply, model))
        self._gradients = jax.jit(jax.grad(self._loss, has_aux=True))
        self._losses = jax.jit(self._loss)
        self._programs: dict[int, jax.stages.Compiled] = {}  # by the length of the order
        self._steps_an_epoch = ceil(len(dataset.train) / config.batch_size)
        self._shapes = _shapes(config, dataset, self._dtype)
        use_compilation_cache()
        with ThreadPoolExecutor(1) as pool:  # compiling needs no data, only their shapes
            compiling = pool.submit(self._program, len(dataset.train))
            with self._scope():
                self._data = Data(*place(dataset.train, self._dtype, device))
                self._test_on_device = place(dataset.test, self._dtype, device)[0]
                self.take_hyper(config)
            compiling.result()

    def take_hyper(self, config: Config) -> None:
        """Go on with the λ, learning rate and decay of another config of this shape."""
        self._learning_rate = config.learning_rate
        with self._scope():
            hyper = {}
            for name in Hyper._fields:
                hyper[name] = self._put(np.asarray(getattr(config, name), self._dtype))
            self._hyper = Hyper(**hyper)

    def load(self, state: StateTree) -> State:
        """Copy a shared state to the device."""
        with self._scope():
            params, slots = jax.tree.map(
                lambda tensor: self._put(np.array(tensor, self._dtype)), (state.params, state.slots)
            )
            return State(params, slots, self._put(np.asarray(state.step, np.int32)))

    def dump(self, state: State) -> StateTree:
        """Copy a state to NumPy."""
        slots = {name: to_numpy(slot) for name, slot in state.slots.items()}
        return StateTree(to_numpy(state.params), slots, int(np.asarray(state.step)))

    def train_epoch(self, state: State, order: np.ndarray) -> tuple[State, EpochMetrics]:
        """Run one epoch; the given state's memory is reused."""
        with self._scope():
            program = self._program(len(order))
            hyper = self._hyper_of_epoch(state, len(order))
            state, sums = program(state, self._put(order), self._data, hyper)
            return state, EpochMetrics(float(sums.loss), int(sums.correct), len(order))

    def logits(self, state: State, images: np.ndarray) -> np.ndarray:
        """Logits of uint8 images [n, rows, columns]; the test set stays on the device."""
        with self._scope():
            if images is self._test:
                pixels = self._test_on_device
            else:
                pixels = scaled(images, self._dtype, self._device)
            return np.asarray(self._logits(state.params, pixels))

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

    def _hyper_of_epoch(self, state: State, n: int) -> Hyper:
        """With the learning rate of each of its steps, if there is a schedule."""
        if self.config.schedule == "constant":
            return self._hyper
        config = self.config.replace(learning_rate=self._learning_rate)
        steps = ceil(n / config.batch_size)
        rates = learning_rates(config, int(state.step), steps, self._steps_an_epoch)
        return self._hyper._replace(learning_rate=self._put(rates.astype(self._dtype)))

    def _program(self, n: int) -> jax.stages.Compiled:
        """The compiled epoch over n examples; compiled ahead, so it can't retrace unseen."""
        if n not in self._programs:
            with self._scope():
                order = jax.ShapeDtypeStruct((n,), jnp.int32)
                state, data, hyper = self._shapes
                if self.config.schedule != "constant":
                    steps = ceil(n / self.config.batch_size)
                    rates = jax.ShapeDtypeStruct((steps,), self._dtype)
                    hyper = hyper._replace(learning_rate=cast(Any, rates))
                lowered = self._epoch.lower(state, order, data, hyper)
                self._programs[n] = compile_for(lowered, self._device)
        return self._programs[n]

    def _batch(self, indices: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return self._data.images[indices], self._data.labels[indices]

    def _put(self, array: np.ndarray) -> jax.Array:
        return jax.device_put(array, self._device)


def _shapes(config: Config, dataset: Dataset, dtype: Any) -> tuple[State, Data, Hyper]:
    """Shapes and dtypes of what an epoch takes besides its order."""
    blank = blank_state(config, dataset.pixels, dataset.classes)
    params, slots = jax.tree.map(
        lambda tensor: jax.ShapeDtypeStruct(tensor.shape, dtype), (blank.params, blank.slots)
    )
    state = State(params, slots, cast(Any, jax.ShapeDtypeStruct((), jnp.int32)))
    n = len(dataset.train)
    images = jax.ShapeDtypeStruct((n, dataset.pixels), dtype)
    data = Data(*cast(Any, (images, jax.ShapeDtypeStruct((n,), jnp.int32))))
    return state, data, Hyper(*cast(Any, (jax.ShapeDtypeStruct((), dtype),) * 3))
