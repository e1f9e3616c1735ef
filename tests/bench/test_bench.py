"""The bench: what it times is what it says; its document, docs and chart agree."""

import json
import os
import re
from collections import namedtuple
from contextlib import nullcontext
from importlib import import_module
from types import SimpleNamespace

import evidence_speed
import evidence_workers
import jax
import make_performance
import numpy as np
import optax
import psutil
import pytest
import quiet as evidence_quiet
import torch

import mnist_fn.backend
from figures import bench as figure
from mnist_fn import bench, compiling
from mnist_fn.shared.bench import quiet, report, timing
from mnist_fn.shared.bench.contenders import COMPARED, Contender, choose
from mnist_fn.shared.bench.report import ratio, spread
from mnist_fn.shared.bench.timing import Turn, Turns, in_a_process, take_turns
from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import read_sealed
from mnist_fn.shared.streams import initial_state
from torch_ref import bench as torch_bench

DIGITS = Config(dataset="digits", hidden=(8,), batch_size=50)


def test_contenders_take_turns_in_both_directions():
    order = []

    def measure(contender):
        order.append(contender.name)
        return Turn(len(order), 2 * len(order), "cpu")

    turns = take_turns([Contender("a", ""), Contender("b", "")], 2, measure)
    assert order == ["a", "b", "b", "a"]
    assert (turns.wall, turns.cpu) == ({"a": [1, 4], "b": [2, 3]}, {"a": [2, 8], "b": [4, 6]})
    assert (turns.left_out, turns.device) == ({}, "cpu")


def test_what_cannot_be_measured_is_left_out_unless_it_is_the_first():
    """`b` goes in the second round, and its first turn with it; without `a` there is nothing."""
    order = []

    def measure(contender):
        order.append(contender.name)
        if contender.name == "b" and order.count("b") >= 2:
            raise InputError("no memory")
        return Turn(1.0, 1.0, "cpu")

    contenders = [Contender(name, "") for name in "abc"]
    turns = take_turns(contenders, 3, measure)
    assert order == ["a", "b", "c", "c", "b", "a", "a", "c"]
    assert {name: len(times) for name, times in turns.wall.items()} == {"a": 3, "c": 3}
    assert turns.wall.keys() == turns.cpu.keys()
    assert turns.left_out == {"b": "no memory"}
    with pytest.raises(InputError, match="no memory"):
        take_turns([Contender("b", ""), Contender("a", "")], 1, measure)


def test_wall_and_cpu_seconds_are_told_apart(monkeypatch):
    """Once untimed, then until a second is over: medians of 0.3, 0.5 and 0.4 s by the clock, in
    which two threads compute."""
    clocks = {"wall": 0.0, "cpu": 0.0}
    seconds = iter([9.0, 0.3, 0.5, 0.4])

    def run():
        taken = next(seconds)
        clocks["wall"] += taken
        clocks["cpu"] += 2 * taken

    fake = SimpleNamespace(perf_counter=lambda: clocks["wall"], process_time=lambda: clocks["cpu"])
    monkeypatch.setattr(timing, "time", fake)
    assert timing.measure(run) == (pytest.approx(0.4), pytest.approx(0.8))
    assert list(seconds) == []


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """A module whose contenders say their process, or fail."""
    (tmp_path / "probe.py").write_text(
        "import os, time\n"
        "def make(name, config, dataset, device):\n"
        "    if name == 'fails':\n"
        "        raise RuntimeError('no memory')\n"
        "    return lambda: time.sleep(1), f'{os.getpid()} {config.hidden} {len(dataset.train)}'\n"
    )
    folders = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))


