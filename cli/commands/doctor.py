"""`mnist-fn doctor`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli import options
from cli.options import option


def command(
    full: Annotated[bool, option("Compare each backend with NumPy too.", "--full")] = False,
    json: options.Json = False,
) -> None:
    """Say what is installed here. Exit 1 if it is known to be wrong, or computes wrong.

    Versions known to be wrong are named, with the way out; --full compares what each backend
    computes with plain NumPy. Its output belongs in a report of a bug.
    """
    from cli.console import console
    from cli.output import print_json

    with console.status("starting"):
        from cli.diagnosis import diagnose

        report = diagnose(full, lambda line: console.print(line, style="dim"))
    if json:
        print_json(report)
    else:
        for line in _lines(report):
            print(line)
    raise typer.Exit(0 if report["passed"] else 1)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    system = report["system"]
    yield f"{system['platform']}; {system['machine']}"
    yield ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    for name, devices in report["devices"].items():
        yield f"{name}: {'; '.join(devices)}"
    variables = report["threads"]["environment"].items()
    set_to = "".join(f"; {name}={value}" for name, value in variables)
    yield f"threads: {report['threads']['cores']} cores for this process{set_to}"
    caches = report["caches"]
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in caches["bytes"].items())
    switch = f"; MNIST_FN_CACHE={caches['switch']}" if caches["switch"] else ""
    yield f"cache: {caches['folder']} ({sizes or 'empty'}){switch}"
    for name, folder in {**report["data"], **report["tools"]}.items():
        yield f"{name}: {folder or 'not here'}"
    for check in report["checks"]:
        mark = "ok  " if check["passed"] else "FAIL"
        yield f"{mark} {check['backend']}, {check['check']}: {check['found']}"
    for fault in report["known_wrong"]:
        yield f"WRONG {fault}"
    if not report["passed"]:
        yield "something is wrong: see FAIL and WRONG above"
    elif report["full"]:
        yield "all well"
    else:
        yield "no known fault; `mnist-fn doctor --full` also compares each backend with NumPy"
