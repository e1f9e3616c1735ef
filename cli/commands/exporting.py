"""`mnist-fn export`."""

from pathlib import Path
from typing import Annotated

from cli import options
from cli.options import option
from cli.suggesting import check_is_run
from mnist_fn.shared.errors import InputError

KINDS = ("torch", "onnx", "tensorboard")


def command(
    run: options.RunPath,
    to: Annotated[str, option("torch (a state dict), onnx or tensorboard (the curves).")],
    out: Annotated[
        Path | None,
        option("Default: <the run's name>.pt or .onnx; the folder tensorboard/<its name>."),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Write a finished run's weights or curves for other programs.

    Its weights are in checkpoint.safetensors and its curves in metrics.csv already.
    """
    if to not in KINDS:
        raise InputError("to", to, KINDS)
    check_is_run(run)  # before the imports that take longer
    from cli.console import console, show

    with console.status("starting"):
        from mnist_fn.shared.runs.folder import RunFolder
        from mnist_fn.shared.storage import check_folder, check_output

        name = run.resolve().name
        defaults = {"torch": f"{name}.pt", "onnx": f"{name}.onnx"}
        output = out or Path(defaults.get(to, f"tensorboard/{name}"))
        if to == "tensorboard":
            check_folder(output)
        else:
            check_output(output, overwrite=overwrite)
        loaded = RunFolder(run).load_finished()
        if to == "torch":
            from torch_ref.exchange import write_pt

            write_pt(loaded.weights, output)
        elif to == "onnx":
            from mnist_fn.shared.exchange.to_onnx import write_onnx

            write_onnx(loaded, output)
        else:
            from mnist_fn.shared.exchange.to_tensorboard import write_events

            output = write_events(loaded, output)
    document = {"run": str(run), "to": to, "file": str(output)}
    show(f"{output}: {output.stat().st_size:,} bytes", document, json)
