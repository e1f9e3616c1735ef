"""Workers on a real Ray: what is refused, what a stop leaves, who may in, the same study."""

import json
import operator
import os
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from mnist_fn import Callbacks, Config, InputError
from mnist_fn.shared import source
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.runs.callbacks import RunEnded
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.storage import locked
from mnist_fn.shared.sweeps import runner, workers
from mnist_fn.shared.sweeps.request import SweepRequest, Workers
from mnist_fn.shared.sweeps.sweep import compare
from tests.support import clusters

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]  # Ray's own, by the dozen
SWEEP = ("sweep", "--dataset", "digits", "--hidden", "16", "--seeds", "2")
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture(scope="module")
def cluster():
    """The head takes no worker: each test adds its node."""
    with clusters.cluster_of(0) as made:
        yield made


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The processes of a command's own Ray, once the command was killed."""
    clusters.ray_or_skip()
    folder = tmp_path_factory.mktemp("killed")
    out = ("--epochs", "200000", "--workers", "1", "--out", str(folder / "r"))
    driver = clusters.begin(folder / "log", *SWEEP, *out)
    clusters.until(lambda: clusters.workers_under(driver.pid), 120)
    started = clusters.descendants(driver.pid)
    clusters.kill(driver.pid)
    driver.communicate()
    return started


def test_the_workers_of_a_killed_command_die_at_once(killed):
    assert any("mnist-fn-worker" in said for said in killed.values())
    clusters.until(lambda: not clusters.alive(killed, "mnist-fn-worker"), 30)


def pretended(folder: Path, code: str) -> dict[str, str]:
    """The environment of a node that runs `code` in each of its processes first."""
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])}


def another(folder: Path, package: str) -> str:
    info = folder / f"{package.replace('-', '_')}-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.1\n")
    return ""


NOT_THERE = "import sys; sys.modules['mnist_fn'] = None"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: another(folder, "jax"), r"differs: jax 0\.0\.1 there, .* here"),
        (
            lambda _: NOT_THERE,
            r"`cluster=.*: a worker: ModuleNotFoundError: .*mnist_fn.*; install",
        ),
    ],
    ids=["another-version", "no-package"],
)
def test_a_node_that_differs_is_refused_before_it_computes_anything(cluster, tmp_path, make, said):
    node = cluster.add_node(num_cpus=1, env_vars=pretended(tmp_path, make(tmp_path)))
    try:
        with (
            workers.worker_pool(Workers(None, 1, cluster.address), load("digits"), "cpu") as pool,
            pytest.raises(InputError, match=said),
        ):
            list(pool.run(operator.is_, iter([("key", 1)]), Callbacks()))
    finally:
        cluster.remove_node(node)


def test_a_node_that_comes_late_and_differs_is_refused_and_what_is_done_stays(cluster, tmp_path):
    """Two workers are asked for, and there is room for one until it comes."""
    added = [cluster.add_node(num_cpus=1)]
    differing = pretended(tmp_path, another(tmp_path, "jax"))

    def join(event):
        if isinstance(event, RunEnded) and len(added) == 1:
            added.append(cluster.add_node(num_cpus=1, env_vars=differing))

    base = Config(dataset="digits", hidden=(16,))
    # of tasks that wait for one worker Ray may take either first
    configs = [base.replace(epochs=epochs, seed=s) for epochs in (2, 10**6) for s in (0, 1)]
    request = SweepRequest(
        tuple(configs), device="cpu", out=tmp_path / "r", workers=Workers(2, 1, cluster.address)
    )
    try:
        with pytest.raises(InputError, match=r"differs: jax 0\.0\.1 there, .* here"):
            compare(request, Callbacks(on_event=join))
    finally:
        for node in added:
            cluster.remove_node(node)
    headers = [RunFolder(run).read_header() for run in (tmp_path / "r").iterdir()]
    assert headers
    assert all(header.finished and header.config.epochs == 2 for header in headers)


def test_refusals_are_one_line_and_leave_nothing(command):
    said = command(*SWEEP, "--cluster", "127.0.0.1:1", "--out", "r")
    assert (said.returncode, said.stdout, said.stderr.count("\n")) == (2, "", 1), said.stderr
    assert "--cluster 127.0.0.1:1: can't be joined" in said.stderr


SPECIAL = """
import os, signal
from mnist_fn.shared.sweeps.runner import train_task

def deadly(dataset, task):
    if task[1][0].config.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_task(dataset, task)
"""


