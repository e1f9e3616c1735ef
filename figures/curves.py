"""Learning curves of any runs: loss and accuracy by epoch, several runs compared."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from matplotlib.lines import Line2D

from figures import style
from figures.series import as_runs, stack
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.wording import counted, l2_name, shape_name

LINES: dict[str, Any] = {"test": "-", "train": "--", "validation": ":"}
Experiment = tuple[str, Config]  # backend and config, its seed set to 0


def plot(records: Run | Sequence[Run], ax: Any = None) -> style.Panels:
    """Draw loss and accuracy: test solid, train dashed, validation dotted if it was held out.

    Runs that differ only in their seed are one curve, the mean over seeds, with a band of ± one sd
    around the test curve. Curves are named by what the runs differ in.

    Args:
        records: a run, or several of any models, λ, datasets and lengths.
        ax: axes, whose place the panels take; a figure or subfigure; None makes a figure.

    Returns:
        The figure or subfigure drawn on.

    Raises:
        InputError: no run was given.
    """
    experiments = _by_experiment(as_runs(records))
    names = _names(list(experiments))
    colours = style.series_colours(len(experiments))
    figure = style.panels(ax, 3.8)
    panels = figure.subplots(1, 2)
    splits: set[str] = set()
    for panel, measure, scale in zip(panels, ("loss", "accuracy"), (1, 100), strict=True):
        ends = []
        for runs, name, colour in zip(experiments.values(), names, colours, strict=True):
            for split, line in LINES.items():
                column = f"{split}_{measure}"
                if column not in runs[0].rows[0]:
                    continue
                splits.add(split)
                values = scale * stack(runs, column)
                if split == "test":
                    mean = style.band(panel, values, colour, marker=_marker(values.shape[1]))
                    ends.append((float(mean[-1]), name, colour))
                else:
                    epochs = range(1, values.shape[1] + 1)
                    panel.plot(epochs, values.mean(axis=0), line, color=colour, linewidth=1.0)
        style.over_epochs(panel)
        if measure == "loss":
            panel.set(yscale="log", ylabel="loss [nats]")
            style.loss_ticks(panel)
        else:
            panel.set(ylabel="accuracy [%]")
        if len(experiments) > 1:
            style.end_labels(panel, ends)
    drawn = [split for split in LINES if split in splits]
    handles = [Line2D([], [], color=style.ink(), linestyle=LINES[split]) for split in drawn]
    panels[1].legend(
        handles, drawn, loc="lower right", frameon=True, framealpha=1.0, edgecolor="none"
    )
    seeds = style.over_seeds([len(runs) for runs in experiments.values()])
    what = names[0] if len(names) == 1 else f"{len(names)} experiments"
    figure.suptitle(f"Learning curves: {what}, {seeds}", fontsize=11)
    return figure


def _by_experiment(runs: Sequence[Run]) -> dict[Experiment, list[Run]]:
    """The runs of each experiment, in the order given."""
    if not runs:
        raise InputError("curves: no run to draw")
    experiments: dict[Experiment, list[Run]] = {}
    for run in runs:
        experiments.setdefault((run.backend, run.config.replace(seed=0)), []).append(run)
    return experiments


def _names(experiments: Sequence[Experiment]) -> list[str]:
    """What tells each from the others; of a single one its model and its λ."""
    configs = [config for _, config in experiments]
    differing = [
        field.name
        for field in fields(Config)
        if len({getattr(config, field.name) for config in configs}) > 1
    ]
    if len(experiments) == 1:
        differing = ["hidden", "l2"]
    names = []
    for backend, config in experiments:
        parts = [_in_words(config, name) for name in differing]
        if len({backend for backend, _ in experiments}) > 1:
            parts.append(backend)
        names.append(", ".join(parts))
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


def _marker(epochs: int) -> str:
    """A curve of a single epoch is a dot, which a line would not show."""
    return "o" if epochs == 1 else ""
