"""The bench: what it times is what it says; its document, docs and chart agree."""

import json
import os
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import psutil
import pytest
import torch

from cli import measuring, measuring_workers
from cli.commands import bench as bench_command
from figures import bench as figure
from mnist_fn import bench
from mnist_fn.shared.bench import quiet, timing
from mnist_fn.shared.bench import report as report
from mnist_fn.shared.bench.timing import Contender, Turns, fastest, ratio, spread, take_turns
from mnist_fn.shared.config import Config
from mnist_fn.shared.storage import read_sealed
from torch_ref import bench as torch_bench

DOCS = Path(__file__).parents[2] / "docs"


def test_contenders_take_turns_in_both_directions():
    seen = []
    contenders = [
        Contender("a", "", lambda: seen.append("a")),
        Contender("b", "", lambda: seen.append("b")),
        Contender("slow", "", lambda: seen.append("slow"), rounds=1),
    ]
    times, cpu = take_turns(contenders, rounds=2, warmup=1, pause=0)
    assert seen == ["slow", "b", "a", "a", "b", "slow", "b", "a"]
    for seconds in (times, cpu):
        assert {name: len(all_) for name, all_ in seconds.items()} == {"a": 2, "b": 2, "slow": 1}


def test_wall_and_cpu_seconds_are_told_apart(monkeypatch):
    """A contender that waits 3 s, and one whose two threads compute for 2 s."""
    clocks = {"wall": 0.0, "cpu": 0.0}

    def takes(wall, cpu):
        clocks["wall"] += wall
        clocks["cpu"] += cpu

    fake = SimpleNamespace(
        perf_counter=lambda: clocks["wall"],
        process_time=lambda: clocks["cpu"],
        sleep=lambda _: None,
    )
    monkeypatch.setattr(timing, "time", fake)
    waits = Contender("waits", "", lambda: takes(3, 0))
    computes = Contender("computes", "", lambda: takes(2, 4))
    turns = take_turns([waits, computes], 2, 0)
    assert turns.wall == {"waits": [3, 3], "computes": [2, 2]}
    assert turns.cpu == {"waits": [0, 0], "computes": [4, 4]}


def test_contenders_are_ranked_in_the_rounds_that_all_have():
    """`b` is faster in the rounds it has; the machine was quiet only afterwards."""
    times = {"a": [4.0, 4.4, 1.0, 1.0, 1.0], "b": [3.0, 3.3]}
    assert fastest(times, ("a", "b")) == "b"
    assert fastest(times, ("a", "none")) == "a"
    assert fastest(times, ("none",)) is None


def test_a_ratio_is_taken_round_by_round():
    assert ratio({"a": [4.0, 9.0], "b": [1.0, 2.0], "c": [1.0, 1.0]}, "a", "b", "c")["n"] == 2
    assert ratio({"a": [4.0, 9.0], "b": [1.0, 2.0], "c": [1.0, 1.0]}, "a", "b", "c")["max"] == 3
    times = {"one": [2.0, 20.0, 3.0], "other": [1.0, 10.0, 2.0]}
    assert ratio(times, "one", "other")["median"] == 2
    assert spread([3.0, 1.0, 2.0]) == {
        "median": 2, "quartiles": [1.5, 2.5], "min": 1, "max": 3, "n": 3,
    }  # fmt: skip


TIMES = {
    "jax/train": [1.0, 1.0],
    "jax/products": [0.9, 0.9],
    "jax/traffic": [0.2, 0.2],
    "torch/products": [0.8, 0.8],
    "torch/loop": [1.5, 1.5],
    "torch/loop, compiled": [1.2, 1.2],
    "torch/notebook": [9.0],
}
ABOUT = {
    "what": {}, "left_out": {}, "device": "cpu", "machine": "m", "examples": 5,
    "processes": {"mnist-fn --help": {"warm": spread([0.1]), "peak_bytes": 1}},
}  # fmt: skip


def documented(times):
    """A document of these seconds; the processor is busy for twice as many, except with JAX."""
    cpu = {name: [v * (1 + (name != "jax/train")) for v in all_] for name, all_ in times.items()}
    return report.document(Turns(times, cpu), **ABOUT)


def test_goals_are_judged_by_the_fastest_floor_and_loop():
    document = documented(TIMES)
    assert (document["floor"], document["best_loop"]) == ("torch/products", "torch/loop, compiled")
    judged = {goal["name"]: (goal["ratio"]["median"], goal["met"]) for goal in document["goals"]}
    assert judged == {
        "JAX epoch over the products": (pytest.approx(1.25), False),
        "JAX epoch over products and Adam's traffic": (pytest.approx(1), None),
        "notebook's way over JAX": (pytest.approx(9), True),
        "best PyTorch loop over JAX": (pytest.approx(1.2), None),
        "seconds of mnist-fn --help": (0.1, True),
    }
    cpu = {goal["name"]: goal["cpu"]["median"] for goal in document["goals"] if "cpu" in goal}
    assert cpu["notebook's way over JAX"] == pytest.approx(18)
    (line,) = (line for line in report.goal_lines(document) if "notebook's way over JAX" in line)
    assert line == "| notebook's way over JAX | at least 7.5 | 9.00 (9.00 to 9.00) | 18.00 | met |"


