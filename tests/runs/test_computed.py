"""What computed a run is in its record, and a run that goes on otherwise says so."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from numpy._core import _multiarray_umath as umath

from mnist_fn import Callbacks, InputError, resume, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.runs.callbacks import Notice
from mnist_fn.shared.runs.environment import UNKNOWN_HARDWARE, Hardware, vectors
from mnist_fn.shared.runs.folder import HEADER_SCHEMA, RunFolder
from mnist_fn.shared.storage import read_sealed, write_sealed
from tests.support.tiny_backend import TINY, Tiny

SCRIPT = """
import json, os, sys
os.sched_setaffinity(0, {int(sys.argv[3])})
from mnist_fn import Config, train
from mnist_fn.shared.runs.folder import RunFolder
train(Config(dataset="digits", hidden=(), epochs=1), sys.argv[1], out=sys.argv[2], device="cpu")
print(json.dumps(RunFolder(__import__("pathlib").Path(sys.argv[2])).read_header().hardware.to_dict()))
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_record_says_the_cores_and_threads_that_were_there(backend, tmp_path):
    """One core of several: the processor's count would be another."""
    core = min(os.sched_getaffinity(0))
    without = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PJRT_NPROC")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend, str(tmp_path / "run"), str(core)], env=without,
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["cores"], found["threads"]) == (1, 1)
    assert found["vectors"] == vectors()


@pytest.mark.parametrize(
    ("has", "widest"),
    [
        (("SSE42", "AVX", "AVX2", "AVX512F"), "AVX512F"),
        (("SSE42", "AVX", "AVX2"), "AVX2"),
        (("ASIMD", "SVE"), "SVE"),
        (("NEON", "ASIMD"), "ASIMD"),
        ((), ""),
    ],
)
def test_the_widest_vectors_of_a_processor(monkeypatch, has, widest):
    features = {**dict.fromkeys(umath.__cpu_features__, False), **dict.fromkeys(has, True)}
    monkeypatch.setattr(umath, "__cpu_features__", features)
    assert vectors() == widest


class Threaded(Tiny):
    threads = 2


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "find", lambda _: Threaded)
    train(TINY, "tiny", out=tmp_path / "run")
    return tmp_path / "run"


def keep_notices(notices):
    """For `on_event`: the text of each Notice is kept."""
    return lambda event: notices.append(event.text) if isinstance(event, Notice) else None


@pytest.mark.parametrize(("threads", "said"), [(2, 0), (1, 1)])
def test_going_on_with_other_threads_is_said(run, monkeypatch, threads, said):
    monkeypatch.setattr(Threaded, "threads", threads)
    notices = []
    resume(run, epochs=6, callbacks=Callbacks(on_event=keep_notices(notices)))
    assert len(notices) == said
    assert all("epochs 1 to 4 were computed with 2 threads" in one for one in notices)
    assert RunFolder(run).read_header().hardware.threads == threads


def test_a_run_from_before_it_was_recorded_still_opens(run):
    document = read_sealed(run / "run.json", HEADER_SCHEMA)
    del document["hardware"]
    write_sealed(run / "run.json", document)
    assert RunFolder(run).read_header().hardware == UNKNOWN_HARDWARE
    notices = []
    resume(run, epochs=6, callbacks=Callbacks(on_event=keep_notices(notices)))
    assert notices == []


def test_a_run_written_under_the_keys_of_before_opens_as_it_is(run):
    """Of other keys, in the header, in its segments and in what the data are."""
    header = RunFolder(run).read_header()
    document = read_sealed(run / "run.json", HEADER_SCHEMA)
    segments = document.pop("segments")
    for segment in segments:
        segment["computed"] = segment.pop("hardware")
    form = document.pop("data_spec")
    for before, now in (("turned", "transposed_on_load"), ("ink", "polarity"),
                        ("largest", "max_pixel")):  # fmt: skip
        form[before] = form.pop(now)
    document |= {
        "schema": 1,
        "pixels": document.pop("input_dim"),
        "classes": document.pop("num_classes"),
        "computed": document.pop("hardware"),
        "legs": segments,
        "form": form,
    }
    write_sealed(run / "run.json", document)
    assert RunFolder(run).read_header() == header
    assert header.segments[0]["hardware"] == header.hardware.to_dict()
    resume(run, epochs=6)
    assert read_sealed(run / "run.json", HEADER_SCHEMA).keys() >= {
        "segments",
        "data_spec",
        "hardware",
    }


@pytest.mark.parametrize("harm", [{"threads": -1}, {"cores": "2"}, {"vectors": None}, {"more": 1}])
def test_a_damaged_record_is_refused(run, harm):
    document = read_sealed(run / "run.json", HEADER_SCHEMA)
    document["hardware"] |= harm
    write_sealed(run / "run.json", document)
    with pytest.raises(InputError, match="damaged"):
        RunFolder(run).read_header()


def test_it_is_said_in_words():
    assert str(Hardware(1, 1, "AVX2")) == "1 thread, AVX2"
    assert str(replace(UNKNOWN_HARDWARE, threads=2)) == "2 threads"
    assert str(UNKNOWN_HARDWARE) == "threads unknown"
