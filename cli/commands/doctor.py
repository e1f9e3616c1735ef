"""`mnist-fn doctor`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli import options


def command(
    full: Annotated[
        bool,
        typer.Option("--full", help="Compare each backend with NumPy too, which takes longer."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Say what is installed here and whether it computes right. Exit 1 if something is wrong.

    Versions known to be wrong are named, with the way out; --full compares what each backend
    computes with plain NumPy. Its output belongs in a report of a bug.
    """
    from cli.console import console
    from cli.diagnosis import diagnose
    from cli.output import print_json

    found = diagnose(full, lambda line: console.print(line, style="dim"))
    if json:
        print_json(found)
    else:
        for line in _lines(found):
            print(line)
    raise typer.Exit(0 if found["passed"] else 1)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    system = found["system"]
    yield f"{system['platform']}; {system['machine']}"
    yield ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    for name, devices in found["devices"].items():
        yield f"{name}: {'; '.join(devices)}"
    asked = found["threads"]["environment"].items()
    set_to = "".join(f"; {name}={value}" for name, value in asked)
    yield f"threads: {found['threads']['cores']} cores for this process{set_to}"
    caches = found["caches"]
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in caches["bytes"].items())
    switch = f"; MNIST_FN_CACHE={caches['switch']}" if caches["switch"] else ""
    yield f"cache: {caches['folder']} ({sizes or 'empty'}){switch}"
    for name, folder in {**found["data"], **found["tools"]}.items():
        yield f"{name}: {folder or 'not here'}"
    for check in found["checks"]:
        mark = "ok  " if check["passed"] else "FAIL"
        yield f"{mark} {check['backend']}, {check['check']}: {check['found']}"
    for fault in found["known_wrong"]:
        yield f"WRONG {fault}"
    if not found["passed"]:
        yield "something is wrong: see FAIL and WRONG above"
    elif found["full"]:
        yield "all well"
    else:
        yield "no known fault; `mnist-fn doctor --full` also compares each backend with NumPy"
