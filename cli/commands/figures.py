"""`mnist-fn figures`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.suggesting import check_is_folder
from mnist_fn.shared.errors import InputError, Message

if TYPE_CHECKING:
    from figures.build import Entry, Shelf
    from mnist_fn.shared.study.experiments import Experiment


def _option(text: str, **settings: Any) -> Any:
    return typer.Option(help=text, show_default=False, **settings)


def command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, or folders of runs. Default: runs.", show_default=False),
    ] = None,
    only: Annotated[str | None, _option("Figures with commas; --list names them.")] = None,
    format: Annotated[str, typer.Option(help="png, svg or pdf.")] = "png",
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    backend: Annotated[str, typer.Option(help="Whose runs.")] = "jax",
    quick: Annotated[
        bool, typer.Option("--quick", help="From the runs of a quick study, in runs-quick.")
    ] = False,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures-out"),
    overwrite: options.Overwrite = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Name the figures and what each needs.")
    ] = False,
) -> None:
    """Draw figures from finished runs: the study's, and the curves of any. The same runs give the
    same bytes.
    """
    for path in runs or ():
        check_is_folder(path)  # before the imports that take longer
    from figures import build, style
    from mnist_fn.shared.storage import check_output
    from mnist_fn.shared.study import experiments
    from mnist_fn.shared.study.report import QUICK_RUN
    from mnist_fn.shared.study.running import check_classes

    if format not in build.FORMATS:
        raise InputError("format", format, tuple(build.FORMATS))
    if theme not in style.THEMES:
        raise InputError("theme", theme, tuple(style.THEMES))
    entries = experiments.choose(only, build.ENTRIES)
    if list_:
        _list(entries)
        return
    for entry in entries:
        check_output(out / build.file_name(entry, theme, format), overwrite=overwrite)
    base = options.make_config(dataset=dataset)
    known = experiments.experiments(base, experiments.QUICK if quick else experiments.FULL)
    shelf = build.Shelf(runs or [Path("runs-quick" if quick else "runs")], backend)
    records, missing = _gather(entries, known, shelf, build.study_command(quick, base.dataset))
    if missing and (only is not None or not records):
        check_classes(base, data_dir)  # of other sets there is no study to be made
    if only is not None and missing:
        raise missing[0]
    if not records:
        raise InputError(f"{missing[0]} (nor any other figure's runs)")
    _draw(
        records,
        missing,
        out,
        format,
        theme,
        QUICK_RUN.partition(":")[0] if quick else None,
        data_dir,
    )


def _gather(
    entries: "list[Entry]", experiments: "dict[str, Experiment]", shelf: "Shelf", study: str
) -> "tuple[dict[Entry, Any], list[InputError]]":
    """The records of each figure that can be drawn, and why others can't."""
    records, missing = {}, []
    for entry in entries:
        try:
            if entry.level:
                records[entry] = shelf.document(entry)
            elif entry.experiment:
                records[entry] = shelf.records(entry, experiments[entry.experiment], study)
            else:
                records[entry] = shelf.any_runs(entry)
        except InputError as error:
            missing.append(error)
    return records, missing


def _draw(
    records: "dict[Entry, Any]",
    missing: list[InputError],
    out: Path,
    kind: str,
    theme: str,
    note: str | None,
    data_dir: Path | None,
) -> None:
    from cli.console import answer, console
    from figures import build, fonts, style

    boxes: set[str] = set()
    with style.themed(theme):
        for entry, of_entry in records.items():
            figure = build.draw(entry, of_entry, note=note, data_dir=data_dir)
            boxes.update(fonts.without_glyph(figure))
            path = build.save(figure, out / build.file_name(entry, theme, kind))
            answer().print(str(path), soft_wrap=True)
    if boxes:
        characters = "".join(sorted(boxes))[:20]
        console.print(f"no installed font has {characters}: drawn as boxes; install one, such as "
                      "Noto Sans CJK", soft_wrap=True, markup=False)  # fmt: skip
    for error in missing:
        console.print(Message("left out: ", error), soft_wrap=True)


def _list(entries: "list[Entry]") -> None:
    from rich.table import Table

    from cli.console import answer

    table = Table(box=None, pad_edge=False)
    for name in ("figure", "shows", "needs"):
        table.add_column(name, no_wrap=name != "shows", overflow="fold")  # to be copied whole
    for entry in entries:
        table.add_row(entry.name, entry.what, entry.command)
    answer().print(table)
