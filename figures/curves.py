"""Learning curves of any runs: loss and accuracy by epoch, several runs compared."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from figures import style
from figures.series import as_runs, stack
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import varying_fields
from mnist_fn.shared.wording import counted, l2_name, shape_name

MEASURES: dict[str, Any] = {"loss": np.argmin, "accuracy": np.argmax}  # and which is best
LINES: dict[str, tuple[Any, str]] = {  # of each split, and when it is measured
    "test": ("-", "test, after each epoch"),
    "train": ("--", "train, mean over the epoch while it learns"),
    "validation": (":", "validation, after each epoch"),
}
SHORT = 14  # characters of a name
Experiment = tuple[str, Config]  # backend and config, its seed set to 0


def plot(records: Run | Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw loss and accuracy: test solid, train dashed, validation dotted if it was held out.

    Runs that differ only in their seed are one curve, the mean over seeds, with a band of ± one sd
    around the test curve and a dot at its best epoch. Curves are named by what the runs differ in.

    Args:
        records: a run, or several of any models, λ, datasets and lengths.
        ax: where to draw: see `figures`.

    Raises:
        InputError: no run was given.
    """
    runs = as_runs(records)
    if not runs:
        raise InputError("curves: no run to draw")
    experiments: dict[Experiment, list[Run]] = {}
    for run in runs:
        experiments.setdefault((run.backend, run.config.replace(seed=0)), []).append(run)
    names = _names(list(experiments))
    colours = style.series_colours(len(experiments))
    figure = style.panels(ax, 4.0)
    for panel, measure in zip(figure.subplots(1, 2), MEASURES, strict=True):
        ends: list[tuple[float, str, str]] = []
        for of_one, name, colour in zip(experiments.values(), names, colours, strict=True):
            mean = draw(panel, of_one, measure, colour)
            ends.append((float(mean[-1]), name, colour))
        # long names take half of a panel: then those of the last are enough
        if len(experiments) > 1 and (measure == "accuracy" or max(map(len, names)) <= SHORT):
            style.end_labels(panel, ends)
    held_out = any(run.config.validation for run in runs)
    add_legend(figure, LINES if held_out else ("test", "train"))
    seeds = style.over_seeds(list(map(len, experiments.values())))
    what = names[0] if len(names) == 1 else f"{len(names)} experiments"
    figure.suptitle(f"Learning curves: {what}, {seeds}", fontsize=11)
    return figure


def draw(panel: Any, runs: Sequence[Run], measure: str, colour: str) -> np.ndarray:
    """One experiment's curves of a measure of MEASURES; returns the mean of test [epochs]."""
    scale, unit = (100, "%") if measure == "accuracy" else (1, "nats")
    mean = np.empty(0)
    for split, (line, _) in LINES.items():
        if f"{split}_{measure}" not in runs[0].rows[0]:
            continue
        values = scale * stack(runs, f"{split}_{measure}")
        marker = "o" if values.shape[1] == 1 else ""  # of a single epoch there is no line
        if split == "test":
            mean = style.band(panel, values, colour, MEASURES[measure], label=split)
        else:
            style.band(
                panel, values.mean(axis=0, keepdims=True), colour,
                linestyle=line, linewidth=1.0, marker=marker, markersize=4.5, label=split,
            )  # fmt: skip
    style.over_epochs(panel)
    panel.set(ylabel=f"{measure} [{unit}]")
    if measure == "loss":
        panel.set(yscale="log")
        style.loss_ticks(panel)
    return mean


def add_legend(figure: Any, splits: Iterable[str], best_line: str = "") -> None:
    """Say below the panels what the lines are, and the dots, which may stand on a line."""
    handles: list[Line2D] = []
    for split in splits:
        line, label = LINES[split]
        handles.append(Line2D([], [], color=style.ink(), linestyle=line, label=label))
    look = {"marker": "o", "linestyle": best_line, "markersize": 4.5}
    handles.append(Line2D([], [], color=style.ink(), label="best test epoch", **look))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _names(experiments: Sequence[Experiment]) -> list[str]:
    """What tells each from the others; of a single one its model and its λ."""
    backends, configs = zip(*experiments, strict=True)
    several_backends = len(set(backends)) > 1
    differing = varying_fields(configs) if len(experiments) > 1 else ["hidden", "l2"]
    names: list[str] = []
    for backend, config in experiments:
        parts = [_in_words(config, name) for name in differing]
        names.append(", ".join([*parts, backend] if several_backends else parts))
    return names


def _in_words(config: Config, name: str) -> str:
    value = getattr(config, name)
    if name == "hidden":
        return shape_name(value)
    if name == "l2":
        return l2_name(value)
    if name == "epochs":
        return counted(value, "epoch")
    if name in ("dataset", "optimizer", "precision"):
        return str(value)
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name} {value}"
