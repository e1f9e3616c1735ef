"""`mnist-fn export`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.suggesting import check_is_run
from mnist_fn.shared.errors import InputError

KINDS = ("torch", "onnx", "tensorboard")


def command(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    to: Annotated[
        str, typer.Option(help="torch (a state dict), onnx or tensorboard (the curves).")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Default: <the run's name>.pt or .onnx; the folder tensorboard/<its name>.",
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Write a run's weights or curves for other programs.

    Its weights are in checkpoint.safetensors and its curves in metrics.csv already.
    """
    if to not in KINDS:
        raise InputError("to", to, tuple(KINDS))
    check_is_run(run)  # before the imports that take longer
    from cli.console import answer
    from cli.output import print_json
    from mnist_fn.shared.runs.folder import RunFolder
    from mnist_fn.shared.storage import check_folder, check_output

    name = run.resolve().name
    if to == "tensorboard":
        check_folder(out or Path("tensorboard") / name)
    else:
        check_output(out or Path(f"{name}.{'pt' if to == 'torch' else to}"), overwrite=overwrite)
    loaded = RunFolder(run).load_finished()
    if to == "torch":
        from torch_ref.exchange import write_pt

        output = out or Path(f"{name}.pt")
        write_pt(loaded.weights, output)
    elif to == "onnx":
        from mnist_fn.shared.exchange.to_onnx import write_onnx

        output = out or Path(f"{name}.onnx")
        write_onnx(loaded, output)
    else:
        from mnist_fn.shared.exchange.to_tensorboard import write_events

        output = write_events(loaded, out or Path("tensorboard") / name)
    answer(json).print(f"{output}: {output.stat().st_size:,} bytes", soft_wrap=True, markup=False)
    if json:
        print_json({"run": str(run), "to": to, "file": str(output)})
