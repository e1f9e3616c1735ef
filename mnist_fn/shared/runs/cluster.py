"""Workers on Ray: a Ray of our own on this machine, or a cluster that is there.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError, missing
from mnist_fn.shared.runs import nodes
from mnist_fn.shared.runs.crew import Crew, WorkerLost
from mnist_fn.shared.runs.mailbox import Task, Worker
from mnist_fn.shared.runs.staff import Staff

ANSWER_WITHIN = 120  # seconds for a node to say what it has: a first start may be slow
KNOCK_SECONDS = 5.0  # for an address to answer at all; Ray itself would try for minutes
OBJECTS_BYTES = 400 * 2**20  # shared memory of our own Ray: the data, and states on their way
# Ray's sockets lie in its folder, and a socket's path has to be short: not TMPDIR.
FOLDERS, PREFIX = Path("/tmp"), "mnist-fn-ray"  # noqa: S108
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_gcs_server_port_wait_time_s": "1",  # one try, not 20, at what answers and is no Ray
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# Read before a library is imported: JAX's, then those of the products in PyTorch and NumPy.
THREADS = ("PJRT_NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextlib.contextmanager
def crew(staff: Staff, dataset: Dataset, device: str = "auto") -> Iterator[Crew]:
    """Workers within the block; a Ray of our own is gone after it.

    Args:
        staff: how many, of how many threads, where.
        dataset: whole; it travels once to each node.
        device: "cpu", "gpu" (one worker a GPU), or "auto": "gpu" if a node has one.

    Raises:
        InputError: Ray is not installed, no cluster is there, or one that differs from this
            machine in what numbers depend on.
    """
    with _joined(staff) as ray:
        there = [node for node in ray.nodes() if node["Alive"]]
        gpus = any(node["Resources"].get("GPU", 0) >= 1 for node in there)
        device = "gpu" if device == "gpu" or (device == "auto" and gpus) else "cpu"
        room = {node["NodeID"]: _room(node, device, staff.threads) for node in there}
        there = [node for node in there if room[node["NodeID"]]]
        if not there:
            needs = "a GPU" if device == "gpu" else f"{staff.threads} CPUs"
            raise InputError(f"{staff.option}: no node has {needs} for a worker; add one")
        data = ray.put(dataset)
        _check(ray, staff.option, there, data, dataset)
        hands = _Hands(ray, staff, data, device, _expected(dataset))
        yield Crew(hands, dataset, staff.workers or sum(room.values()))


def _room(node: dict[str, Any], device: str, threads: int) -> int:
    """How many workers a node takes."""
    has = node["Resources"]
    room = int(has.get("CPU", 0) // threads)
    return min(room, int(has.get("GPU", 0))) if device == "gpu" else room


def _expected(dataset: Dataset) -> dict[str, str]:
    """What every worker has to have."""
    return {**nodes.facts(), "data": nodes.content_digest(dataset)}


@dataclass(frozen=True)
class _Introduction:
    where: str  # host and process
    differing: str  # from what is expected: its node may have come after the others were checked


class _Station(Worker):
    """A worker as Ray starts it."""

    def introduce(self, expected: dict[str, str]) -> _Introduction:
        """Say where it is, and in what it differs."""
        differing = nodes.differences(expected, _expected(self._desk.whole))
        return _Introduction(f"{socket.gethostname()}/{os.getpid()}", differing)


@dataclass
class _Hands:
    """See `crew.Hands`."""

    ray: Any
    staff: Staff
    data: Any  # the dataset in Ray's store
    device: str
    expected: dict[str, str]

    def hire(self) -> tuple[Any, Any]:
        variables: dict[str, str] = dict.fromkeys(THREADS, str(self.staff.threads))
        if self.device == "cpu":
            variables["JAX_PLATFORMS"] = "cpu"
        options = {
            "num_cpus": self.staff.threads,
            "num_gpus": int(self.device == "gpu"),
            "max_restarts": 0,  # what it did is at the driver: another goes on from there
            "runtime_env": {"env_vars": variables},
        }
        worker = self.ray.remote(_Station).options(**options).remote(self.data)
        return worker, worker.introduce.remote(self.expected)

    def ask(self, worker: Any, task: Task | None, stop: bool) -> Any:
        return worker.turn.remote(task, stop)

    def answered(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        if not calls:
            return []
        there, late = self.ray.wait(list(calls), num_returns=1, timeout=seconds)
        if there and late:  # all that are there, so that none waits behind a busier one
            there, _ = self.ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return there

    def answer(self, call: Any) -> Any:
        try:
            found = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:  # of our own code
            raise RuntimeError(str(error)) from error
        except self.ray.exceptions.RayError as error:
            raise WorkerLost(_reason(str(error))) from error
        if not isinstance(found, _Introduction):
            return found
        if found.differing:
            raise InputError(
                f"{self.staff.option}: {found.where} differs: {found.differing}; install the same "
                "there as here, or take its node away; what is done stays"
            )
        return found.where

    def dismiss(self, worker: Any) -> None:
        self.ray.kill(worker)


def _reason(text: str) -> str:
    """Ray's paragraphs in a few words."""
    if "memory monitor" in text or "OutOfMemory" in text:
        return "its node is out of memory"
    if "its node" in text or "node failure" in text or "node was terminated" in text:
        return "its node is gone"
    return "its process is gone"


@contextlib.contextmanager
def _joined(staff: Staff) -> Iterator[Any]:
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


def _check(ray: Any, option: str, there: list[dict[str, Any]], data: Any, dataset: Dataset) -> None:
    """Raise InputError for the first node that differs; it says in what."""
    ray.cloudpickle.register_pickle_by_value(nodes)
    here = nodes.facts()
    for node, found in _ask(ray, option, there, nodes.facts):
        if differing := nodes.differences(here, found):
            raise InputError(
                f"{option}: node {node} differs: {differing}; install the same there as here"
            )
    wanted = nodes.content_digest(dataset)
    for node, digest in _ask(ray, option, there, lambda: nodes.content_digest(ray.get(data))):
        if digest != wanted:
            raise InputError(
                f"{option}: node {node} has other data than {dataset.name} here (SHA-256 begins "
                f"{digest} there, {wanted} here): what it was sent is damaged; start it anew"
            )


def _ask(
    ray: Any, option: str, there: list[dict[str, Any]], question: Callable[[], Any]
) -> Iterator[tuple[str, Any]]:
    """Each node's address and its answer."""
    strategies = ray.util.scheduling_strategies
    ask = ray.remote(num_cpus=0, max_retries=0)(question)
    calls = {
        ask.options(
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(
                node["NodeID"], soft=False
            )
        ).remote(): node["NodeManagerAddress"]
        for node in there
    }
    for call, address in calls.items():
        try:
            yield address, ray.get(call, timeout=ANSWER_WITHIN)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            raise InputError(f"{option}: node {address} does not answer ({reason})") from error
