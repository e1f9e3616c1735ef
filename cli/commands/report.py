"""`mnist-fn report`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options


def command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN|FOLDER",
            help="Runs, or folders of runs such as a study's. Default: runs.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File of the page.")] = Path("report.html"),
    data_dir: options.DataDir = None,
    json: options.Json = False,
) -> None:
    """Make one self-contained page of finished runs, with a digit to draw.

    It shows the run of the highest test accuracy in full (of several datasets, on the one that can
    be drawn on, then on the one with the most runs), and what study.json, parity-*.json and
    bench*.json in the folders say. Nothing is trained and nothing downloaded.
    """
    from cli.console import answer
    from cli.output import print_json
    from figures.report import build, found
    from mnist_fn.shared.storage import made_folder, write_atomically

    shown = found.find(folders or [Path("runs")])
    page = build.build(shown, options.command_line(), data_dir).encode()
    with made_folder(out.parent):
        write_atomically(out, page)
    runs = "1 run" if len(shown.runs) == 1 else f"{len(shown.runs)} runs"
    answer(json).print(
        f"{out}: {len(page) / 1e6:.1f} MB, {runs}, in full {shown.main.path}; open it in a browser",
        soft_wrap=True,
        markup=False,
    )
    if json:
        print_json({"report": str(out), "bytes": len(page), "runs": len(shown.runs),
                    "shown": str(shown.main.path)})  # fmt: skip