def test_the_floor_does_the_epochs_products_and_nothing_bigger(small):
    """XLA's own count of the compiled program: 2·m·n·k for each product of a step (forward,
    kernels' gradients, inputs' gradients but the first's). The rest is the small factor's."""
    config = Config(dataset="digits", hidden=(16, 8), batch_size=50)
    weights = [np.zeros(shape, np.float32) for shape in ((64, 16), (16, 8), (8, 10))]
    batch = np.zeros((50, 64), np.float32)
    steps = len(small.train) // config.batch_size
    products = jax.jit(lambda w, x: bench._products(steps, "highest", w, x))
    text = products.lower(weights, batch).compile().as_text()
    forward = sum(a * b for a, b in ((64, 16), (16, 8), (8, 10)))
    one_step = jax.jit(lambda w, x: bench._products(1, "highest", w, x))
    flops = one_step.lower(weights, batch).compile().cost_analysis()["flops"]
    exact = 2 * 50 * (3 * forward - 64 * 16)
    assert exact <= flops <= 1.05 * exact
    assert "while" in text  # none of it was moved out of the loop and done once


@pytest.mark.parametrize("function", [bench.floor, bench.parts])
def test_every_jax_contender_runs(small, function):
    config = Config(dataset="digits", hidden=(8,), batch_size=50, l2=1e-4)
    contenders = list(function(config, small, "cpu"))
    assert len({one.name for one in contenders}) == len(contenders) >= 2
    for one in contenders:
        result = jax.tree.leaves(one.run())
        assert all(np.isfinite(np.asarray(leaf)).all() for leaf in result), one.name


def test_the_backends_contender_trains_on(small):
    config = Config(dataset="digits", hidden=(8,))
    train, both = timing.backend_contenders("jax", config, small, "cpu")
    train.run()
    both.run()  # goes on from the state that train left: donated memory is not used again
    assert (train.name, both.name) == ("jax/train", "jax/train+test")


def test_the_chart_shows_each_median(tmp_path):
    axes = figure.plot(documented(TIMES))
    assert not axes.patches  # a bar has no end on a logarithmic axis
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert sorted(dots) == pytest.approx(
        sorted(spread(values)["median"] for values in TIMES.values())
    )


