"""Workers, a node and a driver killed at random moments: the files are as if nothing had been."""

import re
import time

import numpy as np
import pytest

from tests.support import clusters
from tests.support.killing import RESULTS

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]  # Ray's own, by the dozen
EPOCHS = {"jax": "300", "torch": "80"}
KILLS = 10
RUNS = {"jax": 4, "torch": 2}
WORKERS = {"jax": 2, "torch": 1}  # a worker imports PyTorch for 5 s, JAX for 2


def sweep_of(backend, out, *more):
    runs = ("--seeds", str(RUNS[backend]), "--epochs", EPOCHS[backend], "--out", str(out))
    return ("sweep", "--dataset", "digits", "--hidden", "64", "--backend", backend, *runs, *more)


def contents(folder):
    return {
        (run.name, file): (run / file).read_bytes()
        for run in sorted(folder.iterdir()) for file in RESULTS if (run / file).exists()
    }  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of each backend's runs, trained by one process of one thread without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    commands = [
        clusters.begin(folder / f"{backend}.log", *sweep_of(backend, folder / backend),
                       PJRT_NPROC="1", OMP_NUM_THREADS="1")
        for backend in EPOCHS
    ]  # fmt: skip
    for command in commands:
        command.communicate(timeout=400)
        assert command.returncode == 0
    return {backend: contents(folder / backend) for backend in EPOCHS}


def test_kills_change_no_byte(undisturbed, tmp_path):
    """Two commands on one cluster of two nodes; what is killed, and when, is drawn."""
    with clusters.cluster_of(1, 2) as cluster:
        campaign = Campaign(cluster, tmp_path)
        while campaign.events:
            whole = campaign.trained()
            for backend in EPOCHS:
                assert contents(whole / backend) == undisturbed[backend]
    said = campaign.said()
    assert campaign.done.count("worker") == KILLS
    assert {"node", "driver"} < set(campaign.done)
    assert "Traceback" not in said
    chatter = r"\(raylet\)|core_worker|ray::|^\[20\d\d-"  # Ray's own
    assert not re.search(chatter, said, re.MULTILINE)


class Campaign:
    """Sweeps of both backends side by side, again and again until all kills are done."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder, self.rounds = cluster, folder, 0
        self.rng = np.random.default_rng(17)
        self.events = ["worker"] * KILLS
        self.events.insert(3, "node")
        self.events.insert(7, "driver")
        self.done = []

    def start(self, backend):
        where = ("--cluster", self.cluster.address, "--workers", str(WORKERS[backend]))
        out = self.folder / str(self.rounds) / backend
        return clusters.begin(self.folder / f"{backend}.log", *sweep_of(backend, out, *where))

    def said(self):
        return "".join((self.folder / f"{backend}.log").read_text() for backend in EPOCHS)

    def workers(self):
        return clusters.workers_under(*clusters.raylets(self.cluster))

    def trained(self):
        """The folder of a round that is done, whatever was killed in it."""
        self.rounds += 1
        self.drivers = {backend: self.start(backend) for backend in EPOCHS}
        while any(driver.poll() is None for driver in self.drivers.values()):
            time.sleep(self.rng.uniform(0.1, 1.0))
            if self.events and self.strike(self.events[0]):
                self.done.append(self.events.pop(0))
        for backend in EPOCHS:
            self.finish(backend)
        return self.folder / str(self.rounds)

    def strike(self, event):
        """Whether there was something to kill."""
        if event == "worker":
            there = self.workers()
            if there:
                clusters.kill(int(self.rng.choice(there)))
            return bool(there)
        if event == "node":
            (node,) = self.cluster.worker_nodes
            self.cluster.remove_node(node, allow_graceful=False)
            self.cluster.add_node(num_cpus=2, object_store_memory=150 * 2**20)
            return True
        running = [name for name, driver in self.drivers.items() if driver.poll() is None]
        if running:
            self.drivers[running[0]].kill()
            self.drivers[running[0]].wait(30)
            self.drivers[running[0]] = self.start(running[0])
        return bool(running)

    def finish(self, backend):
        """Whatever the kills ended, the same command goes on.

        A run whose worker was killed four times is given up; a command, when three tasks in a row
        were, or all of its runs. Nothing is killed any more now, so that no command may end so a
        second time.
        """
        killed = True
        while True:
            driver = self.drivers[backend]
            driver.communicate(timeout=400)
            last = (self.folder / f"{backend}.log").read_text().splitlines()[-1]
            none = f"none of {RUNS[backend]} runs came"
            lost = "no worker can be had: 3 tasks in a row" in last or none in last
            assert driver.returncode == 0 or (killed and driver.returncode == 2 and lost), (
                self.said()
            )
            killed = False
            runs = list((self.folder / str(self.rounds) / backend).glob("*/run.json"))
            if len(runs) == RUNS[backend] and all('"finished"' in run.read_text() for run in runs):
                return
            self.drivers[backend] = self.start(backend)