def test_each_turn_has_a_process_of_its_own(probe):
    answers = [in_a_process(Contender("pid", "", "probe"), DIGITS, None, "cpu") for _ in range(2)]
    pids = {answer.device.split()[0] for answer in answers}
    assert len(pids | {str(os.getpid())}) == 3
    assert answers[0].device.endswith("(8,) 1437")
    assert answers[0].seconds >= 1 > answers[0].cpu_seconds
    with pytest.raises(InputError, match=r"^RuntimeError: no memory$"):
        in_a_process(Contender("fails", "", "probe"), DIGITS, None, "cpu")
    with pytest.raises(InputError, match="--device gpu"):
        in_a_process(choose(["jax/train"])[0], DIGITS, None, "gpu")


def test_what_is_chosen_is_a_part_of_a_name():
    names = [contender.name for contender in choose(["jax/train", "notebook"])]
    assert names == ["jax/train", "jax/train+test", "torch/notebook"]
    everyone = [contender.name for contender in choose()]
    assert everyone[0] == "jax/train"
    assert len(set(everyone)) == len(everyone) == 10


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
    "torch/loop": [1.5, 1.2],
    "torch/loop, compiled": [1.2, 1.5],
    "torch/notebook": [9.0],
}


def documented(times):
    """A document of these seconds; the processor is busy for twice as many, except with JAX."""
    cpu = {name: [v * (1 + (name != "jax/train")) for v in all_] for name, all_ in times.items()}
    return report.document(Turns(times, cpu, {}, "cpu"), what={}, machine="m", examples=5)


def test_goals_are_judged_by_the_faster_floor_and_each_rounds_fastest_loop():
    document = documented(TIMES)
    assert document["floor"] == "torch/products"
    ratios = document["ratios"]
    assert {row["name"]: row["ratio"]["median"] for row in ratios} == {
        "JAX epoch over the products": pytest.approx(1.25),
        "JAX epoch over products and Adam's traffic": pytest.approx(1),
        "notebook's way over JAX": pytest.approx(9),
        "best PyTorch epoch over JAX": pytest.approx(1.2),
    }
    head, rows = make_performance.goal_table(ratios)
    assert head[:3] == ["what", "median (quartiles)", "in CPU seconds"]
    assert head[3:] == ["wanted", "by the clock", "by CPU seconds"]
    ratios_shown = ["notebook's way over JAX", "9.00 (9.00 to 9.00)", "18.00"]
    assert [*ratios_shown, "at least 7.5", "met", "met"] in rows
    assert [row[-2] for row in rows] == ["NOT met", "", "met", ""]
    as_fast = [{**row, "cpu": {**row["cpu"], "median": 1.0}} for row in ratios]
    _, rows = make_performance.goal_table(as_fast)
    assert [row[-1] for row in rows] == ["met", "", "NOT met", ""]


def test_the_floor_is_each_rounds_products_and_an_epoch_below_it_is_named():
    """A round that is slow throughout changes no ratio."""
    times = {"jax/train": [1.0, 1.0, 2.5], "jax/products": [0.8, 0.8, 2.0], "jax/traffic": [0.1]}
    document = documented(times)
    assert document["ratios"][0]["ratio"]["max"] == pytest.approx(1.25)
    assert make_performance.undercut(document) == []
    assert [row[-1] for row in report.epoch_table(document)[1]] == ["", "1.00", "1.25"]
    assert make_performance.undercut(documented({**times, "jax/train": [1.0, 0.7, 2.5]})) == [
        "jax/train"
    ]


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


@pytest.mark.long
@pytest.mark.parametrize(
    "contender",
    [
        *(one for one in COMPARED if "loop, " not in one.name),
        *(Contender(name, "", "evidence_speed") for name in (*evidence_speed.PARTS, "of 2")),
    ],
    ids=lambda contender: contender.name,
)
def test_every_contender_runs(small, contender):
    config = DIGITS.replace(l2=1e-4)
    run, device = import_module(contender.module).make(contender.name, config, small, "cpu")
    leaves = jax.tree.leaves(run())
    assert device == "cpu"
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves)


CHANGED_PROGRAMS = ("one division", "one pass of the loss", "unrolled", "Eigen")


