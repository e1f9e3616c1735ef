"""Sweeps: the `train_epoch` of a single run over many models in one program.

The models of a device are one `jax.vmap`: small products become large ones. They are spread over
all local devices. How many at once, and where one at a time is faster: `capacity.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from operator import itemgetter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mnist_fn.backend import describe, make_model, place, scope, threads_of, to_numpy
from mnist_fn.compiling import compile_for, use_compilation_cache
from mnist_fn.shared.backend import EpochMetrics
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, Split
from mnist_fn.shared.evaluation import Evaluation, confusion_matrix
from mnist_fn.shared.optimizers import learning_rates
from mnist_fn.shared.state import StateTree
from mnist_fn.shared.streams import blank_state
from mnist_fn.training import Data, Hyper, State, apply, make_direction, make_train_epoch


class Loaded(NamedTuple):
    """A group's state: what every device array has in front is the axis of the models."""

    configs: Sequence[Config]  # with the padding's
    models: int  # without the padding
    hyper: Hyper  # (size,) each
    state: State


class JaxGroup:
    """See `mnist_fn.shared.backend.Group` for the methods."""

    name = "jax"

    def __init__(
        self, config: Config, dataset: Dataset, devices: Sequence[Any], per_device: int
    ) -> None:
        """Compile for `per_device` models on each device.

        Args:
            config: any of the runs.
            dataset: of all of them.
            devices: the models are spread over these.
            per_device: models on a device.
        """
        self.config = config
        self._device = devices[0]
        self.threads = threads_of(devices[0])
        self.device = describe(devices[0]) + (f" x {len(devices)}" if len(devices) > 1 else "")
        self.size = per_device * len(devices)
        self._dtype = np.dtype(config.dtype)
        mesh = Mesh(np.array(devices), ("models",))
        self._split, self._whole = NamedSharding(mesh, P("models")), NamedSharding(mesh, P())
        self._scope = partial(scope, config, devices[0])
        self._splits: dict[int, tuple[Split, jax.Array, jax.Array]] = {}
        model = make_model(config, dataset.classes, devices[0])
        self._over = over = partial(_over_models, mesh)
        self._programs: dict[int, jax.stages.Compiled] = {}  # by the length of the orders
        self._steps_an_epoch = ceil(len(dataset.train) / config.batch_size)
        start = blank_state(config, dataset.pixels, dataset.classes)
        use_compilation_cache()
        with self._scope():
            self._data = Data(*place(dataset.train, self._dtype, self._whole))
            epoch = make_train_epoch(model, config.batch_size, make_direction(config))
            epoch = over(epoch, (True, True, False, True))
            self._epoch = jax.jit(epoch, donate_argnums=0)
            self._program(self.load([config], [start]), len(dataset.train))
            self._judge = jax.jit(over(partial(_judge, model), (True, False, False)))

    def _program(self, state: Loaded, n: int) -> jax.stages.Compiled:
        """The compiled epoch of every model over n examples, from such a state."""
        if n not in self._programs:
            orders = jax.ShapeDtypeStruct((self.size, n), np.int32, sharding=self._split)
            hyper = self._hyper_of_epoch(state, n)
            lowered = self._epoch.lower(state.state, orders, self._data, hyper)
            self._programs[n] = compile_for(lowered, self._device)
        return self._programs[n]

    def load(self, configs: Sequence[Config], states: Sequence[StateTree]) -> Loaded:
        """Copy states to the devices; a short load is filled up with its last model."""
        padding = self.size - len(states)
        states = [*states, *[states[-1]] * padding]
        configs = [*configs, *[configs[-1]] * padding]
        hyper: dict[str, Any] = {}
        for name in Hyper._fields:
            hyper[name] = np.array([getattr(config, name) for config in configs], self._dtype)
        with self._scope():
            placed = jax.device_put((Hyper(**hyper), _stack(states)), self._split)
        return Loaded(configs, len(states) - padding, *placed)

    def dump(self, state: Loaded) -> list[StateTree]:
        """Copy states to NumPy."""
        stacked = jax.device_get(state.state)
        states = []
        for i in range(state.models):
            params, slots, count = jax.tree.map(itemgetter(i), stacked)
            slots = {name: to_numpy(slot) for name, slot in slots.items()}
            states.append(StateTree(to_numpy(params), slots, int(count)))
        return states

    def train_epoch(
        self, state: Loaded, orders: Sequence[np.ndarray]
    ) -> tuple[Loaded, list[EpochMetrics]]:
        """Run one epoch of every model; the given state's memory is reused."""
        stacked = np.stack([*orders, *[orders[-1]] * (self.size - len(orders))])
        with self._scope():
            order = jax.device_put(stacked, self._split)
            program = self._program(state, stacked.shape[1])
            hyper = self._hyper_of_epoch(state, stacked.shape[1])
            trained, sums = program(state.state, order, self._data, hyper)
            loss, correct = jax.device_get((sums.loss, sums.correct))
        metrics = []
        for i in range(state.models):
            metrics.append(EpochMetrics(float(loss[i]), int(correct[i]), stacked.shape[1]))
        return state._replace(state=trained), metrics

    def _hyper_of_epoch(self, state: Loaded, n: int) -> Hyper:
        """With the learning rate of each model's steps, if there is a schedule."""
        if self.config.schedule == "constant":
            return state.hyper
        steps, rates = ceil(n / self.config.batch_size), []
        for config, count in zip(state.configs, np.asarray(state.state.step), strict=True):
            rates.append(learning_rates(config, int(count), steps, self._steps_an_epoch))
        placed = jax.device_put(np.array(rates, self._dtype), self._split)
        return state.hyper._replace(learning_rate=placed)

    def evaluate(self, state: Loaded, split: Split) -> list[Evaluation]:
        """Evaluate every model on a split there, in float64; the split stays on the devices."""
        with self._scope():
            images, labels = self._kept(split)
        with self._scope(), jax.enable_x64(True):
            losses, predictions = jax.device_get(self._judge(state.state.params, images, labels))
        classes = int(state.state.params[f"layer{len(self.config.hidden) + 1}"]["bias"].shape[-1])
        evaluations = []
        for i in range(state.models):
            confusion = confusion_matrix(split.labels, predictions[i], classes)
            evaluations.append(Evaluation(float(losses[i]), predictions[i], confusion))
        return evaluations

    def _kept(self, split: Split) -> tuple[jax.Array, jax.Array]:
        if id(split) not in self._splits:  # the split is kept too, so its id stays its own
            self._splits[id(split)] = (split, *place(split, self._dtype, self._whole))
        return self._splits[id(split)][1:]


