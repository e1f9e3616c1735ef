"""What a script or a notebook calls: the commands' own work; how it speaks and how it stops."""

import ast
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

import mnist_fn
from cli.main import app
from mnist_fn import (
    Callbacks,
    Config,
    Dataset,
    InputError,
    Interrupted,
    load_run,
    resume,
    sweep,
    train,
)
from mnist_fn.shared.data.datasets import Split, load
from mnist_fn.shared.errors import Argument, Message, Resume, in_shell
from mnist_fn.shared.runs.loop import Diverged
from mnist_fn.shared.runs.trainer import evaluate_run
from mnist_fn.shared.study import running
from tests.support.synthetic import with_header

ROOT = Path(mnist_fn.__file__).parents[1]
BASE = Config(dataset="digits", hidden=(8,), epochs=2)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Four runs: two λ, two seeds."""
    out = tmp_path_factory.mktemp("runs")
    return sweep(BASE, l2=[0, 1e-3], seeds=2, out=out, device="cpu")


def test_the_help_of_callbacks_has_no_address(capsys):
    help(Callbacks)
    said = capsys.readouterr().out
    assert "on_epoch" in said
    assert " at 0x" not in said


def test_a_sweep_is_a_sequence_of_its_runs(found):
    assert [(run.config.l2, run.config.seed) for run in found] == [
        (0, 0),
        (0, 1),
        (1e-3, 0),
        (1e-3, 1),
    ]
    assert len(found) == len(found[:4]) == 4
    assert found.failures == []
    single = train(found[3].config, device="cpu", progress=False)
    assert found[3].rows == single.rows
    weights = load_run(found[3].path).weights["layer1"]["kernel"]
    assert np.array_equal(weights, single.weights["layer1"]["kernel"])
    best = max(found.conditions, key=lambda condition: condition.mean("test_accuracy"))
    assert found.best.config == best.config


def test_a_sweep_as_a_frame_and_as_a_notebook_shows_it(found):
    frame = found.to_frame()
    assert list(frame.columns) == [
        "model",
        "learning_rate",
        "l2",
        "seed",
        "test_accuracy",
        "test_loss",
    ]
    assert frame["test_loss"].tolist() == [run.final["test_loss"] for run in found]
    mean, sd = frame["test_loss"][:2].mean(), frame["test_loss"][:2].std()
    assert f"<td>{mean:.5f} ± {sd:.5f}</td>" in found._repr_html_()
    assert "best λ for 8" in found._repr_html_()


def test_a_sweep_prints_its_conditions_and_the_best(found):
    """`print(sweep)` showed neither."""
    head, first, second, best = str(found).splitlines()
    assert head.split() == [
        "model",
        "learning",
        "rate",
        "λ",
        "seeds",
        "test",
        "accuracy",
        "test",
        "loss",
    ]
    assert [row.split()[:4] for row in (first, second)] == [
        ["8", "0.0005", "0", "2"],
        ["8", "0.0005", "0.001", "2"],
    ]
    assert len({len(line) for line in (head, first, second)}) == 1
    chosen = found.best
    assert best.startswith(f"best: 8 at learning rate 0.0005, λ {chosen.config.l2:g}, test accura")
    assert f"{100 * chosen.condition.mean('test_accuracy'):.2f} %" in best
    configs = [BASE.replace(l2=i / 1000) for i in range(20)]
    many = replace(found, _compared=[with_header(found[0], config=config) for config in configs])
    assert "… and 8 more, in `conditions`" in repr(many)


def test_a_sweep_shows_no_run_that_is_cut_to_what_is_compared(found):
    """`for run in sweep.runs` gave histories of one epoch and no weights."""
    for value in (found, *found.conditions):
        public = [name for name in vars(value) if not name.startswith("_")]
        assert not {"runs", "results"} & set(public)
    assert [len(run.rows) for run in found] == [2] * 4
    assert [len(run.evaluation.predictions) for run in found._compared] == [0] * 4
    assert all(len(run.evaluation.predictions) for run in found)


def test_a_sweep_in_memory_keeps_its_weights():
    (run,) = sweep(BASE.replace(epochs=1), model="linear", device="cpu", progress=False)
    assert run.weights["layer1"]["kernel"].shape == (64, 10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"l2": -1.0}, "`l2=-1`: must be between"),
        ({"seeds": 0}, "`seeds=0`"),
        ({"model": "deep", "hidden": (4,)}, "`model` and `hidden`"),
        ({"hidden": [(4,), 5]}, "`hidden`: expected widths"),
        ({"max_memory": "8Q"}, "`max_memory='8Q'`"),
        ({"workers": 2}, "`out`: workers need a folder"),
        ({"threads": 2}, "`threads=2`: of each worker; give `workers` too"),
        ({"metric": "luck"}, "`metric='luck'`"),
    ],
)  # fmt: skip
def test_a_sweep_refuses_in_pythons_words(given, said):
    with pytest.raises(InputError, match=re.escape(said)):
        sweep(BASE, **given)


WILD = ("`learning_rate`", "--learning-rate")  # what to make smaller: in Python, in the shell


def test_a_run_that_diverged_says_what_to_do_in_the_words_of_the_place(in_process, tmp_path):
    rates = [1e-3, 1e6]
    both = sweep(BASE, learning_rate=rates, device="cpu", progress=False)
    done = in_process(
        *("sweep", "--dataset", "digits", "--hidden", "8", "--epochs", "1", "--json"),
        *("--learning-rate", ",".join(map(str, rates)), "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    told = both.to_dict()["diverged"], json.loads(done.stdout)["diverged"]
    for (line,), words in zip(told, WILD, strict=True):
        assert f"at learning rate 1e+06: try a smaller {words}" in line
    assert "`" not in told[1][0]


def test_so_does_a_study_and_its_file(in_process, tmp_path, monkeypatch):
    lost = Diverged(("diverged: try a smaller ", Argument("learning_rate")))
    monkeypatch.setattr(running, "train_runs", lambda requests, *_: [(requests[0], BASE, lost)])
    asked = {"dataset": "digits", "device": "cpu", "quick": True}
    for name in ("python", "shell"):  # a run makes its folder
        (tmp_path / name).mkdir()
    study = mnist_fn.study(**asked, out=tmp_path / "python", progress=False)
    assert study.document["diverged"] == [str(lost)]
    done = in_process("study", "--quick", "--dataset", "digits", "--json", "--out", "shell")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["diverged"] == [f"diverged: try a smaller {WILD[1]}"]
    assert (
        json.loads((tmp_path / "shell/study.json").read_text())["diverged"]
        == (json.loads(done.stdout)["diverged"])
    )


def test_a_quick_study(tmp_path):
    study = mnist_fn.study(
        quick=True, dataset="digits", only=["chosen"], out=tmp_path, device="cpu"
    )
    assert study.document["command"].startswith("mnist_fn.study(backend='jax'")
    assert study.document["is_full_study"] is False
    assert study.page == (tmp_path / "study.md").read_text()
    frame = study.to_frame()
    assert len(frame) == len(study.document["numbers"])
    assert set(frame["verdict"]) == {"not decided"}
    assert "NOT THE STUDY" in study._repr_html_()
    assert study.outside == []
    with pytest.raises(InputError, match="`quick=True` has one seed"):
        mnist_fn.study(quick=True, seeds=3)
    with pytest.raises(InputError, match="`only='l3'`: must be one of width-depth"):
        mnist_fn.study(only="l3")


def test_a_study_is_followed_and_stopped_by_callbacks(tmp_path, capfd):
    stop = Callbacks(should_stop=lambda: True)
    with pytest.raises(Interrupted, match=r"^stopped with 0 of "):
        mnist_fn.study(
            quick=True, dataset="digits", only="chosen", device="cpu", out=tmp_path, callbacks=stop
        )
    assert capfd.readouterr() == ("", "")


def test_one_line_in_a_log_and_none_if_not_wanted(capfd):
    run = train(BASE, device="cpu")
    (line,) = capfd.readouterr().err.splitlines()
    assert line == "8 on digits: 1,437 train, 360 test; 2 epochs on cpu"
    train(BASE, device="cpu", progress=False)
    train(BASE, device="cpu", callbacks=Callbacks())
    assert capfd.readouterr() == ("", "")
    assert len(run.rows) == 2


def test_only_public_names_are_listed():
    assert set(dir(mnist_fn)) == {*mnist_fn.__all__, "__version__", "figures"}
    for name in dir(mnist_fn):
        assert getattr(mnist_fn, name) is not None


# --- how it speaks ---


def messages():
    """Every text in the code with an argument in backticks or an option in it."""
    for path in sorted([*ROOT.glob("mnist_fn/**/*.py"), *ROOT.glob("torch_ref/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise | ast.Call):
                for part in ast.walk(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield path, part.value


# What Python can't reach: parity's options, the bench's, conversions; and what names a command.
COMMANDS_OWN = {
    *("levels.py", "statistics.py", "report.py", "quiet.py", "faults.py", "scaling.py"),
    "contenders.py",
    *("importing.py", "wording.py", "to_onnx.py", "to_tensorboard.py", "exchange.py"),
}


def test_no_message_that_python_can_reach_names_an_option():
    told = {
        f"{path.name}: {text}"
        for path, text in messages()
        if re.search(r"(^|[ (])--[a-z]", text) and path.name not in COMMANDS_OWN
    }
    assert told == set()


def options():
    """Every option of a command."""
    group = typer.main.get_command(app)
    return {
        word
        for one in group.commands.values()
        for p in one.params
        for word in p.opts + p.secondary_opts
    }


def named_arguments():
    """The name in every `Argument("name", …)`, and in every `InputError("name", value, …)`."""
    for path in sorted([*ROOT.glob("mnist_fn/**/*.py"), *ROOT.glob("torch_ref/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            whole = node.func.id == "Argument" or (
                node.func.id == "InputError" and len(node.args) > 1
            )
            if whole and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


def test_what_messages_name_is_an_option_of_a_command():
    named = set(named_arguments())
    assert {"out", "force", "data_dir", "learning_rate"} <= named
    for name in named - {"orientation"}:
        assert in_shell(Message(Argument(name))) in options(), name
    assert in_shell(Message(Argument("orientation", "as-stored"))) in options()


def test_no_message_names_an_argument_in_plain_text():
    """The command line could not name it as its option."""
    arguments = {word.strip("-").replace("-", "_") for word in options()} - {"to", "json"}
    plain = [
        f"{path.name}: {text}"
        for path, text in messages()
        for name in re.findall(r"`([a-z_0-9]+)[=`]", text)
        if name in arguments
    ]
    assert plain == []


A = Argument


@pytest.mark.parametrize(
    ("parts", "python", "shell"),
    [
        (
            ("choose another ", A("out"), ", or ", A("force", True), " to"),
            "choose another `out`, or `force=True` to",
            "choose another --out, or --force to",
        ),
        ((A("hidden", (8, 4)), ": too"), "`hidden=(8, 4)`: too", "--hidden 8,4: too"),
        ((A("dataset", "digits"),), '`dataset="digits"`', "--dataset digits"),
        ((A("dataset", "x", given=True),), "`dataset='x'`", "--dataset 'x'"),
        ((A("orientation", "as-stored"),), '`orientation="as-stored"`', "--as-stored"),
        ((Resume("runs/a b"),), "`resume('runs/a b')`", "mnist-fn train --resume runs/a b"),
    ],
)
def test_python_and_the_command_line_name_an_argument_each_in_its_terms(parts, python, shell):
    message = Message(*parts)
    assert (str(message), in_shell(message)) == (python, shell)
    error = pickle.loads(pickle.dumps(InputError(message, hint=("see ", A("seed")))))
    assert (str(error), in_shell(error)) == (f"{python}; see `seed`", f"{shell}; see --seed")


def test_an_error_is_a_value_error_with_its_parts():
    with pytest.raises(ValueError, match="`epochs=0`: must be between 1 and") as refused:
        Config(epochs=0)
    error = refused.value
    assert (error.what, error.value, error.allowed) == ("epochs", 0, "between 1 and 1,000,000")


def test_the_choice_that_was_meant_is_suggested_in_python_too():
    with pytest.raises(InputError, match=r"`backend='jaxx'`: must be one.*did you mean jax\?"):
        train(BASE, "jaxx")
    with pytest.raises(InputError, match="no 'lr'; did you mean `learning_rate`"):
        Config(lr=0.1)
    with pytest.raises(InputError, match="no 'epoch'; did you mean `epochs`"):
        BASE.replace(epoch=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data_dir": np.zeros((2, 8, 8))}, "`data_dir`: a folder or a `Dataset`, not ndarray"),
        ({"callbacks": print}, "`callbacks`: give one `Callbacks`"),
        ({"callbacks": [Callbacks()]}, "`callbacks`: give one `Callbacks`"),
    ],
)
def test_things_of_another_kind_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        train(BASE, **given)


# --- how it stops ---

LONG = """
import sys
from mnist_fn import Config, Interrupted, train
try:
    train(Config(dataset="digits", hidden=(8,), epochs=1_000_000), out={out!r}, device="cpu")