def loss_after_an_epoch(dataset):
    config = DIGITS.replace(l2=1e-3, learning_rate=1e-2)
    backend = mnist_fn.backend.make(config, dataset, "cpu")
    state = backend.load(initial_state(config, dataset.pixels, dataset.classes))
    order = np.arange(len(dataset.train), dtype=np.int32)
    return backend.train_epoch(state, order)[1].loss


@pytest.fixture(scope="module")
def unchanged_loss(small):
    return loss_after_an_epoch(small)


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGED_PROGRAMS)
def test_a_change_that_was_tried_trains_the_study(small, unchanged_loss, monkeypatch, name):
    """A change that trained something else would be no faster or slower way to do the same."""
    for module, attribute in (
        (optax, "scale_by_adam"),
        (optax, "softmax_cross_entropy_with_integer_labels"),
        (jax.lax, "scan"),
    ):
        monkeypatch.setattr(module, attribute, getattr(module, attribute))  # as it is, afterwards
    monkeypatch.setattr(compiling, "WIDE_VECTORS", dict(compiling.WIDE_VECTORS))
    evidence_speed._change(name, DIGITS, small, "cpu")
    assert loss_after_an_epoch(small) == pytest.approx(unchanged_loss, rel=1e-4)


def test_the_backends_contender_trains_on(small):
    run, device = timing.epoch("jax/train+test", DIGITS, small, "cpu")
    run()
    run()  # goes on from the state that the first left: donated memory is not used again
    assert device == "cpu"


def test_the_chart_shows_each_median(tmp_path):
    axes = figure.plot(documented(TIMES))
    assert not axes.patches  # a bar has no end on a logarithmic axis
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert sorted(dots) == pytest.approx(
        sorted(spread(values)["median"] for values in TIMES.values())
    )


