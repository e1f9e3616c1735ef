"""Workers on Ray: tasks that return their result; Ray runs a lost one again.

The one file that imports Ray, and only when workers are asked for.
"""

import contextlib
import fcntl
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import Argument, InputError, Message, missing
from mnist_fn.shared.runs.run import Callbacks, Notice
from mnist_fn.shared.sweeps import nodes
from mnist_fn.shared.sweeps.request import Workers

MAX_RETRIES = 3  # of a task whose worker or node is lost; then its runs are given up
MAX_LOST_TASKS = 3  # in a row: then no worker can be had
ANSWER_SECONDS = 120  # for a node to say what it has: a first start may be slow
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


@dataclass(frozen=True)
class TaskLost:
    """The result of a task whose workers were lost MAX_RETRIES + 1 times."""

    reason: str


@dataclass(frozen=True)
class _Answer:
    """What a worker returns: the function's result, or why it refuses the task."""

    result: Any = None
    refusal: Message | None = None


@dataclass(frozen=True)
class WorkerPool:
    """Workers that run functions on one dataset."""

    ray: Any
    workers: Workers
    device: str  # of every worker: "cpu" or "gpu"
    data: Any  # Ray's reference to the dataset
    expected: dict[str, str]  # what every worker's machine must have

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
        return sum(_room(node, self.device, self.workers.threads) for node in _alive(self.ray))

    def runs_per_task(self, runs: int) -> int:
        """How many runs a worker is given at once: on a GPU its share, to be trained together."""
        return 1 if self.device == "cpu" else math.ceil(runs / self.size)

    def run(
        self, function: Callable[[Dataset, Any], Any], inputs: Iterator[Any], callbacks: Callbacks
    ) -> Iterator[tuple[int, Any]]:
        """Have `function(dataset, input)` computed for each input, `size` at a time.

        Args:
            function: of an importable module, pure: Ray runs it again if its worker is lost.
            inputs: the next is taken when a worker can have it.
            callbacks: `should_stop` is asked twice a second; `on_event` gets notices.

        Yields the input's number and its result, or TaskLost, in the order of their ends.

        Raises:
            Interrupted: `should_stop` raised it.
            InputError: the function raised it, a worker's machine differs, or none can be had.
        """
        numbered, running = enumerate(inputs), {}
        lost_in_a_row, idle_since = 0, time.monotonic()
        try:
            while True:
                callbacks.should_stop()
                for number, value in _take(numbered, self.size - len(running)):
                    running[self._submit(function, value)] = number
                if not running:
                    return
                ready, _ = self.ray.wait(list(running), num_returns=1, timeout=0.5)
                for reference in ready:
                    result = self._result(reference, callbacks)
                    lost_in_a_row = lost_in_a_row + 1 if isinstance(result, TaskLost) else 0
                    if lost_in_a_row == MAX_LOST_TASKS:
                        raise InputError(
                            f"no worker can be had: {MAX_LOST_TASKS} tasks in a row were lost "
                            f"({result.reason}); what is done stays, and the same command goes on"
                        )
                    yield running.pop(reference), result
                    idle_since = time.monotonic()
                if time.monotonic() - idle_since > NO_ROOM_SECONDS:
                    idle_since = time.monotonic() if self.room() else math.inf
                    if idle_since == math.inf:
                        text = "no node has room for a worker; waiting for one"
                        callbacks.on_event(Notice(text))
        finally:
            for reference in running:  # nothing goes on that nobody waits for
                self.ray.cancel(reference, force=True)

    def _submit(self, function: Callable[[Dataset, Any], Any], value: Any) -> Any:
        variables: dict[str, str] = dict.fromkeys(THREAD_VARIABLES, str(self.workers.threads))
        if self.device == "cpu":
            variables["JAX_PLATFORMS"] = "cpu"
        task = self.ray.remote(_run_task).options(
            name=TASK_NAME,
            num_cpus=self.workers.threads,
            num_gpus=1 if self.device == "gpu" else 0,
            max_retries=MAX_RETRIES,
            runtime_env={"env_vars": variables},
        )
        return task.remote(function, value, [self.data], self.expected)

    def _result(self, reference: Any, callbacks: Callbacks) -> Any:
        exceptions = self.ray.exceptions
        try:
            answer = self.ray.get(reference)
        except exceptions.RayTaskError as error:  # a mistake of our own code, or Ctrl-C
            callbacks.should_stop()
            raise RuntimeError(str(error)) from error
        except exceptions.RayError as error:
            callbacks.should_stop()
            return TaskLost(_reason(exceptions, error))
        if answer.refusal:
            raise InputError(answer.refusal)
        return answer.result