def test_a_run_that_kills_its_workers_is_given_up_and_the_others_trained(
    cluster, tmp_path, monkeypatch
):
    """Ray starts it again three times. What a task is may be replaced: it is a function."""
    (tmp_path / "special.py").write_text(SPECIAL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(runner, "train_task", import_module("special").deadly)
    base = Config(dataset="digits", hidden=(16,), epochs=2)
    configs = tuple(base.replace(seed=seed) for seed in range(3))
    request = SweepRequest(
        configs, device="cpu", out=tmp_path / "r", workers=Workers(1, 1, cluster.address)
    )
    node = cluster.add_node(num_cpus=1, env_vars=pretended(tmp_path, ""))
    try:
        result = compare(request, Callbacks())
    finally:
        cluster.remove_node(node)
    assert [run.config.seed for run in result] == [0, 2]
    (error,) = result.failures
    text = str(error)
    assert "seed=1-jax: its workers were lost: the process is gone; the same command" in text
    assert {path.name for path in (tmp_path / "r").iterdir()} == {run.path.name for run in result}


def test_ctrl_c_ends_all_keeps_what_is_finished_and_only_loopback_was_open(tmp_path):
    clusters.ray_or_skip()
    out, log = tmp_path / "r", tmp_path / "log"
    compare(SweepRequest((Config(dataset="digits", hidden=(16,), epochs=2),), out=out))
    before = sorted(out.iterdir())
    driver = clusters.begin(
        log, *SWEEP, "--epochs", "200000", "--workers", "2", "--json", "--out", str(out)
    )
    clusters.until(lambda: len(clusters.workers_under(driver.pid)) == 2, 120)
    started = clusters.descendants(driver.pid)
    addresses = clusters.listening([driver.pid, *started])
    assert addresses and addresses <= LOOPBACK
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to all
    written, _ = driver.communicate(timeout=120)
    said = log.read_text()
    assert (driver.returncode, written) == (130, ""), said
    assert "stopped with 0 of 2 runs done; the same request goes on" in said
    assert "Traceback" not in said
    assert sorted(out.iterdir()) == before
    clusters.until(lambda: not set(started) & set(clusters.processes()), 30)


def test_leftovers_are_removed_by_owner_age_and_lock(tmp_path, monkeypatch):
    """Not by a number in the name: `mnist-fn-ray-99999999999999999999-x` ended the command."""
    old = "mnist-fn-ray-99999999999999999999-x"
    names = (old, "mnist-fn-ray-new", "mnist-fn-ray-used", "other")
    folders = {name: tmp_path / name for name in names}
    for folder in folders.values():
        folder.mkdir()
        (folder / "file").touch()
        os.utime(folder, (0, 0))
    os.utime(folders["mnist-fn-ray-new"])
    link = tmp_path / "mnist-fn-ray-link"
    link.symlink_to(folders["other"])
    os.utime(link, (0, 0), follow_symlinks=False)
    if os.getuid() == 0:
        theirs = tmp_path / "mnist-fn-ray-theirs"
        theirs.mkdir()
        os.chown(theirs, 65534, 65534)
        os.utime(theirs, (0, 0))
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(workers, "TEMPORARY", tmp_path)
    used = folders["mnist-fn-ray-used"]
    with locked(used):
        os.utime(used, (0, 0))
        with workers.private_folder() as made:
            assert {path.name for path in tmp_path.iterdir()} == before - {old} | {made.name}
            with pytest.raises(InputError, match="in use"), locked(made):
                pass
    assert {path.name for path in tmp_path.iterdir()} == before - {old}
    assert list(folders["other"].iterdir()) == [folders["other"] / "file"]


def test_nodes_of_ray_start_train_a_sweep(tmp_path):
    """The commands of docs/cluster.md, two nodes on this machine."""
    clusters.ray_or_skip()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address, log = f"127.0.0.1:{port}", tmp_path / "log"
    head = ("--head", f"--port={port}", f"--system-config={json.dumps(clusters.HEALTH)}")
    with (
        clusters.ray_start(tmp_path / "head", *head, "--include-dashboard=false"),
        clusters.ray_start(tmp_path / "second", f"--address={address}"),
    ):
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": clusters.TOKEN}
        out = ("--epochs", "2", "--json", "--out", str(tmp_path / "r"))
        command = clusters.begin(log, *SWEEP, *out, "--cluster", address, **token)
        written, _ = command.communicate(timeout=100)
    assert command.returncode == 0, log.read_text()
    assert len(json.loads(written)["runs"]) == 2
    assert f"2 workers of 1 thread on the cluster {address}" in log.read_text()


STUDY = ("study", "--quick", "--dataset", "digits", "--only", "l2", "--backend", "both")
HORIZON = ("parity", "--level", "horizon", "--epochs", "1", "--precision", "float64",
           "--dataset", "digits", "--model", "linear,shallow")  # fmt: skip
ONE_PROCESS = f"""
import sys
from cli.main import main
for command in ({STUDY}, {HORIZON}):
    sys.argv = ["mnist-fn", *command, "--out", "one"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, end.code
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A process of one thread that computes what workers do meanwhile, and its folder."""
    folder = tmp_path_factory.mktemp("alone")
    environment = clusters.environment(PJRT_NPROC="1", OMP_NUM_THREADS="1")
    with (folder / "log").open("w") as log:
        yield (
            subprocess.Popen(
                [sys.executable, "-c", ONE_PROCESS],
                cwd=folder,
                stdout=log,
                stderr=log,
                env=environment,
            ),
            folder,
        )


@pytest.fixture
def both_ways(cluster, alone, in_process, tmp_path):
    """What a command finds by workers of a cluster, and what `alone` finds."""

    def run(file, workers, *arguments):
        process, folder = alone
        node = cluster.add_node(num_cpus=workers)
        try:
            done = in_process(*arguments, "--cluster", cluster.address, "--out", "many")
        finally:
            cluster.remove_node(node)
        assert done.returncode == 0, done.stderr
        assert process.wait(200) == 0, (folder / "log").read_text()
        found = []
        for path in (tmp_path / "many" / file, folder / "one" / file):
            found.append(json.loads(path.read_text()))
            for name in ("command", "digest", "machine"):
                del found[-1][name]
        return found

    return run


def test_the_study_on_a_cluster_has_the_numbers_of_one_process(both_ways):
    many, one = both_ways("study.json", 2, *STUDY)
    assert many == one
    assert set(one["backends"]) == {"jax", "torch"}


def test_a_horizon_at_a_worker_is_that_of_one_process(both_ways):
    """At several they may end in any order: `test_pool.py`."""
    many, one = both_ways("parity-horizon.json", 1, *HORIZON)
    assert many == one
    assert len(one["horizon"]) == 2


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({}, ""),
        ({"mnist-fn": "9", "mnist-fn source": "other"}, "mnist-fn 9 there, {mnist-fn} here"),
        ({"python": "3.9.1"}, "python 3.9.1 there, {python} here"),
        ({"torch": "0", "jax": "0"}, "jax 0 there, {jax} here; torch 0 there, {torch} here"),
        ({"mnist-fn source": "o", "training source": "o"},
         "mnist-fn source o there, {mnist-fn source} here"),
    ],
)  # fmt: skip
def test_differences_are_said_once(theirs, said):
    here = workers.facts()
    assert workers.differences(here, {**here, **theirs}) == said.format(**here)