@pytest.mark.long
def test_the_command_writes_its_document(command):
    done = command("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["others"]["cores"] >= 0
    assert document["cpu"].keys() == document["epochs"].keys()
    names = {contender.name for contender in choose()}
    assert names == {*document["epochs"], *document["left_out"]}
    assert document["left_out"].keys() <= {"torch/loop, CUDA graph", "torch/loop, compiled"}


def test_its_tables_fit_80_columns(in_process, monkeypatch):
    monkeypatch.setattr(timing, "in_a_process", lambda *_: Turn(1.234, 1.3, "cpu"))
    whole = in_process("bench", "--dataset", "digits", "--rounds", "1").stdout
    assert "DataLoader, ToTensor, .item()" in whole
    terminal = {"COLUMNS": "80", "FORCE_COLOR": "1"}
    done = in_process("bench", "--dataset", "digits", "--rounds", "1", env=terminal)
    assert done.returncode == 0, done.stderr
    assert "torch/loop, CUDA graph" in done.stdout
    assert "notebook's way over JAX" in done.stdout
    lines = re.sub(r"\x1b\[[\d;]*m", "", done.stdout).splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "--rounds 0"),
        (["--only", "jax/train,keras"], "--only 'keras': must be in the name of one of"),
        (["--out", "nowhere/x.json"], "nowhere is no folder"),
        (["--device", "gpu"], "--device gpu: JAX finds none"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(in_process, arguments, said):
    done = in_process("bench", "--dataset", "digits", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_that_is_no_contender_is_refused_before_anything_is_read(in_process):
    done = in_process("bench", "--only", "keras", "--data-dir", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--only 'keras'" in done.stderr


def test_the_parts_add_up_to_what_lies_above_the_products():
    names = ("jax/train", "jax/no Adam", "jax/no Adam or gather", "jax/no Adam, gather or penalty")
    times = {name: [seconds] for name, seconds in zip(names, (1.5, 1.3, 1.2, 1.15), strict=True)}
    lines = make_performance.part_lines({**times, "jax/products": [1.0]})
    shares = [float(line.split("|")[2].strip(" %")) for line in lines[2:]]
    assert shares == pytest.approx([20, 10, 5, 15])


def test_a_processs_memory_is_its_own(tmp_path):
    """Not that of the process which measures it."""
    held = np.ones(50_000_000)  # 400 MB
    measured = evidence_speed._process(["--help"], str(tmp_path))
    assert held.sum() == 50_000_000
    assert 0 < measured["peak_bytes"] < 200e6
    assert 0 < measured["seconds"] < 60


BENCH = ("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1",
         "--only", "jax/products", "--out", "bench.json")  # fmt: skip


@pytest.fixture
def others(monkeypatch):
    """What other processes use at each look, in cores of two."""

    def use(*cores):
        found = iter(cores)
        monkeypatch.setattr(quiet.Others, "cores", lambda self: next(found))
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        monkeypatch.setattr(evidence_quiet, "WINDOW", 0.0)

    return use


@pytest.mark.long
@pytest.mark.parametrize(("cores", "is_busy"), [(0.2, False), (0.21, True)])
def test_a_busy_machine_is_said_and_is_no_evidence(in_process, others, tmp_path, cores, is_busy):
    others(cores)
    done = in_process(*BENCH)
    assert done.returncode == 0, done.stderr
    said = "other processes used 0.21 of 2 cores meanwhile (limit 0.20)"
    assert (said in done.stdout) == is_busy
    file = tmp_path / "bench.json"
    load = read_sealed(file, report.SCHEMA)["others"]
    assert load == {"cores": cores, "of": 2, "limit": 0.2}
    with pytest.raises(InputError, match="no evidence") if is_busy else nullcontext():
        evidence_quiet.refuse_if_busy(file, load, "meanwhile")


def test_the_page_of_speeds_refuses_a_measurement_on_a_busy_machine(monkeypatch):
    read = make_performance.read_sealed
    busy = {"others": {"cores": 1.5, "of": 2, "limit": 0.2}}
    monkeypatch.setattr(make_performance, "read_sealed", lambda *a: {**read(*a), **busy})
    with pytest.raises(InputError, match=r"no evidence: while .* used 1\.50 of 2 cores"):
        make_performance.sections()


def test_evidence_is_not_begun_on_a_busy_machine(others):
    others(0.21)
    with pytest.raises(InputError, match=r"for 0 s before it began other processes used 0\.21"):
        evidence_quiet.check_before("speed.json")


def test_workers_are_not_measured_for_evidence_on_a_busy_machine(others, monkeypatch, tmp_path):
    """Looked at first, and before each of the six turns: two backends, three ways."""
    written = tmp_path / "workers.json"
    arguments = ["--rounds", "1", "--out", str(written)]
    monkeypatch.setattr(evidence_workers, "PAUSE", 0.0)
    monkeypatch.setattr(evidence_workers, "rate", lambda *_: 2.0)
    others(0.0, *[0.0, 0.6] * 3)
    with pytest.raises(InputError, match=r"between the turns other processes used 0\.30 of 2"):
        evidence_workers.main(arguments)
    assert not written.exists()
    others(*[0.2] * 7)
    evidence_workers.main(arguments)
    document = read_sealed(written, evidence_workers.SCHEMA)
    assert document["others"] == {"cores": pytest.approx(0.2), "of": 2, "limit": 0.2}
    ratios = document["backends"]["torch"]["ratios"]
    assert ratios["2 workers, a thread each / 1 worker, a thread"]["median"] == 1


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
    where = torch.device("cpu")
    images = torch.from_numpy(scale_pixels(small.train.images, "float32"))
    labels = torch.from_numpy(small.train.labels.astype(np.int64))
    losses = {}
    for name, make in (
        ("eager", lambda: torch_bench.eager_step(config, small, where)),
        ("functional", lambda: torch_bench.functional_step(config, small, where)),
    ):
        torch.manual_seed(0)
        step = make()
        losses[name] = [float(step(images[:50], labels[:50])) for _ in range(30)]
    assert losses["eager"][-1] < losses["eager"][0] / 2
    assert losses["functional"] == pytest.approx(losses["eager"], rel=1e-4)