except Interrupted as reason:
    print(reason)
"""


@pytest.mark.parametrize("out", ["r", None])
def test_ctrl_c_ends_after_the_epoch_and_says_the_way_on(tmp_path, out):
    process = subprocess.Popen(
        [sys.executable, "-c", LONG.format(out=out)], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "epochs on cpu" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    done = int(re.match(r"stopped after epoch (\d+) of 1000000; ", said)[1])
    if out is None:
        assert "it was in memory only and is lost; give `out`" in said
        return
    assert "go on with: `resume('r')`" in said
    more = mnist_fn.resume(tmp_path / "r", epochs=done + 1, device="cpu", progress=False)
    assert [row["epoch"] for row in more.rows] == list(range(1, done + 2))


def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)


def test_a_handler_of_the_callers_own_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        train(
            BASE,
            device="cpu",
            callbacks=Callbacks(on_epoch=lambda _: os.kill(os.getpid(), signal.SIGINT)),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 2


def test_a_second_interrupt_ends_at_once():
    def press(_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(BASE, device="cpu", callbacks=Callbacks(on_epoch=press))
    with pytest.raises(Interrupted, match="after epoch 1 of 2; it was in memory"):
        train(
            BASE,
            device="cpu",
            callbacks=Callbacks(on_epoch=lambda _: os.kill(os.getpid(), signal.SIGINT)),
        )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_sweep_says_that_a_run_has_changed_since(tmp_path):
    swept = sweep(BASE, l2=[0, 1e-3], out=tmp_path, device="cpu", progress=False)
    path, frame = swept[0].path, swept.to_frame()
    mnist_fn.resume(path, epochs=3, device="cpu", progress=False)
    with pytest.raises(InputError, match=r"changed since this sweep.* again") as refused:
        swept[0]
    assert str(path) in str(refused.value)
    assert swept[1].config.l2 == 1e-3
    assert swept.to_frame().equals(frame)  # what was compared stays


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epoch": 3}, "no 'epoch'; did you mean `epochs`?"),
        ({"modle": "deep"}, "did you mean `model`?"),
        ({"zzz": 1}, "no 'zzz'; there are dataset, validation, "),
    ],
)
def test_a_config_says_which_field_was_meant(given, said):
    with pytest.raises(InputError) as refused:
        Config(**given)
    assert said in str(refused.value)


@pytest.fixture(scope="module")
def digits():
    """scikit-learn's digits as a caller's arrays, with names of their own."""
    whole = load("digits")
    names = [f"digit {label}" for label in range(10)]
    parts = (whole.train.images, whole.train.labels, whole.test.images, whole.test.labels)
    return Dataset.from_arrays(*parts, names)


def test_a_dataset_of_arrays_is_trained_resumed_and_evaluated(digits, tmp_path):
    config = Config(hidden=(8,), epochs=1)
    run = train(config, device="cpu", data_dir=digits, out=tmp_path / "run", progress=False)
    assert (run.config.dataset, run.data_spec.names) == ("arrays", digits.data_spec.names)
    run = resume(tmp_path / "run", epochs=2, device="cpu", data_dir=digits, progress=False)
    assert len(run.rows) == 2
    activations = digits.test.images.reshape(-1, 64) / 255.0
    first, last = (
        [np.asarray(run.weights[layer][part], np.float64) for part in ("kernel", "bias")]
        for layer in ("layer1", "layer2")
    )
    logits = np.maximum(activations @ first[0] + first[1], 0) @ last[0] + last[1]
    assert run.evaluation.predictions.tolist() == logits.argmax(axis=1).tolist()
    right = (logits.argmax(axis=1) == digits.test.labels).mean()
    assert run.final["test_accuracy"] == pytest.approx(right, abs=1e-12)
    _, again, _ = evaluate_run(tmp_path / "run", device="cpu", data_dir=digits)
    assert again.predictions.tolist() == run.evaluation.predictions.tolist()
    with pytest.raises(InputError, match="in memory only; give the same `Dataset` as `data_dir`"):
        resume(tmp_path / "run", epochs=3, device="cpu", progress=False)
    single = train(BASE, device="cpu", progress=False)
    assert run.rows == single.rows  # the set's own name says no more than the arrays


def test_a_dataset_of_arrays_is_swept(digits, tmp_path):
    runs = sweep(BASE, seeds=2, device="cpu", data_dir=digits, out=tmp_path, progress=False)
    assert [run.config.dataset for run in runs] == ["arrays"] * 2
    assert runs[0].rows == train(BASE, device="cpu", progress=False).rows


def test_a_test_set_in_memory_is_of_the_runs_form(digits, tmp_path):
    train(BASE, device="cpu", out=tmp_path / "run", progress=False)
    fewer = digits.test.labels < 9
    split = Split(digits.test.images[fewer], digits.test.labels[fewer])
    nine = Dataset.from_arrays(split.images, split.labels, split.images, split.labels)
    dark = replace(digits, data_spec=replace(digits.data_spec, polarity="dark"))
    for other, said in ((nine, "classes or pictures are not"), (dark, "pictures are dark on")):
        with pytest.raises(InputError, match=f"arrays: its {said}"):
            evaluate_run(tmp_path / "run", device="cpu", data_dir=other)
