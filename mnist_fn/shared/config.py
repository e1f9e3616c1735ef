"""The experiment as one frozen value. Its defaults are the study's recipe."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, wraps
from typing import Annotated, Any, TypeVar, get_type_hints

from mnist_fn.shared.errors import Argument, InputError, template
from mnist_fn.shared.optimizers import HYPERPARAMETERS, OPTIMIZERS, SCHEDULES, Range
from mnist_fn.shared.wording import between, nearest

DATASETS = ("mnist", "fashion-mnist", "kmnist", "digits", "idx")
ORIENTATIONS = ("auto", "upright", "as-stored")
INKS = ("auto", "light", "dark")
PRECISIONS = ("float32", "float64", "tf32", "bf16")
MODELS: dict[str, tuple[int, ...]] = {"linear": (), "shallow": (512,), "deep": (512, 256)}

MAX_SEED = 2**32 - 1
MAX_WIDTH = 65_536
MAX_LAYERS = 16
MAX_EPOCHS = 1_000_000
_SET_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?")
# Came later: left out of JSON at their defaults, so that what was written before reads, and a run's
# identity stays what it was.
_LATER = {
    "orientation": "auto",
    "ink": "auto",
    "momentum": 0.0,
    "nesterov": False,
    "schedule": "constant",
    "warmup": 0,
}

ConfigClass = TypeVar("ConfigClass")


def hidden_of(model: object) -> tuple[int, ...]:
    """The hidden layers' widths of a model by its name in MODELS.

    Raises:
        InputError: no such model.
    """
    if not isinstance(model, str) or model not in MODELS:
        raise InputError("model", model, tuple(MODELS))
    return MODELS[model]


def _may_name_its_model(cls: type[ConfigClass]) -> type[ConfigClass]:
    """`Config(model="deep")` stands for its `hidden`; what is read as `model` is a property."""
    init = cls.__init__

    @wraps(init)
    def named(self: Any, *values: Any, model: str | None = None, **attributes: Any) -> None:
        if model is not None:
            if "hidden" in attributes and _widths(_plain(attributes["hidden"])) != hidden_of(model):
                raise both_shapes()
            attributes["hidden"] = hidden_of(model)
        _check_names(attributes)
        init(self, *values, **attributes)

    setattr(cls, "__init__", named)  # noqa: B010 - a checker takes an assignment for a mistake
    return cls


def both_shapes() -> InputError:
    """The error for a model and widths at once; raise it."""
    return InputError(template("{model} and {hidden}: give one of them, both say the layers"))


@_may_name_its_model
@dataclass(frozen=True)
class Config:
    """One training run, apart from where it computes. Frozen and hashable.

    `model="deep"`, or another of MODELS, may be given in place of `hidden`. Numbers may be NumPy's,
    whole ones floats such as 5.0; `hidden` may be a list, or the width of a single layer.

    Two runs with equal configs draw the same initial weights and the same batches
    on every backend; what may differ between them is arithmetic alone.

    Raises:
        InputError: a field is out of its range; the message names it.
    """

    dataset: str = "mnist"  # one of DATASETS, or what its files' names begin with
    validation: Annotated[int, Range(0, 2**31)] = 0  # examples held out of train
    hidden: Annotated[tuple[int, ...], Range(1, MAX_WIDTH)] = (512,)  # widths of the hidden layers
    l2: Annotated[float, Range(0.0, 1e6)] = 0.0  # λ in CE + λ Σ W², weights only, no ½
    optimizer: Annotated[str, tuple(OPTIMIZERS)] = "adam"
    # decoupled, of the weights; adamw's
    weight_decay: Annotated[float, HYPERPARAMETERS["weight_decay"]] = 0.0
    learning_rate: Annotated[float, Range(0.0, 1e6)] = 5e-4
    batch_size: Annotated[int, Range(1, 2**31)] = 200
    epochs: Annotated[int, Range(1, MAX_EPOCHS)] = 100
    seed: Annotated[int, Range(0, MAX_SEED)] = 0  # of initial weights, batch order, validation
    precision: Annotated[str, PRECISIONS] = "float32"  # of the arithmetic
    # "upright" transposes pictures that were stored transposed; auto: EMNIST's
    orientation: Annotated[str, ORIENTATIONS] = "auto"
    ink: Annotated[str, INKS] = "auto"  # "light" on dark or "dark" on light; auto: by the borders
    momentum: Annotated[float, HYPERPARAMETERS["momentum"]] = 0.0  # sgd's
    nesterov: bool = False  # Nesterov's momentum; sgd's
    schedule: Annotated[str, SCHEDULES] = "constant"  # of the learning rate, over all epochs
    warmup: Annotated[int, Range(0, 2**31)] = 0  # steps in which the learning rate rises linearly

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        _check_dataset(self.dataset)
        if self.learning_rate == 0:
            raise InputError("learning_rate", self.learning_rate, "greater than 0")
        if len(self.hidden) > MAX_LAYERS:
            raise InputError(
                (Argument("hidden"), f": {len(self.hidden)} layers, at most {MAX_LAYERS}")
            )
        _check_optimizer(self)
        _check_schedule(self)

    @property
    def model(self) -> str:
        """The model's name (`linear`, `shallow`, `deep`) or its widths (`256-128`)."""
        for name, hidden in MODELS.items():
            if hidden == self.hidden:
                return name
        return "-".join(map(str, self.hidden))

    @property
    def dtype(self) -> str:
        """Of weights and moments: float64 in a float64 run, else float32.

        tf32 and bf16 round the inputs of the matrix products alone, to 10 and 7 bits of mantissa.
        """
        return "float64" if self.precision == "float64" else "float32"

    @cached_property
    def beginning(self) -> "Config":
        """What all runs have in common of which one may be the beginning of another, a Config.

        They differ in `epochs`. A schedule spreads over all of these, so none of its runs is the
        beginning of a longer one.
        """
        return replace(self, epochs=1) if self.schedule == "constant" else self

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back to an equal Config."""
        values = {**asdict(self), "hidden": list(self.hidden)}
        for name, default in _LATER.items():
            if values[name] == default:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: object) -> "Config":
        """Read what `to_dict` wrote, from a file that nobody need trust.

        Raises:
            InputError: not a mapping, a key unknown or missing, a value of a wrong type or range.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"config: expected an object, found {type(values).__name__}")
        names = set(cls.__dataclass_fields__)
        if unknown := sorted(str(key) for key in set(values) - names):
            raise InputError(f"config: unknown field {', '.join(unknown)[:80]}")
        if missing := sorted(names - set(values) - set(_LATER)):
            raise InputError(f"config: missing field {', '.join(missing)}")
        return cls(**values)

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed, checked again; `model` for its `hidden` here too."""
        if "model" in changes:
            changes.setdefault("hidden", hidden_of(changes["model"]))
        return replace(self, **changes)


_HINTS = get_type_hints(Config, include_extras=True)


def _check_names(fields_given: Mapping[str, Any]) -> None:
    known = list(Config.__dataclass_fields__)
    for name in fields_given:
        if name not in known:
            near = nearest(name, [*known, "model"])
            hint = f"did you mean `{near}`?" if near else f"there are {', '.join(known)}"
            raise InputError(f"Config has no {name[:40]!r}", hint=hint)


def _checked(name: str, value: object) -> Any:
    """A field's value as plain Python: of its annotated type, within its range or its choices.

    Raises:
        InputError: it is not.
    """
    hint = _HINTS[name]
    kind, limits = getattr(hint, "__origin__", hint), getattr(hint, "__metadata__", ((),))[0]
    convert, expected = _CONVERSIONS[kind]
    plain = convert(_plain(value))
    if plain is None:
        is_share = name == "validation" and isinstance(value, float) and 0 < value < 1
        hint = ("a count of examples, such as ", Argument(name, 6000)) if is_share else ()
        raise InputError(name, value, expected, hint)
    if isinstance(limits, Range):
        for number in plain if isinstance(plain, tuple) else (plain,):
            if not limits.low <= number <= limits.high:
                raise InputError(name, number, between(*limits))
    elif limits and plain not in limits:
        raise InputError(name, plain, limits)
    return plain


def _plain(value: Any) -> Any:
    """Numbers, arrays and lists of NumPy, JAX or PyTorch as Python's numbers and tuples."""
    if hasattr(value, "tolist") and not isinstance(value, type):
        value = value.tolist()
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _finite(value: Any) -> float | None:
    """0 and 0.0 are one experiment: one hash, one JSON."""
    if type(value) not in (int, float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _widths(value: Any) -> tuple[int, ...] | None:
    widths: list[int] = []
    for width in value if isinstance(value, tuple) else (value,):
        whole = _whole(width)
        if whole is None:
            return None
        widths.append(whole)
    return tuple(widths)


_CONVERSIONS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_finite, "a finite number"),
    bool: (lambda value: value if isinstance(value, bool) else None, "True or False"),
    str: (lambda value: value if isinstance(value, str) else None, "a word"),
    tuple[int, ...]: (_widths, "layer widths, such as (256, 128)"),
}


