"""Denormals are flushed by every thread that computes a run, and by no other."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mnist_fn import Config
from mnist_fn.shared import backend as backends
from torch_ref.computing import ComputingThread

# In a fresh process, whose pool of threads does not exist yet. Without a penalty a dead pixel's
# moments only decay: a denormal stays one where it is kept.
SCRIPT = """
import json, sys
from dataclasses import replace
import numpy as np, torch
from mnist_fn import Config
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import load
from mnist_fn.shared.runs.checkpoint import weights_digest
from mnist_fn.shared.streams import batch_order, initial_state

torch.set_num_threads(4)  # however many cores there are

def threads_that_keep():
    x = torch.full((4_000_000,), 1e-30)
    return ((x * 1e-10) != 0).reshape(4, -1).any(dim=1).sum().item()

before = threads_that_keep() if sys.argv[1] == "pool first" else None
config, data = Config(dataset="digits"), load("digits")
backend = backends.find("torch")(config, data, "cpu")
start = initial_state(config, data.pixels, data.classes)
tiny = {layer: {name: np.full_like(tensor, 1e-39) for name, tensor in tensors.items()}
        for layer, tensors in start.slots["mu"].items()}
state = backend.load(replace(start, slots={**start.slots, "mu": tiny}))
state, _ = backend.train_epoch(state, batch_order(0, 1, len(data.train)))
end = backend.dump(state)
within = backend.computing.run(threads_that_keep) if hasattr(backend, "computing") else None
print(json.dumps({
    "before": before, "within": within, "after": threads_that_keep(),
    "moments": [int(sum((np.abs(t) < 1e-37).sum() - (t == 0).sum() for t in tensors.values()))
                for tensors in end.slots["mu"].values()],
    "bytes": [weights_digest(tree) for tree in end.trees().values()],
}))
"""


@pytest.fixture(scope="module")
def runs():
    """What the script says if the caller's pool of threads stood first, and if it did not."""
    script = [sys.executable, "-c", SCRIPT]
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    begun = {
        order: subprocess.Popen([*script, order], stdout=subprocess.PIPE, env=environment)
        for order in ("pool first", "pool later")
    }
    return {order: json.loads(process.communicate()[0]) for order, process in begun.items()}


def test_every_thread_that_computes_flushes(runs):
    for said in runs.values():
        assert said["within"] == 0
        assert said["moments"] == [0, 0]


def test_the_callers_threads_keep_denormals_before_and_after(runs):
    assert runs["pool first"]["before"] == 4
    for said in runs.values():
        assert said["after"] == 4


def test_a_runs_bytes_do_not_depend_on_what_ran_before(runs):
    assert runs["pool first"]["bytes"] == runs["pool later"]["bytes"]


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("torch-ref")]


def test_the_thread_ends_with_its_backend(small):
    others = set(own_threads())
    backend = backends.find("torch")(Config(dataset="digits"), small, "cpu")
    (own,) = set(own_threads()) - others
    del backend
    gc.collect()
    own.join(60)
    assert not own.is_alive()


def test_an_error_in_the_thread_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        ComputingThread().run(lambda: 1 / 0)


def test_after_ctrl_c_no_further_batch_is_begun():
    computing, begun, seen = ComputingThread(), [], threading.Event()

    def work():
        for batch in computing.while_awaited(range(3)):
            begun.append(batch)
            if batch == 0 and not seen.is_set():
                time.sleep(0.2)  # a signal before the caller waits is seen only after its wait
                os.kill(os.getpid(), signal.SIGINT)
                seen.wait(60)

    with pytest.raises(KeyboardInterrupt):
        computing.run(work)
    seen.set()
    computing.run(lambda: None)  # comes after what was abandoned
    assert begun == [0]
    computing.run(work)  # and the next call is whole again
    assert begun == [0, 0, 1, 2]
