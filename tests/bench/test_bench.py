"""The bench: what it times is what it says; its document, docs and chart agree."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from cli import measuring
from figures import bench as figure
from mnist_fn import bench
from mnist_fn.shared.bench import report as report
from mnist_fn.shared.bench import timing
from mnist_fn.shared.bench.timing import Contender, ratio, spread, take_turns
from mnist_fn.shared.config import Config

DOCS = Path(__file__).parents[2] / "docs"


def test_contenders_take_turns_in_both_directions():
    seen = []
    contenders = [
        Contender("a", "", lambda: seen.append("a")),
        Contender("b", "", lambda: seen.append("b")),
        Contender("slow", "", lambda: seen.append("slow"), rounds=1),
    ]
    times = take_turns(contenders, rounds=2, warmup=1, pause=0)
    assert seen == ["slow", "b", "a", "a", "b", "slow", "b", "a"]
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2, "slow": 1}


def test_a_ratio_is_taken_round_by_round():
    times = {"one": [2.0, 20.0, 3.0], "other": [1.0, 10.0, 2.0]}
    assert ratio(times, "one", "other")["median"] == 2
    assert spread([3.0, 1.0, 2.0]) == {
        "median": 2, "quartiles": [1.5, 2.5], "min": 1, "max": 3, "n": 3,
    }  # fmt: skip


TIMES = {
    "jax/train": [1.0, 1.0],
    "jax/products": [0.9, 0.9],
    "torch/products": [0.8, 0.8],
    "torch/loop": [1.5, 1.5],
    "torch/loop, compiled": [1.2, 1.2],
    "torch/notebook": [9.0],
}
ABOUT = {
    "what": {}, "left_out": {}, "device": "cpu", "machine": "m", "examples": 5,
    "processes": {"--help": {"warm": spread([0.1]), "peak_bytes": 1}},
}  # fmt: skip


def test_goals_are_judged_by_the_fastest_floor_and_loop():
    document = report.document(TIMES, **ABOUT)
    assert (document["floor"], document["best_loop"]) == ("torch/products", "torch/loop, compiled")
    judged = {goal["name"]: (goal["ratio"]["median"], goal["met"]) for goal in document["goals"]}
    assert judged == {
        "JAX epoch over the floor": (pytest.approx(1.25), False),
        "notebook's way over JAX": (pytest.approx(9), True),
        "best PyTorch loop over JAX": (pytest.approx(1.2), False),
        "seconds of mnist-fn --help": (0.1, True),
    }


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
    axes = figure.plot(report.document(TIMES, **ABOUT))
    assert sorted(bar.get_width() for bar in axes.patches) == pytest.approx(
        sorted(spread(values)["median"] for values in TIMES.values())
    )


def test_the_command_writes_its_document(command, tmp_path):
    done = command("bench", "--dataset", "digits", "--hidden", "4", "--rounds", "1", "--quick",
                   "--only", "jax/train,products,notebook",
                   "--out", "bench.json", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert json.loads((tmp_path / "bench.json").read_text())["epochs"] == document["epochs"]
    wanted = {"jax/train", "jax/train+test", "jax/products", "torch/products", "torch/notebook"}
    assert wanted == set(document["epochs"])
    assert document["left_out"]["torch/loop"] == "--only"
    assert "mnist-fn bench --device gpu" in document["left_out"]["GPU"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "--rounds 0"),
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
    lines = report.part_lines(report.document({**times, "jax/products": [1.0]}, **ABOUT))
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
