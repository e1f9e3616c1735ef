"""`mnist-fn evaluate`."""

from typing import Annotated

from cli import options
from cli.options import option
from cli.suggesting import check_is_run


def command(
    run: options.RunPath,
    backend: Annotated[
        str | None, option("Compute on this backend. Default: the run's own.")
    ] = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Evaluate a run's saved weights on its test set: the whole confusion matrix.

    With --data-dir on the test set there, another of the same form or the run's own.
    """
    check_is_run(run)  # before the imports that take longer
    from cli.console import answer, console, show_confusions, show_matrix
    from cli.output import print_json

    with console.status("starting"):
        from mnist_fn.shared.runs.folder import RunFolder
        from mnist_fn.shared.runs.trainer import evaluate_run

        name, result, sha256 = evaluate_run(run, backend=backend, device=device, data_dir=data_dir)
    header = RunFolder(run).read_header()
    if sha256 != header.dataset_sha256:
        console.print(
            f"{data_dir}: another test set than the run's (SHA-256 {sha256[:16]}, the run's data "
            f"{header.dataset_sha256[:16]})"
        )
    if json:
        document = {
            "run": str(run),
            "backend": name,
            "dataset_sha256": sha256,
            "class_names": list(header.data_spec.names),
            **result.to_dict(),
        }
        print_json(document)
        return
    to = answer()
    to.print(
        f"test loss {result.loss:.5f}, accuracy {result.accuracy:.2%} "
        f"({len(result.predictions):,} examples, computed by {name})"
    )
    show_matrix(result, header.data_spec.names, to)
    show_confusions(result, to, header.data_spec.names)