def _over_models(
    mesh: Mesh, function: Callable[..., Any], mapped: tuple[bool, ...]
) -> Callable[..., Any]:
    """`function` over the models of every device; `mapped` says which arguments have their axis."""
    over_a_device = jax.vmap(function, tuple(0 if axis else None for axis in mapped))
    specs = tuple(P("models") if axis else P() for axis in mapped)
    return jax.shard_map(over_a_device, mesh=mesh, in_specs=specs, out_specs=P("models"))


def _judge(
    model: Any, params: Any, images: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy in float64 and predictions uint8 (n,), as `shared.evaluation` has them."""
    logits = apply(model, params, images)  # (n, classes)
    wide = logits.astype(jnp.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    log_probabilities = shifted - jnp.log(jnp.exp(shifted).sum(axis=1, keepdims=True))
    right = jnp.take_along_axis(log_probabilities, labels[:, None], axis=1)
    return -right.mean(), jnp.argmax(logits, axis=1).astype(jnp.uint8)


def _stack(states: Sequence[StateTree]) -> State:
    """States as one, the axis of the models in front."""
    trees = [(state.params, state.slots) for state in states]
    params, slots = jax.tree.map(lambda *tensors: np.stack(tensors), *trees)
    return State(params, slots, cast(jax.Array, np.array([s.step for s in states], np.int32)))
