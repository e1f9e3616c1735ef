"""A real Ray cluster of several nodes on this machine, and its processes to kill."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.killing import environment

TOKEN = secrets.token_hex(32)  # of every cluster here: Ray reads it once for a process
REQUIRED = os.environ.get("MNIST_FN_REQUIRE_RAY") == "1"
# A death is noticed within two seconds, as docs/cluster.md has it.
HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


def ray_or_skip() -> Any:
    """Ray; skips without it, fails without it where CI has it."""
    try:
        import ray
        import ray.cluster_utils
    except ImportError as error:
        reason = f"Ray is not installed ({error}): pip install 'mnist-fn[ray]'"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return ray


@contextlib.contextmanager
def cluster_of(*cpus: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster`, the first node its head; only who knows its token is heard."""
    ray = ray_or_skip()
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN,
             "RAY_USAGE_STATS_ENABLED": "0",
             "PYTHONPATH": environment()["PYTHONPATH"]}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in known.items():
            patch.setenv(name, value)
        ray._raylet.Config.initialize("")  # read the environment anew
        memory = {"object_store_memory": 150 * 2**20}
        head = {"num_cpus": cpus[0], "_system_config": HEALTH, "include_dashboard": False, **memory}
        cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        try:
            for count in cpus[1:]:
                cluster.add_node(num_cpus=count, **memory)
            yield cluster
        finally:
            cluster.shutdown()


@contextlib.contextmanager
def ray_start(log: Path, *arguments: str) -> Iterator[None]:
    """A node that `ray start` starts, with one CPU and the token of the clusters here."""
    how = ("start", "--block", "--num-cpus=1", "--object-store-memory=100000000", *arguments)
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    with log.open("wb") as said:
        node = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *how], stdout=said,
            stderr=subprocess.STDOUT, env=environment(**known), start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: "Ray runtime started" in log.read_text() or node.poll() is not None)
        assert node.poll() is None, log.read_text()
        yield
    finally:
        node.terminate()  # it ends what it started
        node.wait(30)


def _status(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return line.partition(":")[2].strip()
    return ""


def processes() -> dict[int, str]:
    """Each process that lives, and its command."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _status(int(folder.name), "State")[:1] != "Z":
                found[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process started, and theirs."""
    alive = processes()
    parents = {one: int(_status(one, "PPid") or 0) for one in alive}
    found, front = {}, {pid}
    while front:
        front = {one for one, parent in parents.items() if parent in front}
        found |= {one: alive[one] for one in front}
    return found


def workers_under(*pids: int) -> list[int]:
    """The workers of ours among what these raylets (or drivers) started."""
    return sorted(
        one
        for pid in pids
        for one, said in descendants(pid).items()
        if "ray::mnist-fn-worker" in said
    )


def alive(pids: dict[int, str], name: str) -> set[int]:
    """Those of some processes that live still and had `name` in their command."""
    return {one for one, said in pids.items() if name in said} & set(processes())


def raylets(cluster: Any) -> list[int]:
    """The process of each node."""
    return [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]


def begin(log: Path, *arguments: str, **more: str) -> subprocess.Popen:
    """`mnist-fn` with these arguments in a process group of its own, its stderr appended to a
    file; `more` is added to its environment."""
    with log.open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments], env=environment(**more), text=True,
            stdout=subprocess.PIPE, stderr=said, start_new_session=True,
        )  # fmt: skip


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `holds` returns once it is true; fails if that takes too long."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def kill(pid: int) -> None:
    """kill -9."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def listening(pids: list[int]) -> set[str]:
    """The addresses, in hexadecimal as Linux has them, that these processes listen on."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                parts = line.split()
                if parts[3] == "0A" and parts[9] in inodes:
                    found.add(parts[1].partition(":")[0])
    return found
