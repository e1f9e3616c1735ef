"""`mnist-fn figures`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.options import option
from cli.suggesting import RUN_FILE, folders_of_runs
from mnist_fn.shared.errors import InputError, Message
from mnist_fn.shared.wording import nearest

if TYPE_CHECKING:
    from figures.build import Entry

OF_THEIR_COMMANDS = {"bench", "sweep"}  # drawn by these commands alone


def command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, or folders of runs, and names of figures. Default: runs."),
    ] = None,
    only: Annotated[str | None, option("Figures with commas; --list names them.")] = None,
    format: Annotated[str, option("png, svg or pdf.")] = "png",
    theme: Annotated[str, option("light or dark.")] = "light",
    backend: Annotated[str | None, option("Whose runs. Default: jax; of the curves any.")] = None,
    quick: Annotated[bool, option("From a quick study's runs: runs-quick.", "--quick")] = False,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    out: Annotated[Path, option("Folder of the figures.")] = Path("figures-out"),
    overwrite: options.Overwrite = False,
    list_: Annotated[bool, option("Name the figures and what each needs.", "--list")] = False,
) -> None:
    """Draw figures from finished runs: the curves of any, and the study's. The same runs give the
    same bytes.

    Of runs that are named, such as runs/a runs/b, the curves are drawn; of a folder of runs every
    figure that it has the runs for.
    """
    from figures import PLOTS

    known = set(PLOTS) - OF_THEIR_COMMANDS
    names: list[str] = []
    folders: list[Path] = []
    for path in runs or ():
        if str(path).replace("-", "_") in known and not path.is_dir():
            names.append(str(path).replace("_", "-"))
            continue
        near = nearest(str(path), known)
        if near is not None and not path.exists():
            raise InputError(f"{path}: no such figure or folder; did you mean {near}?")
        folders.append(path)
    if folders:
        folders_of_runs(folders)  # before the imports that take longer
    from cli.console import answer, console

    base = options.make_config(dataset=dataset)
    with console.status("starting") as status:
        from figures import build, style
        from mnist_fn.shared.storage import check_output
        from mnist_fn.shared.study import experiments
        from mnist_fn.shared.study.report import QUICK_RUN
        from mnist_fn.shared.study.running import check_classes

        if format not in build.FORMATS:
            raise InputError("format", format, tuple(build.FORMATS))
        if theme not in style.THEMES:
            raise InputError("theme", theme, tuple(style.THEMES))
        wanted = ",".join([*options.words(only), *names]) or None
        entries = experiments.choose(wanted, build.ENTRIES)
        if list_:
            status.stop()
            _list(entries)
            return
        if wanted is None and folders and all((path / RUN_FILE).exists() for path in folders):
            wanted, entries = build.CURVES.name, [build.CURVES]
        for entry in entries:
            check_output(out / build.file_name(entry, theme, format), overwrite=overwrite)
        folders = folders_of_runs(folders, "runs-quick" if quick else "runs")
        shelf = build.Shelf(folders, backend, base.dataset, quick)
        records: dict[Entry, Any] = {}
        missing: dict[str, InputError] = {}  # why others can't be drawn, by name
        for entry in entries:
            try:
                records[entry] = shelf.records(entry)
            except InputError as error:
                missing[entry.name] = error
        if missing and (wanted is not None or not records):
            check_classes(base, data_dir)  # of other sets there is no study to be made
            first = next(iter(missing.values()))
            raise first if wanted else InputError(Message(first, " (nor any other figure's runs)"))
        note = QUICK_RUN.partition(":")[0] if quick else None
        status.update("drawing")
        paths = _draw(records, out, format, theme, note, data_dir)
    for path in paths:
        answer().print(str(path), soft_wrap=True)
    if len(missing) == 1:
        console.print(Message("left out: ", *missing.values()))
    elif missing:
        console.print(
            f"left out, for want of their runs: {', '.join(missing)}; --only NAME says what makes "
            "those of one"
        )


def _draw(
    records: "dict[Entry, Any]",
    out: Path,
    kind: str,
    theme: str,
    note: str | None,
    data_dir: Path | None,
) -> list[Path]:
    """Draw each figure into its file; returns the files."""
    from cli.console import console
    from figures import build, fonts, style

    paths: list[Path] = []
    boxes: set[str] = set()
    with style.themed(theme):
        for entry, of_entry in records.items():
            figure = build.draw(entry, of_entry, note=note, data_dir=data_dir)
            boxes.update(fonts.without_glyph(figure))
            paths.append(build.save(figure, out / build.file_name(entry, theme, kind)))
    if boxes:
        characters = "".join(sorted(boxes))[:20]
        console.print(
            f"no installed font has {characters}: drawn as boxes; install one, such as "
            "Noto Sans CJK"
        )
    return paths


def _list(entries: "list[Entry]") -> None:
    from cli.console import answer, new_table

    names = ("figure", "shows", "needs")
    table = new_table(*names, flush_left=names)
    for column, name in zip(table.columns, names, strict=True):
        column.no_wrap, column.overflow = name != "shows", "fold"  # the others are to be copied
    for entry in entries:
        table.add_row(entry.name, entry.what, entry.command)
    answer().print(table)
