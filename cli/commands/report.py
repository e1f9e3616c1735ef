"""`mnist-fn report`."""

from pathlib import Path
from typing import Annotated

from cli import options
from cli.options import option
from cli.suggesting import folders_of_runs


def command(
    folders: options.RunPaths = None,
    out: Annotated[Path, option("File of the page.")] = Path("report.html"),
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
    paths = folders_of_runs(folders)  # before the imports that take longer
    from cli.console import console, show

    with console.status("starting") as status:
        from figures.report import build, contents
        from mnist_fn.shared.storage import check_output, made_folder, write_atomically
        from mnist_fn.shared.wording import counted

        check_output(out, overwrite=overwrite)
        with made_folder(out.parent):  # before the work, so that it isn't in vain
            shown = contents.read_contents(paths)
            runs = counted(len(shown.runs), "run")
            status.update(f"drawing the page of {runs}")
            page = build.build(shown, options.command_line(), data_dir)
            data = page.encode(errors="backslashreplace")  # a folder's name need not be text
            write_atomically(out, data)
    opens_with = shown.in_full[0].path
    document = {
        "report": str(out),
        "bytes": len(data),
        "runs": len(shown.runs),
        "shown": str(opens_with),
    }
    size = f"{len(data) / 1e6:.1f} MB"
    text = f"{out}: {size}, {runs}, opens with {opens_with}; open it in a browser"
    show(text, document, json)
