"""Workers on Ray: tasks that return their result; Ray runs a lost one again.

The one file that imports Ray, and only when workers are asked for.
"""

import contextlib
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from mnist_fn.shared import source
from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError, missing
from mnist_fn.shared.runs.callbacks import Callbacks, Notice
from mnist_fn.shared.runs.environment import PACKAGES, versions
from mnist_fn.shared.storage import locked
from mnist_fn.shared.sweeps.request import Workers

MAX_RETRIES = 3  # of a task whose worker or node is lost; then its runs are given up
MAX_LOST_TASKS = 3  # in a row: then no worker can be had
CONNECT_SECONDS = 5.0  # for an address to answer at all; Ray itself would try for minutes
NO_ROOM_SECONDS = 30.0  # without any room for a worker, before the user is told
OBJECT_STORE_BYTES = 400 * 2**20  # shared memory of our own Ray: the data, and results
# Read before a library is imported: JAX's, then those of the products in PyTorch and NumPy.
THREAD_VARIABLES = ("PJRT_NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# A socket's path must be short, so Ray's folder is not in TMPDIR.
TEMPORARY, PREFIX = Path("/tmp"), "mnist-fn-ray-"  # noqa: S108
LEFTOVER_SECONDS = 600.0  # Ray's agents may write for two minutes after their command was killed
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_gcs_server_port_wait_time_s": "1",  # one try, not 20, at what answers and is no Ray
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
TASK_NAME = "mnist-fn-worker"  # of a worker's process while it works: `ray::mnist-fn-worker`
NONE = "none"
TOKEN = secrets.token_hex(32)  # of our own Ray, which reads it once in a process


@dataclass(frozen=True)
class TaskLost:
    """The result of a task whose workers were lost MAX_RETRIES + 1 times."""

    reason: str


@dataclass(frozen=True)
class WorkerPool:
    """Workers that run functions on one dataset."""

    ray: Any
    workers: Workers
    device: str  # of every worker: "cpu" or "gpu"
    data: Any  # Ray's reference to the dataset

    @property
    def size(self) -> int:
        """How many tasks run at once."""
        return self.workers.count or max(1, self.room())

    @property
    def place(self) -> str:
        """Where the workers are, in words."""
        address = self.workers.address
        return "this machine" if address is None else f"the cluster {address}"

    def room(self) -> int:
        """How many workers the nodes have room for."""
        workers = 0
        for node in _alive(self.ray):
            room = int(node["Resources"].get("CPU", 0)) // self.workers.threads
            if self.device == "gpu":
                room = min(room, int(node["Resources"].get("GPU", 0)))
            workers += room
        return workers

    def run(
        self,
        function: Callable[[Dataset, Any], Any],
        inputs: Iterator[tuple[Any, Any]],
        callbacks: Callbacks,
    ) -> Iterator[tuple[Any, Any]]:
        """Have `function(dataset, input)` computed for each input, `size` at a time.

        Args:
            function: of an importable module, pure: Ray runs it again if its worker is lost.
            inputs: each with a key of the caller's; the next is taken when a worker can have it.
            callbacks: `should_stop` is asked twice a second; `on_event` gets notices.

        Yields the input's key and its result, or TaskLost, in the order of their ends.

        Raises:
            Interrupted: `should_stop` raised it.
            InputError: the function raised it, a worker's machine differs, or none can be had.
        """
        running: dict[Any, Any] = {}  # the key of each task
        lost_in_a_row, notice_at = 0, time.monotonic() + NO_ROOM_SECONDS
        expected = facts()
        try:
            while True:
                callbacks.should_stop()
                for key, value in islice(inputs, max(0, self.size - len(running))):
                    # in a list it stays a reference: what can't be read raises in our own code
                    task = self._task().remote(function, [self.data], value, expected)
                    running[task] = key
                if not running:
                    return
                ready, _ = self.ray.wait(list(running), num_returns=1, timeout=0.5)
                for task in ready:
                    key, result = running.pop(task), self._result(task, callbacks)
                    lost_in_a_row = lost_in_a_row + 1 if isinstance(result, TaskLost) else 0
                    if lost_in_a_row == MAX_LOST_TASKS:
                        raise InputError(
                            f"no worker can be had: {MAX_LOST_TASKS} tasks in a row were lost "
                            f"({result.reason}); what is done stays, and the same command goes on"
                        )
                    yield key, result
                    notice_at = time.monotonic() + NO_ROOM_SECONDS
                if time.monotonic() > notice_at and not self.room():
                    notice_at = math.inf
                    callbacks.on_event(Notice("no node has room for a worker; waiting for one"))
        finally:
            for task in running:  # nothing goes on that nobody waits for
                self.ray.cancel(task, force=True)

    def _task(self) -> Any:
        variables: dict[str, str] = dict.fromkeys(THREAD_VARIABLES, str(self.workers.threads))
        if self.device == "cpu":
            variables["JAX_PLATFORMS"] = "cpu"
        return self.ray.remote(_run_task).options(
            name=TASK_NAME,
            num_cpus=self.workers.threads,
            num_gpus=1 if self.device == "gpu" else 0,
            max_retries=MAX_RETRIES,
            runtime_env={"env_vars": variables},
        )

    def _result(self, task: Any, callbacks: Callbacks) -> Any:
        exceptions = self.ray.exceptions
        try:
            return self.ray.get(task)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
            callbacks.should_stop()  # Ctrl-C reaches workers, too
            if "ModuleNotFoundError" in str(error):
                reason = f": a worker: {str(error).strip().splitlines()[-1][:200]}"
                hint = "install the same there as here"
                raise InputError((self.workers.option, reason), hint=hint) from error
            raise RuntimeError(str(error)) from error  # a mistake of our own code
        except exceptions.RayError as error:
            callbacks.should_stop()
            return TaskLost(_reason(exceptions, error))


def _reason(exceptions: Any, error: Exception) -> str:
    """Ray's paragraphs in a few words."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return "out of memory"
    if isinstance(error, exceptions.NodeDiedError):
        return "the node is gone"
    return "the process is gone"


# --- in a worker's process ---


def _run_task(
    function: Callable[[Dataset, Any], Any], data: list[Any], value: Any, expected: dict[str, str]
) -> Any:
    import ray  # pyright: ignore[reportMissingImports] - an extra

    if different := differences(expected, facts()):
        raise InputError(
            f"worker {socket.gethostname()}/{os.getpid()} differs: {different}; install the same "
            "there as here, or take its node away; what is done stays"
        )
    return function(ray.get(data[0]), value)


@cache
def facts() -> dict[str, str]:
    """What a worker's machine must have as ours has it, so that it computes the same numbers:
    versions of Python and the packages, and digests of our own source files.
    """
    installed = {**dict.fromkeys(PACKAGES, NONE), **versions()}
    if source.EVERYTHING not in installed:
        installed["mnist-fn"] = NONE
    return installed


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """`jax 0.9.2 there, 0.10.2 here; …`, empty if a node has what this machine has."""
    different: dict[str, str] = {}
    for name, version in ours.items():
        if theirs.get(name, NONE) != version:
            different[name] = f"{name} {theirs.get(name, NONE)} there, {version} here"
    if "mnist-fn" in different:  # then the source says no more
        different.pop(source.EVERYTHING, None)
        different.pop(source.TRAINING, None)
    elif source.EVERYTHING in different:
        different.pop(source.TRAINING, None)
    return "; ".join(different.values())


# --- the cluster ---


@contextlib.contextmanager
def worker_pool(workers: Workers, dataset: Dataset, device: str = "auto") -> Iterator[WorkerPool]:
    """Workers within the block; a Ray of our own is gone after it.

    Args:
        workers: how many, of how many threads, where.
        dataset: whole; it travels once to each node.
        device: "cpu", "gpu" (one worker a GPU), or "auto": "gpu" if a node has one.

    Raises:
        InputError: Ray is not installed, no cluster is there, or one without room for a worker.
    """
    with _cluster(workers) as ray:
        has_gpu = any(node["Resources"].get("GPU", 0) >= 1 for node in _alive(ray))
        device = "gpu" if device == "gpu" or (device == "auto" and has_gpu) else "cpu"
        pool = WorkerPool(ray, workers, device, ray.put(dataset))
        if not pool.room():
            needs = "a GPU" if device == "gpu" else f"{workers.threads} CPUs"
            raise InputError((workers.option, f": no node has {needs} for a worker; add one"))
        yield pool


def _alive(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def _cluster(workers: Workers) -> Iterator[Any]:
    """Ray, connected. A Ray of our own listens on the loopback address only, obeys only who has
    its token, and leaves nothing behind.
    """
    variables: dict[str, str | None] = {**QUIET}
    options: dict[str, Any] = {"address": workers.address}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with contextlib.ExitStack() as stack:
        if workers.address is None:
            # Ray opens its folder to all, with its workers' sockets: so it lies in a private one
            folder = stack.enter_context(private_folder())
            variables |= {
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # there, and so here, it is the loopback
                "RAY_AUTH_MODE": None,  # Ray turns the token on for a cluster that it starts
                "RAY_AUTH_TOKEN": TOKEN,
            }
            options = {
                "address": "local",
                "num_cpus": (workers.count or 1) * workers.threads,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": str(folder / "ray"),
            }
        stack.enter_context(_environment(variables))
        try:
            import ray  # pyright: ignore[reportMissingImports] - an extra
        except ImportError as error:
            raise missing(workers.option, "ray", error) from error
        if ray.is_initialized():  # by the caller: ray.shutdown would end what runs there
            reason = ": this process is connected to Ray already; call ray.shutdown() first"
            raise InputError((workers.option, reason))
        if threading.current_thread() is threading.main_thread():
            stack.callback(signal.signal, signal.SIGTERM, on_sigterm)
        # stdout is for the command's result and the caller's prints; Ray's threads print there, too
        stack.enter_context(contextlib.redirect_stdout(cast(Any, _OneThread(sys.stdout))))
        stack.callback(ray.shutdown)
        try:
            if workers.address not in (None, "auto"):  # OSError if nothing listens there
                host, _, port = workers.address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except (RuntimeError, ValueError, OSError) as error:  # ConnectionError is the last
            reason = f": can't be joined ({str(error)[:300]}); see docs/cluster.md"
            raise InputError((workers.option, reason)) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in its place
        if workers.address is None and os.environ.get("RAY_AUTH_MODE") != "token":
            raise InputError((workers.option, ": this version of Ray starts without a token"))
        yield ray


class _OneThread:
    """A stream that drops what other threads than its maker's write."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        """Write from the maker's thread."""
        if threading.get_ident() == self._thread:
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder that only this user may enter, gone after the block.

    It is locked while it is used. What a killed process left has no lock, and is removed by the
    next one once it is old enough.
    """
    for leftover in TEMPORARY.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, InputError):  # it is in use, or gone meanwhile
            about = leftover.lstat()
            old = time.time() - about.st_mtime > LEFTOVER_SECONDS
            if old and about.st_uid == os.getuid() and stat.S_ISDIR(about.st_mode):  # no link
                with locked(leftover):
                    shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=TEMPORARY))  # of mode 0700
    with locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables within the block; None removes one."""

    def put(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    previous = {name: os.environ.get(name) for name in variables}
    put(variables)
    try:
        yield
    finally:
        put(previous)