def _take(numbered: Iterator[tuple[int, Any]], count: int) -> Iterator[tuple[int, Any]]:
    for _ in range(count):
        entry = next(numbered, None)
        if entry is None:
            return
        yield entry


def _reason(exceptions: Any, error: Exception) -> str:
    """Ray's paragraphs in a few words."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return "out of memory"
    if isinstance(error, exceptions.NodeDiedError):
        return "the node is gone"
    return "the process is gone"


# --- in a worker's process ---

_datasets: dict[str, Dataset] = {}  # by the digest of their content: read and checked once


def _run_task(
    function: Callable[[Dataset, Any], Any], value: Any, data: list[Any], expected: dict[str, str]
) -> _Answer:
    try:
        return _Answer(function(_checked_dataset(data, expected), value))
    except InputError as error:
        return _Answer(refusal=error.message)


def _checked_dataset(data: list[Any], expected: dict[str, str]) -> Dataset:
    """The dataset from Ray's store; InputError if this machine or the data differ."""
    if expected["data"] not in _datasets:
        _datasets.clear()
        dataset = _fetch(data)
        facts = {**nodes.facts(), "data": nodes.content_digest(dataset)}
        if differences := nodes.differences(expected, facts):
            raise InputError(
                f"worker {socket.gethostname()}/{os.getpid()} differs: {differences}; install the "
                "same there as here, or take its node away; what is done stays"
            )
        _datasets[expected["data"]] = dataset
    return _datasets[expected["data"]]


def _fetch(data: list[Any]) -> Dataset:
    import ray  # pyright: ignore[reportMissingImports] - an extra

    return ray.get(data[0])


def _data_digest(data: list[Any]) -> str:
    return nodes.content_digest(_fetch(data))


# --- the cluster ---


@contextlib.contextmanager
def worker_pool(workers: Workers, dataset: Dataset, device: str = "auto") -> Iterator[WorkerPool]:
    """Workers within the block; a Ray of our own is gone after it.

    Args:
        workers: how many, of how many threads, where.
        dataset: whole; it travels once to each node.
        device: "cpu", "gpu" (one worker a GPU), or "auto": "gpu" if a node has one.

    Raises:
        InputError: Ray is not installed, no cluster is there, or one that differs from this
            machine in what numbers depend on.
    """
    with _cluster(workers) as ray:
        has_gpu = any(node["Resources"].get("GPU", 0) >= 1 for node in _alive(ray))
        device = "gpu" if device == "gpu" or (device == "auto" and has_gpu) else "cpu"
        usable = [node for node in _alive(ray) if _room(node, device, workers.threads)]
        if not usable:
            needs = "a GPU" if device == "gpu" else f"{workers.threads} CPUs"
            raise InputError((workers.option, f": no node has {needs} for a worker; add one"))
        expected = {**nodes.facts(), "data": nodes.content_digest(dataset)}
        data = ray.put(dataset)
        _check_nodes(ray, workers.option, usable, data, expected, dataset.name)
        yield WorkerPool(ray, workers, device, data, expected)


