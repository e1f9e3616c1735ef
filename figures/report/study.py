"""The study's figures on the page, from the runs that are there."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from figures import build
from figures.report.drawings import themed
from mnist_fn.shared.errors import InputError, in_shell
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.study.report import QUICK_RUN

ELSEWHERE = ("worst-mistakes",)  # the page has its own, of the run that it shows in full


def figures(
    paths: Sequence[Path], main: Run, backends: Sequence[str], quick: bool
) -> tuple[dict[str, Markup], list[str]]:
    """Figures of one backend's runs by what they show; why others can't be drawn.

    Args:
        paths: folders with runs.
        main: whose dataset's runs, and whose backend's if the study was made on it.
        backends: that the study was made on.
        quick: they are a quick study's.
    """
    backend = main.backend if main.backend in backends or not backends else backends[0]
    shelf = build.Shelf(paths, backend, main.config.dataset, quick)
    note = QUICK_RUN.partition(":")[0] if quick else None
    drawn: dict[str, Markup] = {}
    missing: list[str] = []
    for name, entry in build.OF_STUDY.items():
        if name in ELSEWHERE:
            continue
        try:
            draw = partial(build.draw, entry, shelf.records(entry), note=note)
            drawn[entry.what] = themed(draw, entry.what)
        except InputError as error:
            missing.append(in_shell(error))
    return drawn, missing
