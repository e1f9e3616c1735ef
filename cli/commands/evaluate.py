"""`mnist-fn evaluate`."""

from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from cli import options


def command(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    backend: Annotated[
        str | None,
        typer.Option(help="Compute on this backend. Default: the run's own.", show_default=False),
    ] = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Evaluate a run's saved weights on its test set: the whole confusion matrix."""
    from cli.console import answer, show_confusions, show_matrix
    from cli.output import print_json
    from mnist_fn.shared.runs.trainer import evaluate_run

    name, result = evaluate_run(run, backend=backend, device=device, data_dir=data_dir)
    if json:
        print_json(
            {
                "run": str(run),
                "backend": name,
                "loss": result.loss,
                "accuracy": result.accuracy,
                "per_class_accuracy": [
                    None if isnan(share) else float(share) for share in result.per_class_accuracy
                ],
                "confusion_matrix": result.confusion_matrix.tolist(),
                "worst_confusions": [vars(c) for c in result.worst_confusions(10)],
            }
        )
        return
    to = answer()
    to.print(
        f"test loss {result.loss:.5f}, accuracy {result.accuracy:.2%} "
        f"({len(result.predictions):,} examples, computed by {name})"
    )
    show_matrix(result.confusion_matrix, result.per_class_accuracy.tolist(), to)
    show_confusions(result, to)
