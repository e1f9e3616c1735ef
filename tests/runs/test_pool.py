"""What the driver of workers does, with an object in place of Ray: a real one takes seconds."""

import operator
import pickle
import signal
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from mnist_fn import Callbacks, Config, InputError, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data import datasets
from mnist_fn.shared.parity import handed
from mnist_fn.shared.parity.levels import make_plan
from mnist_fn.shared.runs.callbacks import Notice
from mnist_fn.shared.runs.folder import RunFolder, slug
from mnist_fn.shared.sweeps import runner, workers
from mnist_fn.shared.sweeps.request import SweepRequest, Workers
from tests.support.tiny_backend import TINY, Tiny


class OneByOne:
    """Ray's calls, each task computed when it is waited for; nodes go as `nodes` says."""

    exceptions = SimpleNamespace(RayError=RuntimeError, RayTaskError=RuntimeError)

    def __init__(self, *cpus):
        self.cpus = list(cpus)

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": self.cpus[0]}}]

    def remote(self, function):
        options = SimpleNamespace(remote=lambda *given: given[2:3])
        return SimpleNamespace(options=lambda **_: options)

    def wait(self, running, **_):
        if len(self.cpus) > 1:
            self.cpus.pop(0)
        return running[:1], running[1:]

    def get(self, task):
        return operator.neg(*task)

    def cancel(self, task, force):
        raise AssertionError("nothing runs at the end")


def test_a_cluster_that_loses_a_node_goes_on_with_what_is_left():
    """More tasks run than the nodes that are left have room for."""
    pool = workers.WorkerPool(OneByOne(3, 3, 1), Workers(None, 1, "auto"), "cpu", None)
    results = dict(pool.run(operator.neg, ((n, n) for n in range(6)), Callbacks()))
    assert results == {number: -number for number in range(6)}


def test_a_ray_of_the_callers_is_left_alone(monkeypatch):
    ended = []
    ray = SimpleNamespace(is_initialized=lambda: True, shutdown=lambda: ended.append("shutdown"))
    monkeypatch.setitem(sys.modules, "ray", ray)
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(InputError, match=r"connected to Ray already; call ray\.shutdown"),
        workers.worker_pool(Workers(1, 1, "auto"), None),
    ):
        pass
    assert not ended
    assert signal.getsignal(signal.SIGTERM) is before


def test_workers_get_the_pictures_as_the_config_reads_them(cases, monkeypatch):
    sent = []

    def keep(_, dataset, __):
        sent.append(dataset)
        raise InputError("enough")

    monkeypatch.setattr(runner, "worker_pool", keep)
    for orientation in ("upright", "as-stored"):
        config = Config(dataset="emnist-letters", orientation=orientation)
        request = SweepRequest((config,), data_dir=cases / "idx", workers=Workers(1, 1))
        with pytest.raises(InputError, match="enough"), \
                runner.start_workers(request, 1, Callbacks()) as (_, pool):  # fmt: skip
            pool()
    upright, stored = sent
    expected = datasets.load_for(config.replace(batch_size=1), cases / "idx")
    assert np.array_equal(stored.test.images, expected.test.images)
    assert not np.array_equal(stored.test.images, upright.test.images)


class Threaded(Tiny):
    threads = 2


class InThisProcess:
    """A pool whose tasks are computed here, of a copy of what they get."""

    device, size, place = "cpu", 1, "here"

    def run(self, function, inputs, callbacks):
        for key, value in inputs:
            sent = pickle.loads(pickle.dumps(value))
            yield key, function(datasets.load("digits"), sent)


def test_no_worker_is_started_for_runs_that_are_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Tiny)
    monkeypatch.setattr(backends, "find_group", lambda _: None)
    monkeypatch.setattr(backends, "check", lambda _: None)
    train(TINY, "tiny", out=tmp_path / slug(TINY, "tiny"), progress=False)
    monkeypatch.setattr(runner, "worker_pool", lambda *_: pytest.fail("it starts Ray"))
    request = SweepRequest((TINY,), "tiny", device="cpu", out=tmp_path, workers=Workers(1))
    ((_, _, run),) = runner.train_runs([request], Callbacks())
    assert run.loaded


class Backwards(InThisProcess):
    def run(self, function, inputs, callbacks):
        yield from reversed([(key, {"measured": config}) for key, (_, config) in inputs])


def test_horizons_are_in_the_plans_order_whichever_ends_first():
    plan = make_plan("horizon", ("jax", "torch"), ("cpu",), dataset="digits")
    found = handed.horizons(plan, Backwards(), Callbacks())
    assert [(one["model"], one["measured"]) for one in found] == [
        (name["model"], config) for name, config in plan.horizons()]  # fmt: skip
    assert len(found) > 1


def test_a_run_that_workers_continue_with_other_threads_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Threaded)
    monkeypatch.setattr(backends, "find_group", lambda _: None)
    monkeypatch.setattr(backends, "check", lambda _: None)
    epochs, notices = [], []
    folder = RunFolder(tmp_path / slug(TINY, "tiny"))
    begun = Callbacks(on_epoch=epochs.append, should_stop=lambda: len(epochs) == 2)
    assert train(TINY, "tiny", out=folder.path, callbacks=begun).stopped

    def keep(event):
        notices.extend([event.text] if isinstance(event, Notice) else [])

    monkeypatch.setattr(Threaded, "threads", 1)
    monkeypatch.setattr(runner, "worker_pool", lambda *_: nullcontext(InThisProcess()))
    request = SweepRequest((TINY,), "tiny", device="cpu", out=tmp_path, workers=Workers(1))
    ((_, config, run),) = runner.train_runs([request], Callbacks(on_event=keep))
    assert (config, run.finished) == (TINY, True)
    (notice,) = notices
    assert notice.startswith(f"{folder.path}: epochs 1 to 2 were computed with 2 threads")
    assert folder.read_header().finished