def test_a_machine_without_our_source_differs(monkeypatch):
    monkeypatch.setattr(source, "digests", dict)
    assert workers.facts.__wrapped__()["mnist-fn"] == "none"


NOTEBOOK = """
import json, ray, subprocess, sys
from pathlib import Path
from mnist_fn import Callbacks, Config, sweep

def look():
    recent = lambda path: path.stat().st_mtime > float(sys.argv[1])
    (outer,) = filter(recent, Path("/tmp").glob("mnist-fn-ray-*"))
    for folder in (outer, outer / "ray"):
        look = subprocess.run(["ls", folder], user=65534, group=65534, extra_groups=[],
                              capture_output=True, text=True, env={"LC_ALL": "C"})
        looks.append([oct(folder.stat().st_mode & 0o777), "Permission denied" in look.stderr])
    return outer

def on_event(event):
    global outer
    print(type(event).__name__)
    if type(event).__name__ == "WorkersStarted" and sys.argv[2] == "0":
        outer = look()

looks, outer = [], Path("none")
found = sweep(Config(dataset="digits", hidden=(9,) * 8, epochs=3), learning_rate=[1e6, 5e-4],
              workers=1, out="runs", callbacks=Callbacks(on_event=on_event))
print(json.dumps({**found.to_dict(), "looks": looks, "left": outer.exists()}))
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """What a sweep says that has a Ray of its own, as in a notebook: Ray reads its environment
    when it is imported, without our token."""
    clusters.ray_or_skip()
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(time.time() - 1), str(os.getuid())],
        cwd=tmp_path_factory.mktemp("notebook"), capture_output=True, text=True, timeout=300,
        check=False, env=clusters.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_our_own_ray_starts_where_ray_was_imported_before_and_a_divergence_ends_one_run(notebook):
    *events, document = notebook
    assert sorted(events) == ["RunEnded", "RunEnded", "RunsScheduled", "WorkersStarted"]
    found = json.loads(document)
    assert len(found["runs"]) == 1
    assert "no longer finite" in found["diverged"][0]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_another_user_cannot_enter_the_folder_of_our_own_ray(notebook):
    """Ray opens its folder to everybody: the sockets of a worker could be taken over."""
    found = json.loads(notebook[-1])
    # Ray's own folder is open to all
    assert found["looks"] == [["0o700", True], ["0o777", True]]
    assert not found["left"]


def test_nothing_is_left_of_a_killed_command(killed):
    """Last: two agents of Ray's look for their parent no more than now and then."""
    clusters.until(lambda: not clusters.alive(killed, ""), 180)
