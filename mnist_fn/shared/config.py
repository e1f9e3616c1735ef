"""The experiment as one frozen value. Its defaults are the study's recipe."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from typing import Any, TypeVar

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.wording import nearest

DATASETS = ("mnist", "fashion-mnist", "kmnist", "digits", "idx")
ORIENTATIONS = ("auto", "upright", "as-stored")
INKS = ("auto", "light", "dark")
OPTIMIZERS = ("adam", "adamw")
PRECISIONS = ("float32", "float64", "tf32", "bf16")
MODELS: dict[str, tuple[int, ...]] = {"linear": (), "shallow": (512,), "deep": (512, 256)}

MAX_SEED = 2**32 - 1
MAX_WIDTH = 65_536
MAX_LAYERS = 16
MAX_EPOCHS = 1_000_000
_SET_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?")
# Came later: left out of JSON at their defaults, so that what was written before reads, and a run's
# identity stays what it was.
_LATER = {"orientation": "auto", "ink": "auto"}

Made = TypeVar("Made")


def hidden_of(model: object) -> tuple[int, ...]:
    """The hidden layers' widths of a model by its name in MODELS.

    Raises:
        InputError: no such model.
    """
    if not isinstance(model, str) or model not in MODELS:
        raise InputError(f"`model={_shown(model)}`: must be one of {', '.join(MODELS)}")
    return MODELS[model]


def _may_name_its_model(cls: type[Made]) -> type[Made]:
    """`Config(model="deep")` stands for its `hidden`; what is read as `model` is a property."""
    init = cls.__init__

    @wraps(init)
    def named(self: Any, *values: Any, model: str | None = None, **more: Any) -> None:
        if model is not None:
            if more.get("hidden", hidden_of(model)) != hidden_of(model):
                raise InputError("`model` and `hidden`: give one of them, they both say the layers")
            more["hidden"] = hidden_of(model)
        _check_names(more)
        init(self, *values, **more)

    setattr(cls, "__init__", named)  # noqa: B010 - a checker takes an assignment for a mistake
    return cls


@_may_name_its_model
@dataclass(frozen=True)
class Config:
    """One training run, apart from where it computes. Frozen and hashable.

    `model="deep"`, or another of MODELS, may be given in place of `hidden`.

    Two runs with equal configs draw the same initial weights and the same batches
    on every backend; what may differ between them is arithmetic alone.

    Raises:
        InputError: a field is out of its range; the message names it.
    """

    dataset: str = "mnist"  # one of DATASETS, or what its files' names begin with
    validation: int = 0  # examples held out of train
    hidden: tuple[int, ...] = (512,)  # widths of the hidden layers; () is the linear model
    l2: float = 0.0  # λ in CE + λ Σ W², weights only, no ½
    optimizer: str = "adam"  # one of OPTIMIZERS
    weight_decay: float = 0.0  # decoupled decay of the weights, adamw only
    learning_rate: float = 5e-4
    batch_size: int = 200
    epochs: int = 100
    seed: int = 0  # of every draw: initial weights, batch order, validation split
    precision: str = "float32"  # of the arithmetic; one of PRECISIONS
    orientation: str = "auto"  # "upright" turns transposed pictures on reading; auto: EMNIST's
    ink: str = "auto"  # "light" on dark or "dark" on light; auto: the pictures' borders tell

    def __post_init__(self) -> None:
        _check_types(self)
        _check_dataset(self.dataset)
        _one_of("orientation", self.orientation, ORIENTATIONS)
        _one_of("ink", self.ink, INKS)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("precision", self.precision, PRECISIONS)
        _in_range("validation", self.validation, 0, 2**31)
        _in_range("batch_size", self.batch_size, 1, 2**31)
        _in_range("epochs", self.epochs, 1, MAX_EPOCHS)
        _in_range("seed", self.seed, 0, MAX_SEED)
        _in_range("l2", self.l2, 0.0, 1e6)
        _in_range("weight_decay", self.weight_decay, 0.0, 1e6)
        _in_range("learning_rate", self.learning_rate, 0.0, 1e6)
        if self.learning_rate == 0:
            raise InputError("`learning_rate=0`: must be greater than 0")
        if len(self.hidden) > MAX_LAYERS:
            raise InputError(f"`hidden`: {len(self.hidden)} layers, at most {MAX_LAYERS}")
        for width in self.hidden:
            _in_range("hidden", width, 1, MAX_WIDTH)
        if self.optimizer == "adam" and self.weight_decay:
            raise InputError(
                f"`weight_decay={self.weight_decay:g}` is adamw's; "
                'add `optimizer="adamw"`, or use `l2` for the study\'s penalty'
            )
        if self.optimizer == "adamw" and self.l2:
            raise InputError(
                f'`l2={self.l2:g}` with `optimizer="adamw"`: give one of them; adamw has its own '
                "decay, `weight_decay`"
            )
        if self.optimizer == "adamw" and not self.weight_decay:
            raise InputError(
                '`optimizer="adamw"` needs `weight_decay` above 0: PyTorch\'s default (0.01) and '
                "optax's (0.0001) differ, so none is assumed"
            )

    @property
    def model(self) -> str:
        """The model's name (`linear`, `shallow`, `deep`) or its widths (`256-128`)."""
        for name, hidden in MODELS.items():
            if hidden == self.hidden:
                return name
        return "-".join(str(width) for width in self.hidden)

    @property
    def dtype(self) -> str:
        """Of weights and moments: float64 in a float64 run, else float32.

        tf32 and bf16 round the inputs of the matrix products alone, to 10 and 7 bits of mantissa.
        """
        return "float64" if self.precision == "float64" else "float32"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back to an equal Config."""
        values = {**asdict(self), "hidden": list(self.hidden)}
        return {k: value for k, value in values.items() if k not in _LATER or value != _LATER[k]}

    @classmethod
    def from_dict(cls, values: object) -> "Config":
        """Read what `to_dict` wrote, from a file that nobody need trust.

        Raises:
            InputError: not a mapping, a key unknown or missing, a value of a wrong type or range.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"config: expected an object, found {type(values).__name__}")
        names = {field.name for field in fields(cls)}
        if unknown := sorted(str(key) for key in set(values) - names):
            raise InputError(f"config: unknown field {', '.join(unknown)[:80]}")
        if missing := sorted(names - set(values) - set(_LATER)):
            raise InputError(f"config: missing field {', '.join(missing)}")
        hidden = values["hidden"]
        if not isinstance(hidden, list | tuple):
            raise InputError(f"config: hidden must be a list, found {type(hidden).__name__}")
        return cls(**{**values, "hidden": tuple(hidden)})

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed, checked again; `model` for its `hidden` here too."""
        if "model" in changes:
            changes["hidden"] = hidden_of(changes.pop("model"))
        return replace(self, **changes)


def _check_names(given: Mapping[str, Any]) -> None:
    known = [field.name for field in fields(Config)]
    for name in given:
        if name not in known:
            near = nearest(name, [*known, "model"])
            hint = f"; did you mean `{near}`?" if near else f"; there are {', '.join(known)}"
            raise InputError(f"Config has no {name[:40]!r}{hint}")


def _check_types(config: Config) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        kind = type(field.default)
        if field.name == "hidden":
            good = isinstance(value, tuple) and all(type(width) is int for width in value)
        elif kind is float:
            good = type(value) in (int, float) and _finite(value)
            if good:  # 0 and 0.0 are one experiment: one hash, one JSON
                object.__setattr__(config, field.name, float(value))
        else:
            good = type(value) is kind
        if not good:
            raise InputError(
                f"`{field.name}={_shown(value)}`: expected {_expected(field.name, kind)}"
            )


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _expected(name: str, kind: type) -> str:
    if name == "hidden":
        return "a tuple of layer widths, such as (256, 128)"
    return {int: "a whole number", float: "a finite number", str: "a word"}[kind]


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"`{name}={value[:40]!r}`: must be one of {', '.join(choices)}")


def _check_dataset(name: str) -> None:
    if not _SET_NAME.fullmatch(name):
        raise InputError(
            f"`dataset={name[:40]!r}`: must be one of {', '.join(DATASETS)}, or what the names of "
            "the files in `data_dir` begin with, such as emnist-letters"
        )


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(
            f"`{name}={_shown(value)}`: must be between {_bound(low)} and {_bound(high)}"
        )


def _bound(value: float) -> str:
    """`4,294,967,295`, `1e+06`: a whole number has all its digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _shown(value: object) -> str:
    try:
        if type(value) is int and abs(value) < 2**64:
            return str(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:g}"
        return repr(value)[:40]
    except OverflowError:  # a whole number beyond the floats
        return "so large"
    except (ValueError, RecursionError):  # nested too deep to show, or too many digits
        return f"of {type(value).__name__}"
