"""The study's experiments as data: the runs that each needs, and what it reads of them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mnist_fn.shared.config import MODELS, Config
from mnist_fn.shared.errors import InputError

LINEAR, SHALLOW, DEEP = MODELS["linear"], MODELS["shallow"], MODELS["deep"]
WIDTHS = (512, 256, 128, 64)
L2 = (3e-3, 1e-3, 3e-4, 3e-5, 0.0)
TEMPLATE_L2 = (0.0, 1e-4, 1e-1)
CHOSEN_L2 = 3e-5  # the study's best λ
HELD_OUT = {"digits": 300}  # validation examples; other datasets have room for 10,000
Named = TypeVar("Named")
Configs = tuple[Config, ...]
BY_CLASS = tuple(f"test_accuracy_{label}" for label in range(10))


@dataclass(frozen=True)
class Lengths:
    """Epochs of the study's runs."""

    chosen: int = 15
    selection: int = 20
    templates: int = 30
    full: int = 100


FULL, QUICK = Lengths(), Lengths(chosen=1, selection=1, templates=1, full=2)


@dataclass(frozen=True)
class Experiment:
    """What one experiment trains and reads."""

    name: str
    title: str
    configs: tuple[Config, ...]  # of the first seed
    columns: tuple[str, ...]  # of the metrics, that are read of each epoch
    at_end: bool = False  # reads the weights or the evaluation after the last epoch too


def experiments(base: Config, lengths: Lengths = FULL) -> dict[str, Experiment]:
    """Return the six experiments and the honest protocol, by name.

    Args:
        base: its dataset and first seed are taken; the recipe is the study's.
        lengths: epochs of the runs.
    """

    def configs(*shapes: tuple[int, ...], epochs: int, l2: Iterable[float] = (0.0,)) -> Configs:
        """Return a config for each shape and λ."""
        every = []
        for hidden, value in itertools.product(shapes, l2):
            every.append(base.replace(hidden=hidden, epochs=epochs, l2=value))
        return tuple(every)

    full = lengths.full
    one_layer = [(width,) for width in WIDTHS]
    two_layers = [(width, width // 2) for width in WIDTHS]
    width_depth = configs(LINEAR, *one_layer, *two_layers, epochs=full)
    l2 = configs(SHALLOW, epochs=full, l2=L2)
    held = HELD_OUT.get(base.dataset, 10_000)
    honest = [config.replace(validation=held) for config in dict.fromkeys((*width_depth, *l2))]
    templates = configs(LINEAR, epochs=lengths.templates, l2=TEMPLATE_L2)
    selection = configs(SHALLOW, DEEP, epochs=lengths.selection)
    chosen = configs(SHALLOW, epochs=lengths.chosen)
    per_class = configs(SHALLOW, epochs=full, l2=[CHOSEN_L2])
    losses = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    choosing = ("validation_loss", "validation_accuracy", "test_loss", "test_accuracy")
    by_class = ("test_accuracy", *BY_CLASS)
    every = (
        Experiment("width-depth", "Width and depth", width_depth, ("test_loss",)),
        Experiment("templates", "Templates of the linear model", templates, (), at_end=True),
        Experiment("selection", "Choosing the MLP", selection, ("test_loss",)),
        Experiment("chosen", "The chosen model", chosen, (), at_end=True),
        Experiment("l2", "L2 and overfitting", l2, losses),
        Experiment("per-class", "Accuracy by class", per_class, by_class),
        Experiment("honest", "The honest protocol", tuple(honest), choosing),
    )
    return {experiment.name: experiment for experiment in every}


def needed(wanted: Iterable[Experiment], seeds: Sequence[int]) -> dict[Config, bool]:
    """Return each distinct run once, and whether its end is read, not only its curves."""
    needs: dict[Config, bool] = {}
    for experiment in wanted:
        for config in experiment.configs:
            for seed in seeds:
                run = config.replace(seed=seed)
                needs[run] = needs.get(run, False) or experiment.at_end
    return needs


def choose(names: str | None, among: Mapping[str, Named]) -> list[Named]:
    """Return the experiments or figures that `--only` names, in their own order; all if None.

    Raises:
        InputError: no such name, or none at all.
    """
    if names is None:
        return list(among.values())
    requested = set(map(str.strip, names.split(","))) - {""}
    unknown = sorted(requested - set(among))
    if not requested or unknown:
        raise InputError("only", unknown[0] if unknown else "", tuple(among))
    chosen: list[Named] = []
    for name, item in among.items():
        if name in requested:
            chosen.append(item)
    return chosen
