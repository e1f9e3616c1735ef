"""Workers on Ray: which nodes take some, that each has what we have, and how one is spoken to."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mnist_fn.shared.data.datasets import Dataset
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs import nodes
from mnist_fn.shared.runs.crew import Crew, NodeLost, WorkerLost
from mnist_fn.shared.runs.joining import joined
from mnist_fn.shared.runs.mailbox import Task, Worker
from mnist_fn.shared.runs.staff import Staff

ANSWER_WITHIN = 120  # seconds for a node to say what it has: a first start may be slow
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
    with joined(staff) as ray:
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
            raise _lost(str(error)) from error
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


def _lost(text: str) -> WorkerLost:
    """Ray's paragraphs in a few words."""
    if "memory monitor" in text or "OutOfMemory" in text:
        return WorkerLost("its node is out of memory")
    if "its node" in text or "node failure" in text or "node was terminated" in text:
        return NodeLost("its node is gone")
    return WorkerLost("its process is gone")


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