def _alive(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _room(node: dict[str, Any], device: str, threads: int) -> int:
    """How many workers a node takes."""
    resources = node["Resources"]
    room = int(resources.get("CPU", 0) // threads)
    return min(room, int(resources.get("GPU", 0))) if device == "gpu" else room


def _check_nodes(
    ray: Any,
    option: Argument,
    usable: list[dict[str, Any]],
    data: Any,
    expected: Mapping[str, str],
    name: str,
) -> None:
    """Raise InputError for the first node that differs; it says in what."""
    ours = {key: value for key, value in expected.items() if key != "data"}
    for node, theirs in _ask(ray, option, usable, nodes.facts):
        if differences := nodes.differences(ours, theirs):
            raise InputError(
                (option, f": node {node} differs: {differences}; install the same there as here")
            )
    for node, digest in _ask(ray, option, usable, _data_digest, [data]):
        if digest != expected["data"]:
            raise InputError(
                (
                    option,
                    f": node {node} has other data than {name} here (SHA-256 begins "
                    f"{digest} there, {expected['data']} here): what it was sent is damaged; "
                    "start the node again",
                )
            )


def _ask(
    ray: Any,
    option: Argument,
    usable: list[dict[str, Any]],
    function: Callable[..., Any],
    *values: Any,
) -> Iterator[tuple[str, Any]]:
    """Each node's address and what a function returns there."""
    on_node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    calls = {}
    for node in usable:
        call = task.options(scheduling_strategy=on_node(node["NodeID"], soft=False))
        calls[call.remote(*values)] = node
    for call, node in calls.items():
        address = node["NodeManagerAddress"]
        try:
            yield address, ray.get(call, timeout=ANSWER_SECONDS)
        except ray.exceptions.RayError as error:
            if node["NodeID"] not in [living["NodeID"] for living in _alive(ray)]:
                continue  # it died meanwhile: no worker will be there
            reason = str(error).strip().splitlines()[-1][:200]
            raise InputError((option, f": node {address} does not answer ({reason})")) from error


@contextlib.contextmanager
def _cluster(workers: Workers) -> Iterator[Any]:
    """Ray, connected. A Ray of our own listens on the loopback address only, obeys only who has
    its token, and leaves nothing behind.
    """
    if workers.address is not None:
        with _environment(QUIET), _connected(workers, address=workers.address) as ray:
            yield ray
        return
    variables = {
        **QUIET,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # there, and so here, it is the loopback address
        "RAY_AUTH_MODE": None,  # Ray turns the token on for a cluster that it starts
        "RAY_AUTH_TOKEN": _token(),
    }
    # Ray opens its folder to everybody, with its workers' sockets: so it lies in a private one
    with (
        private_folder(TEMPORARY, PREFIX, LEFTOVER_SECONDS) as folder,
        _environment(variables),
        _connected(
            workers,
            address="local",
            num_cpus=(workers.count or 1) * workers.threads,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(folder / "ray"),
        ) as ray,
    ):
        if os.environ.get("RAY_AUTH_MODE") != "token":
            raise InputError((workers.option, ": this version of Ray starts without a token"))
        yield ray


@contextlib.contextmanager
def _connected(workers: Workers, **options: Any) -> Iterator[Any]:
    try:
        import ray  # pyright: ignore[reportMissingImports] - an extra
        import ray.util.scheduling_strategies  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise missing(workers.option, "ray", error) from error
    with _stdout_kept():
        try:
            with _handlers_kept():
                _check_address(workers.address)
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except InputError:
            ray.shutdown()
            raise
        except (RuntimeError, ValueError, OSError) as error:  # ConnectionError is the last
            ray.shutdown()
            raise InputError(
                (workers.option, f": can't be joined ({str(error)[:300]}); see docs/cluster.md")
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _check_address(address: str | None) -> None:
    """Raise OSError if nothing listens there."""
    if address is not None and address != "auto":
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            pass


@cache
def _token() -> str:
    """One for this process: Ray reads it once."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def private_folder(parent: Path, prefix: str, leftover_seconds: float) -> Iterator[Path]:
    """A temporary folder that only this user may enter, gone after the block.

    It is locked while it is used. What a killed process left has no lock, and is removed by the
    next one once it is old enough.
    """
    _remove_leftovers(parent, prefix, leftover_seconds)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))  # of mode 0700
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path, prefix: str, seconds: float) -> None:
    """Remove the folders of killed processes: our own user's, old, and not locked."""
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another user's, in use, or gone meanwhile
            about = folder.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_mtime < seconds:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables within the block; None removes one."""
    previous = {name: os.environ.get(name) for name in variables}
    try:
        _set_environment(variables)
        yield
    finally:
        _set_environment(previous)


def _set_environment(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put back the signal handlers that Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


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
def _stdout_kept() -> Iterator[None]:
    """Keep what Ray's threads print off stdout, which is for the command's result."""
    stdout = sys.stdout
    sys.stdout = _OneThread(stdout)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        sys.stdout = stdout