@pytest.mark.long
def test_the_command_writes_its_document(command, tmp_path):
    done = command("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1", "--quick",
                   "--only", "jax/train,products,notebook", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["others"]["cores"] >= 0
    assert document["cpu"].keys() == document["epochs"].keys()
    wanted = {"jax/train", "jax/train+test", "jax/products", "torch/products", "torch/notebook"}
    assert wanted == set(document["epochs"])
    assert document["left_out"]["torch/loop"] == "--only"
    assert "mnist-fn bench --device gpu" in document["left_out"]["GPU"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "--rounds 0"),
        (["--rounds", "1", "--only", "keras"], "--only 'keras': must be in the name of one of"),
        (["--out", "nowhere/x.json"], "nowhere is no folder"),
        (["--device", "gpu"], "--device gpu: JAX finds none"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(in_process, arguments, said):
    done = in_process("bench", "--dataset", "digits", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_parts_add_up_to_what_lies_above_the_products():
    names = ("jax/train", "jax/no Adam", "jax/no Adam or gather", "jax/no Adam, gather or penalty")
    times = {name: [seconds] for name, seconds in zip(names, (1.5, 1.3, 1.2, 1.15), strict=True)}
    lines = report.part_lines(documented({**times, "jax/products": [1.0]}))
    shares = [float(line.split("|")[2].strip(" %")) for line in lines[2:]]
    assert shares == pytest.approx([20, 10, 5, 15])


def test_a_processs_memory_is_its_own(monkeypatch):
    """Not that of the process which measures it."""
    held = np.ones(50_000_000)  # 400 MB
    measured = measuring._process(["--help"], ".")
    assert held.sum() == 50_000_000
    assert 0 < measured["peak_bytes"] < 200e6
    assert 0 < measured["seconds"] < 60
    assert measuring._process(["train", "--dataset", "none"], ".") is None


BENCH = ("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1", "--quick",
         "--only", "jax/train", "--out", "bench.json")  # fmt: skip


@pytest.fixture
def others(monkeypatch):
    """What other processes use at the first look and over the turns, in cores of two."""

    def use(*cores):
        found = iter(cores)
        monkeypatch.setattr(quiet.Others, "cores", lambda self: next(found))
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        monkeypatch.setattr(bench_command, "WINDOW", 0.0)

    return use


def test_a_quiet_machine_lets_evidence_be_written(in_process, others, tmp_path):
    others(0.2, 0.2)
    assert in_process(*BENCH).returncode == 0
    document = read_sealed(tmp_path / "bench.json", report.SCHEMA)
    assert document["others"] == {"cores": 0.2, "of": 2, "limit": 0.2}


@pytest.mark.parametrize(
    ("cores", "said"),
    [((0.21,), "0.0 s before it began other processes used 0.21 of 2 cores (limit 0.20)"),
     ((0.0, 1.5), "while contenders took turns other processes used 1.50 of 2 cores")],
)  # fmt: skip
def test_a_busy_machine_writes_no_evidence(in_process, others, tmp_path, cores, said):
    """Before it, at once; beside it, at the end, when all is shown that was measured."""
    others(*cores)
    done = in_process(*BENCH)
    assert done.returncode == 2
    assert said.replace("0.0 s", "0 s") in done.stderr
    assert done.stderr.count("\n") == 1 or "jax/train" in done.stdout
    assert not (tmp_path / "bench.json").exists()


@pytest.mark.parametrize(
    ("cores", "said"),
    [((0.2, *[0.2] * 6), ""),
     ((0.21,), "0 s before it began other processes used 0.21 of 2 cores"),
     ((0.0, *[0.0, 0.6] * 3), "between the contenders' turns other processes used 0.30 of 2")],
)  # fmt: skip
def test_workers_are_not_measured_for_evidence_on_a_busy_machine(
    in_process, others, monkeypatch, tmp_path, cores, said
):
    """Looked at before each of the six turns: two backends, three ways."""
    others(*cores)
    monkeypatch.setattr(measuring_workers, "PAUSE", 0.0)
    monkeypatch.setattr(measuring_workers, "_rate", lambda config, *_: 2.0)
    done = in_process("bench", "--what", "workers", "--rounds", "1", "--out", "workers.json")
    written = tmp_path / "workers.json"
    assert (done.returncode, written.exists()) == ((2, False) if said else (0, True)), done.stderr
    assert said in done.stderr
    if len(cores) > 1:  # what was measured is shown in any case
        assert "jax, 2 workers, a thread each: 2 epochs/s (n = 1)" in done.stdout
    if not said:
        document = read_sealed(written, measuring_workers.SCHEMA)
        assert document["others"] == {"cores": pytest.approx(0.2), "of": 2, "limit": 0.2}


def test_others_are_what_is_neither_idle_nor_ours(monkeypatch):
    """10 s later: 8 s of users, 1 s of the system, 2 s stolen, 9 s idle; of it 2 s ours, 3 s of
    children that have ended and 1 s of one that runs: 5 s in 10 s is half a core of others."""
    Machine = namedtuple("Machine", "user system steal idle iowait guest")  # noqa: PYI024
    now = {"machine": Machine(100, 50, 0, 500, 9, 7), "own": (10, 1, 20, 2, 0), "child": (0.0, 0.0)}
    child = SimpleNamespace(cpu_times=lambda: (*now["child"], 0, 0, 0))
    monkeypatch.setattr(psutil, "cpu_times", lambda: now["machine"])
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [child])
    monkeypatch.setattr(quiet.os, "times", lambda: now["own"])
    monkeypatch.setattr(quiet.time, "monotonic", lambda: now.get("time", 0.0))
    others = quiet.Others()
    now.update(machine=Machine(108, 51, 2, 509, 10, 9), own=(11, 2, 22, 3, 10), child=(0.5, 0.5))
    now["time"] = 10.0
    assert others.cores() == pytest.approx(0.5)


def test_the_fastest_loops_train_the_study(small):
    """Both give the loss that the shared experiment's own PyTorch gives, from their own start:
    they are no other problem. After one step Adam has moved every kernel and decayed it."""
    config = Config(dataset="digits", hidden=(8,), batch_size=50, l2=1e-2, learning_rate=1e-2)
    where = torch_bench.pick("cpu")
    images, labels = torch_bench._on_device(config, small.train, where)
    losses = {}
    for name, make in (
        ("eager", lambda: torch_bench._eager_step(config, small, where)[1]),
        ("functional", lambda: torch_bench.functional_step(config, small, where)),
    ):
        torch.manual_seed(0)
        step = make()
        losses[name] = [float(step(images[:50], labels[:50])) for _ in range(30)]
    assert losses["eager"][-1] < losses["eager"][0] / 2
    assert losses["functional"] == pytest.approx(losses["eager"], rel=1e-4)
