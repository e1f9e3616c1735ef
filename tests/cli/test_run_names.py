"""A run that isn't there: the command names those that may have been meant."""

import json

import pytest


@pytest.fixture
def folder(tmp_path):
    for name in ("digits-shallow-l2-3e-05-seed0-jax", "digits-linear-seed0-jax"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({}))
    return tmp_path


BEFORE_AND_AFTER = [
    (("evaluate",), ()),
    (("export",), ("--to", "torch")),
    (("predict",), ("photo.png",)),
    (("train", "--resume"), ()),
]


@pytest.mark.parametrize(("before", "after"), BEFORE_AND_AFTER, ids=lambda words: " ".join(words))
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("runs/digits-shallow-l2-3e-5-seed0-jax",
         "did you mean runs/digits-shallow-l2-3e-05-seed0-jax?"),
        ("runs", "a folder of 2 runs, no run itself; give one of digits-linear-seed0-jax, digits-"),
        ("runs/x", "no run here; runs has digits-linear-seed0-jax, digits-shallow"),
        ("nowhere/x", "no run here (a run is a folder with run.json)"),
    ],
)  # fmt: skip
def test_each_command_names_the_runs_that_are_near(in_process, folder, given, said, before, after):
    done = in_process(*before, given, *after)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