def _check_dataset(name: str) -> None:
    if not _SET_NAME.fullmatch(name):
        hint = template(
            "or what the names of the files in {data_dir} begin with, such as emnist-letters"
        )
        raise InputError("dataset", name, DATASETS, hint)


def _check_optimizer(config: Config) -> None:
    """InputError for a hyperparameter of another optimizer, or one that is needed."""
    optimizer = OPTIMIZERS[config.optimizer]
    for name in HYPERPARAMETERS:
        value = getattr(config, name)
        if value and name not in optimizer.hyperparameters:
            owner = next(key for key, kind in OPTIMIZERS.items() if name in kind.hyperparameters)
            penalty = ", or use {l2} for the study's penalty" if optimizer.coupled else ""
            raise InputError(
                (Argument(name, value, given=True), f" is {owner}'s"),
                hint=template(f"add {{optimizer={owner}}}{penalty}"),
            )
    if config.l2 and not optimizer.coupled:
        both = template(f" with {{optimizer={config.optimizer}}}: give one of them")
        raise InputError(
            (Argument("l2", config.l2, given=True), *both),
            hint=template(f"{config.optimizer} has its own decay, {{weight_decay}}"),
        )
    if config.optimizer == "adamw" and not config.weight_decay:
        raise InputError(
            template(
                "{optimizer=adamw} needs {weight_decay} above 0: PyTorch's default (0.01) and "
                "optax's (0.0001) differ, so none is assumed"
            )
        )
    if config.nesterov and not config.momentum:
        raise InputError(template("{nesterov=True} needs {momentum} above 0"))


def _check_schedule(config: Config) -> None:
    """InputError for a warmup without its schedule, or a schedule without its warmup."""
    warms_up = config.schedule == "linear-warmup-cosine"
    if warms_up != bool(config.warmup):
        raise InputError(
            (
                Argument("schedule", config.schedule),
                " with ",
                Argument("warmup", config.warmup, given=True),
            ),
            hint=template(
                "give {schedule=linear-warmup-cosine} a number of steps as {warmup}, and no other "
                "schedule one"
            ),
        )
