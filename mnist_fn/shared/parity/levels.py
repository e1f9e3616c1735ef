"""The four levels of a parity run: which experiments each compares, and how far it goes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from mnist_fn.shared import backend as backends
from mnist_fn.shared.config import MODELS, PRECISIONS, Config
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity import ladder
from mnist_fn.shared.parity.backends.checks import Pair
from mnist_fn.shared.parity.backends.climb import BackendClimb
from mnist_fn.shared.parity.backends.diagnosis import NOTHING, Diagnosis, explain
from mnist_fn.shared.parity.result import Rung

SCHEMA = 1  # of the documents that `mnist-fn parity --out` keeps
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam+l2": {"l2": 3e-5},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "l2": 3e-5},
    "sgd+nesterov": {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
    "rmsprop": {"optimizer": "rmsprop", "l2": 3e-5},
    "adam+cosine": {"schedule": "linear-warmup-cosine", "warmup": 100, "epochs": 2},
}


@dataclass(frozen=True)
class Level:
    """What a level runs where the command says nothing else."""

    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    precisions: tuple[str, ...] = ("float64", "float32")
    steps: Mapping[str, int] = field(default_factory=dict)  # of the trajectories, by precision


_ALL = tuple(MODELS)
LEVELS = {
    "quick": Level(_ALL, ("adam+l2",), steps={"float64": 300, "float32": 300}),
    # beyond an epoch a float32 trajectory says nothing that its control runs don't
    "full": Level(_ALL, ("adam", "adam+l2", "adamw"), steps={"float64": 3000, "float32": 300}),
    "horizon": Level(("shallow",), ("adam+l2",)),
    "statistics": Level(_ALL, ("adam",), ("float32",)),
}
# In float64 chaos comes after some 75 epochs; in float32 within the first, and by the fifth all
# tracks have parted.
HORIZON_EPOCHS = {"float64": 100, "float32": 10}
STATISTICS_EPOCHS = 20


@dataclass(frozen=True)
class Plan:
    """One parity run: two backends, and the experiments they are compared on."""

    level: str
    names: tuple[str, str]
    devices: tuple[str, str]
    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    precisions: tuple[str, ...]
    dataset: str
    epochs: int | None = None  # of a horizon; None is HORIZON_EPOCHS

    def experiments(self, **fields: Any) -> Iterator[tuple[dict[str, str], Config]]:
        """Each experiment's name and its Config."""
        axes = (self.models, self.optimizers, self.precisions)
        for model, optimizer, precision in product(*axes):
            name = {"model": model, "optimizer": optimizer, "precision": precision}
            changes = {**OPTIMIZERS[optimizer], **fields}
            yield (
                name,
                Config(dataset=self.dataset, hidden=MODELS[model], precision=precision, **changes),
            )

    def horizons(self) -> Iterator[tuple[dict[str, str], Config]]:
        """The same, as long as a horizon is."""
        for name, config in self.experiments():
            yield name, config.replace(epochs=self.epochs or HORIZON_EPOCHS[config.precision])

    def pair(self, config: Config, dataset: Dataset) -> Pair:
        """The two backends on one experiment; InputError if one isn't installed."""
        left, right = map(backends.find, self.names)
        return Pair(left, right, config, dataset, self.devices)


def make_plan(level: str, names: Sequence[str], devices: Sequence[str], **choices: Any) -> Plan:
    """A plan from what was asked for; None leaves the level's own.

    Args:
        level: one of LEVELS.
        names: two backends.
        devices: one for both, or two.
        choices: models, optimizers, precisions, dataset; epochs of a horizon.

    Raises:
        InputError: an unknown name, or not two backends.
    """
    if level not in LEVELS:
        raise InputError("level", level, tuple(LEVELS))
    if len(names) != 2:
        raise InputError(f"--backends {','.join(names)[:40]!r}: expected two, such as jax,torch")
    if len(devices) not in (1, 2):
        raise InputError(f"--device {','.join(devices)[:40]!r}: expected one, or two for the two")
    left, right = backends.check_device(devices[0]), backends.check_device(devices[-1])
    for name in names:
        backends.find(name)
    if level != "statistics" and names[0] == names[1] and left == right:
        raise InputError(
            f"--backends {','.join(names)}: one backend on one device agrees with itself; give two "
            "backends, or two --device"
        )
    paired = level == "statistics"  # there two precisions are the two sides', as two devices are
    precisions = PRECISIONS if paired else ("float64", "float32")
    axes = {"models": MODELS, "optimizers": OPTIMIZERS, "precisions": precisions}
    chosen: dict[str, Any] = {}
    for axis, known in axes.items():
        chosen[axis] = tuple(choices.get(axis) or getattr(LEVELS[level], axis))
        option = axis.removesuffix("s")
        for value in chosen[axis]:
            if value not in known:
                raise InputError(option, value, tuple(known))
        if len(set(chosen[axis])) < len(chosen[axis]) and not (paired and axis == "precisions"):
            raise InputError(f"--{option} {','.join(chosen[axis])[:40]}: a value is given twice")
    if paired and len(chosen["precisions"]) > 2:
        raise InputError("--precision: statistics compare two sides, so give one or two")
    if paired and left == right and len(set(names)) == len(set(chosen["precisions"])) == 1:
        raise InputError(
            f"--backends {','.join(names)}: both sides would be the same runs; statistics compare "
            "two backends, two --precision or two --device"
        )
    epochs = choices.get("epochs")
    if epochs is not None and level != "horizon":
        raise InputError("--epochs: for --level horizon; the other levels have their own length")
    if epochs is not None and not 1 <= epochs <= 1000:
        raise InputError(f"--epochs {epochs}: must be between 1 and 1000")
    dataset = choices.get("dataset") or "mnist"
    return Plan(
        level, (names[0], names[1]), (left, right), dataset=dataset, epochs=epochs, **chosen
    )


def climb_all(
    plan: Plan,
    dataset: Dataset,
    on_ladder: Callable[[dict[str, str]], None],
    on_rung: Callable[[Rung], None],
) -> list[dict[str, Any]]:
    """A ladder for each experiment; all are climbed, whatever failed before."""
    ladders = []
    in_float64: dict[Config, Diagnosis] = {}  # of each experiment that was climbed in it
    for name, config in plan.experiments():
        on_ladder(name)
        steps = LEVELS[plan.level].steps[config.precision]
        pair, wide = plan.pair(config, dataset), config.replace(precision="float64")
        rungs, _ = ladder.climb(BackendClimb(pair, steps), on_rung=on_rung)
        passed = rungs[-1].passed
        document = {**name, "steps": steps, "passed": passed, "rungs": [r.to_dict() for r in rungs]}
        why = NOTHING
        if not passed:
            why = explain(pair, rungs[-1], in_float64.get(wide))
            document["diagnosis"] = {**why.to_dict(), "next_rung": _next_rung(pair, rungs[-1])}
        if config == wide:
            in_float64[config] = why
        ladders.append(document)
    return ladders


def _next_rung(pair: Pair, failed: Rung) -> dict[str, Any] | None:
    """The rung above the one that failed, climbed for what it shows; None where it is of a
    training, or nothing can be compared.
    """
    if failed.traceback or failed.worst.kind == "contract":
        return None
    higher = ladder.OF_BACKENDS[ladder.BACKEND_RUNGS.index(failed.name) + 1 :]
    if not higher or higher[0].long:
        return None
    (rung,), _ = ladder.climb(BackendClimb(pair), (higher[0].name,))
    return rung.to_dict()
