"""What is seen of workers: a table on a terminal of 80 columns, one line in a log."""

import io
import itertools

import pytest
from rich.console import Console

from mnist_fn.shared.config import Config
from mnist_fn.shared.runs import progress_workers
from mnist_fn.shared.runs.folders import slug
from mnist_fn.shared.runs.run import Place
from mnist_fn.shared.runs.staff import Staff

CONFIGS = [Config(hidden=(256, 128), l2=3e-5, seed=seed, validation=10000) for seed in range(40)]
PLACES = [
    Place(f"node-0{seed % 2}.cluster.example.org/{12000 + seed}", slug(config, "jax"), seed, 100)
    for seed, config in enumerate(CONFIGS)
]


@pytest.fixture
def view(monkeypatch):
    """A view after two looks, one second apart, 2,000 epochs between them; and what it shows."""

    def make(terminal, places):
        console = Console(
            file=io.StringIO(), force_terminal=terminal, width=80, height=24, color_system=None
        )
        clock = itertools.count(1000.0, 1.0)
        monkeypatch.setattr(progress_workers.time, "monotonic", lambda: next(clock))
        monkeypatch.setattr(progress_workers, "LINE_SECONDS", 1.5)
        made = progress_workers.WorkersView(console, Staff(8))
        made.on_plan([dict.fromkeys(CONFIGS, 100)])
        made.on_places([])
        for epoch in range(2000):
            made.on_epoch({"epoch": epoch})
        made.on_places(places)
        return made, console

    return make


def test_on_80_columns_worker_epoch_and_what_tells_runs_apart_are_there(view):
    made, console = view(True, [*PLACES[:7], Place("node-00/1")])
    console.print(*made._bar.get_renderables())
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for seed in range(7):
        (line,) = (one for one in lines if f"node-0{seed % 2}/{12000 + seed}" in one)
        assert f"{seed}/100" in line and f"seed={seed}-jax" in line
    assert any("0/40 runs, 7 workers busy, 2,000 epochs/s" in line for line in lines)


def test_more_workers_than_lines_are_counted(view):
    made, console = view(True, PLACES)
    console.print(*made._bar.get_renderables())
    shown = console.file.getvalue()
    assert len(shown.splitlines()) < 24 and "and 22 more" in shown


def test_a_log_has_one_line_of_the_same(view):
    _, console = view(False, PLACES[:6])
    (line,) = console.file.getvalue().splitlines()
    assert line.startswith("0/40 runs, 6 workers busy, 2,000 epochs/s, under 1 min left: mnist-256")
    assert "0/100 at node-00/12000" in line and line.endswith("; and 2 more")
