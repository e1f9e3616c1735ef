"""`mnist-fn port`."""

import runpy
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.options import option
from mnist_fn.shared.errors import EXTRAS, InputError, missing

LARGE = 1_000_000  # parameters, from which on it is said what they cost


def command(
    file: Annotated[
        Path,
        typer.Argument(
            help="Python that defines reference, port and batches; steps and param_map if wanted."
        ),
    ],
    precision: Annotated[
        str, option("float64, in which an error stands out, or float32 compared with control runs.")
    ] = "float64",
    steps: Annotated[int | None, option("Length of the trajectory. Default: 20.")] = None,
    budget: Annotated[
        float, option("Seconds of CPU that the search for a cause may take.", min=0)
    ] = 60.0,
    record: Annotated[
        Path | None,
        option(
            "Keep the reference in this file, for a machine that has not its framework; "
            "there Recording(FILE) is a program. No port is needed."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Is a port of a model what it was ported from? Rung by rung, and why not. Exit 0 or 1.

    FILE makes two programs, of PyTorch, Flax or plain JAX, or recordings of them; see
    docs/porting.md.
    """
    if not file.is_file():  # before the imports that take longer
        raise InputError(f"{file}: no such file")
    from cli.console import answer, console, show
    from cli.output import print_json

    with console.status("starting"):
        from mnist_fn.shared.parity import ladder, recording
        from mnist_fn.shared.parity.result import Rung, Unchecked
        from mnist_fn.shared.storage import check_output

        if record is not None:
            check_output(record, overwrite=overwrite)
    needed = ("reference", "batches") if record else ("reference", "port", "batches")
    module = _defined(file, needed)
    length = steps if steps is not None else module.get("steps", ladder.STEPS)
    if record is not None:
        size = recording.record(
            module["reference"],
            module["batches"],
            record,
            steps=length,
            precision=precision,
            on_size=lambda size: console.print(f"{record}: {size / 1e6:.1f} MB to be written"),
        )
        document = {"recording": str(record), "bytes": size}
        show(f"recorded: {record}, {size / 1e6:.1f} MB", document, json)
        return

    def on_rung(rung: Rung | Unchecked) -> None:
        failed = isinstance(rung, Rung) and not rung.passed
        state = "differs; looking for the cause" if failed else "done"
        status.update(f"{rung.name}: {state}")
        if not console.is_terminal:
            console.print(f"{rung.name}: {state}")

    def on_parameters(count: int) -> None:
        if count >= LARGE:
            gigabytes = (count * ladder.BYTES_PER_PARAMETER + ladder.BYTES_WITHOUT) / 1e9
            console.print(f"{count / 1e6:.1f} M parameters: up to {gigabytes:.1f} GB of memory")

    with console.status("the ladder") as status:  # seen in a terminal, and gone with the verdict
        try:
            verdict = ladder.check_port(
                module["reference"],
                module["port"],
                module["batches"],
                steps=length,
                precision=precision,
                param_map=module.get("param_map"),
                budget=budget,
                on_rung=on_rung,
                on_size=on_parameters,
            )
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:
            if not any(getattr(module[name], "recorded", False) for name in ("reference", "port")):
                raise
            # a file's content can lead to anything: its digest is no signature
            reason = f"{type(error).__name__}: {error}"
            raise InputError(
                f"{file}: a recording can't be compared ({reason[:120]}); record it again"
            ) from error
    if json:
        print_json({**verdict.to_dict(), "command": options.command_line()})
    else:
        answer().print(verdict.text)
    raise typer.Exit(0 if verdict.passed else 1)


def _defined(file: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    """What a file defines, run as Python with its own folder to import from.

    Raises:
        InputError: what it raises, or a name that is missing.
    """
    from mnist_fn.shared.parity.program import check_is_program

    sys.path.insert(0, str(file.resolve().parent))
    try:
        module = runpy.run_path(str(file))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        line = ""
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == str(file):
                line = f"line {frame.lineno}: "
        first = (str(error).splitlines() or [""])[0]
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            raise missing(f"{file}: {line}it", error.name, error) from error
        raise InputError(f"{file}: {line}{type(error).__name__}: {first[:200]}") from error
    finally:
        sys.path.pop(0)
    for name in needed:
        if name not in module:
            raise InputError(
                f"{file}: has no {name}; it must define {', '.join(needed[:-1])} and {needed[-1]}"
            )
        if name != "batches":
            check_is_program(f"{file}: {name}", module[name])
    return module
