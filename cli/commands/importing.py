"""`mnist-fn import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.options import option
from mnist_fn.shared.errors import InputError

if TYPE_CHECKING:
    from mnist_fn.shared.exchange.layers import Source


def command(
    file: Annotated[
        Path, typer.Argument(help="A file of torch.save (.pt, .pth, .ckpt, .bin) or safetensors.")
    ],
    out: Annotated[
        Path | None, option("The run's folder. Default: runs/<the file's name>.")
    ] = None,
    pixels: Annotated[
        str | None,
        option(
            "How pixels were scaled where it was trained: 0-1, mean-std (0.1307 and 0.3081) "
            "or MEAN,STD. Nothing is assumed."
        ),
    ] = None,
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    backend: Annotated[str, option("Evaluate on this backend.")] = "jax",
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Make a run of an MLP's weights that were trained elsewhere, under any names.

    Order and transposition come from the shapes; what is ambiguous is refused. The run can be
    evaluated, predicted with, reported and gone on with, as any other.
    """
    from mnist_fn.shared.storage import open_plain

    with open_plain(file) as stream:  # before imports that take longer than to see what it is
        start = stream.read(9)
    if not start:
        raise InputError(f"{file}: an empty file")
    from cli.console import answer, console, show_run
    from cli.output import print_json

    with console.status("starting"):
        from mnist_fn.shared.exchange.importing import doubt, import_run
        from mnist_fn.shared.exchange.scaling import read_scaling

        scaling = read_scaling(pixels)
        folder = out or Path("runs") / file.stem
        place = {"data_dir": data_dir, "backend": backend, "device": device}
        name = options.resolved(dataset, data_dir) or "mnist"
        source = _source(file, start)
        run = import_run(source, folder, scaling, dataset=name, **place)
    if source.widened:
        kinds = " and ".join(sorted(source.widened))
        console.print(f"its {kinds} weights are float32 now, exactly")
    console.print("read as ReLU between layers")
    if (doubts := doubt(run)) is not None:
        console.print(doubts, style="bold")
    console.print(
        "its one epoch is the import; train --resume goes on from it with Adam's moments at 0"
    )
    show_run(run, answer(json))
    if json:
        print_json(run.summary())


def _source(file: Path, start: bytes) -> "Source":
    """Read a file of weights; its content, of which `start` is the beginning, tells what it is."""
    if start.startswith(b"\x89HDF"):
        raise InputError(
            f"{file}: an HDF5 file, as Keras writes it; save its weights as safetensors: "
            "safetensors.numpy.save_file({w.path: w.numpy() for w in model.weights}, ...)"
        )
    if start[8:] == b"{":
        from mnist_fn.shared.exchange.from_safetensors import read_tensors

        return read_tensors(file)
    from torch_ref.exchange import read_pt

    return read_pt(file)
