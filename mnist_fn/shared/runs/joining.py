"""Ray, joined: one of our own on this machine, or a cluster that is there.

The one file that imports Ray, and only when workers are asked for.
"""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError, missing
from mnist_fn.shared.runs.staff import Staff

KNOCK_SECONDS = 5.0  # for an address to answer at all; Ray itself would try for minutes
OBJECTS_BYTES = 400 * 2**20  # shared memory of our own Ray: the data, and states on their way
# Ray's sockets lie in its folder, and a socket's path has to be short: not TMPDIR.
FOLDERS, PREFIX = Path("/tmp"), "mnist-fn-ray"  # noqa: S108
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_gcs_server_port_wait_time_s": "1",  # one try, not 20, at what answers and is no Ray
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextlib.contextmanager
def joined(staff: Staff) -> Iterator[Any]:
    """Ray, connected. A Ray of our own listens on the loopback address alone, hears only who knows
    its token, and leaves nothing behind.
    """
    if staff.address is not None:
        with _environment(QUIET), _running(staff, {"address": staff.address}) as ray:
            yield ray
        return
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-", dir=FOLDERS))
    variables = {
        **QUIET,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # there, and so here, it is the loopback address
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _token(),
    }
    how = {
        "address": "local",
        "num_cpus": (staff.workers or 1) * staff.threads,
        "include_dashboard": False,
        "object_store_memory": OBJECTS_BYTES,
        "_temp_dir": str(folder),
    }
    try:
        with _environment(variables), _running(staff, how) as ray:
            yield ray
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(staff: Staff, how: dict[str, Any]) -> Iterator[Any]:
    try:
        import ray  # pyright: ignore[reportMissingImports] - an extra
        import ray._private.worker  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise missing(staff.option, "ray", error) from error
    # whoever had imported Ray before, as in a notebook, gave it an environment without our token
    ray._raylet.Config.initialize("")  # pyright: ignore[reportAttributeAccessIssue]
    # What nodes report goes to stdout, whatever is asked of Ray's log: that is for the result.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        with _handlers_kept():
            try:
                if staff.address is not None:
                    _knock(staff.address)
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **how)
            except (RuntimeError, ValueError, OSError) as error:  # ConnectionError is the last
                raise InputError(
                    f"{staff.option}: can't be joined ({str(error)[:300]}); see docs/cluster.md"
                ) from error
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError if nothing listens there."""
    from ray._private import services  # pyright: ignore[reportMissingImports]

    host, _, port = services.canonicalize_bootstrap_address_or_die(address).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS):
        pass


@cache
def _token() -> str:
    """One for this process: Ray reads it once."""
    return secrets.token_hex(32)


def _remove_leftovers() -> None:
    """Folders of commands that were killed; the kernel ended their Ray with them."""
    for folder in FOLDERS.glob(f"{PREFIX}-*-*"):
        with contextlib.suppress(ValueError, PermissionError):
            try:
                os.kill(int(folder.name.split("-")[-2]), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray puts handlers of its own in the place of the command's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
