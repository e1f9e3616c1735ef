"""`mnist-fn report`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.suggesting import check_is_folder


def command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Runs, or folders of runs such as a study's. Default: runs.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File of the page.")] = Path("report.html"),
    data_dir: options.DataDir = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Make one self-contained page of finished runs, with a digit to draw.

    It opens with the run of the highest test accuracy (of several datasets, on the one of MNIST's
    form, then on the one with the most runs); up to four others can be chosen on it. It has what
    study.json, parity-*.json and bench*.json in the folders say. Nothing is trained, nothing
    downloaded.
    """
    for path in folders or ():
        check_is_folder(path)  # before the imports that take longer
    from cli.console import answer
    from cli.output import print_json
    from figures.report import build, contents
    from mnist_fn.shared.storage import check_output, made_folder, write_atomically
    from mnist_fn.shared.wording import counted

    check_output(out, overwrite=overwrite)
    with made_folder(out.parent):  # before the work, so that it isn't in vain
        shown = contents.read_contents(folders or [Path("runs")])
        page = build.build(shown, options.command_line(), data_dir)
        page = page.encode(errors="backslashreplace")  # a folder's name need not be text
        write_atomically(out, page)
    opens_with = shown.in_full[0].path
    runs = counted(len(shown.runs), "run")
    answer(json).print(
        f"{out}: {len(page) / 1e6:.1f} MB, {runs}, opens with {opens_with}; open it in a browser",
        soft_wrap=True,
        markup=False,
    )
    if json:
        print_json(
            {
                "report": str(out),
                "bytes": len(page),
                "runs": len(shown.runs),
                "shown": str(opens_with),
            }
        )
