"""The command as a user meets it: real processes, exit codes, stdout and stderr apart."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAIN = (
    *["train", "--dataset", "digits", "--hidden", "8", "--epochs", "3", "--learning-rate", "0.01"],
)
KEYS = {"run", "backend", "dataset", "device", "precision", "epochs", "final", "best", "seconds"}


def test_train_json_is_the_contracts_document(command):
    done = command(*TRAIN, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == KEYS
    assert set(document["final"]) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}
    assert set(document["best"]) == {"test_loss", "test_accuracy"}
    assert set(document["best"]["test_loss"]) == {"value", "epoch"}
    assert 0.3 < document["final"]["test_accuracy"] <= 1
    assert document["run"] == "runs/digits-8-learning-rate=0.01-epochs=3-seed=0-jax"


def test_the_result_is_on_stdout_and_the_rest_on_stderr(command):
    done = command(*TRAIN)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    for said in ("final test", "at epoch", "most confused, true → read", "run: runs/digits-8"):
        assert said in done.stdout
        assert said not in done.stderr
    assert "3 epochs on" in done.stderr
    assert "epochs on" not in done.stdout


def test_a_finished_run_asked_for_again(command):
    first, again = command(*TRAIN, "--json"), command(*TRAIN, "--json")
    assert json.loads(again.stdout)["final"] == json.loads(first.stdout)["final"]
    assert "--force trains it again" in again.stderr
    run = json.loads(first.stdout)["run"]
    more = command("train", "--resume", run, "--epochs", "5", "--json")
    assert json.loads(more.stdout)["epochs"] == 5


def test_evaluate(command):
    run = json.loads(command(*TRAIN, "--json").stdout)
    done = command("evaluate", run["run"], "--json")
    result = json.loads(done.stdout)
    assert result["accuracy"] == run["final"]["test_accuracy"]
    assert sum(map(sum, result["confusion_matrix"])) == 360
    assert "→9" in command("evaluate", run["run"]).stdout


@pytest.mark.long
def test_a_reader_that_goes_and_an_encoding_that_lacks_a_letter(command):
    run = json.loads(command(*TRAIN, "--json").stdout)["run"]
    ascii_only = command("evaluate", run, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ascii_only.returncode == 0, ascii_only.stderr
    assert "\\u21929" in ascii_only.stdout
    read, write = os.pipe()
    os.close(read)
    gone = command("evaluate", run, stdout=write)
    os.close(write)
    assert (gone.returncode, gone.stderr) == (141, "")


NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--l2", "-1"], "--l2 -1: must be between 0 and"),
        (["train", "--l2", "nan"], "--l2 nan"),
        (["train", "--l2", "much"], "--l2 'much': must be a number"),
        (["train", "--epochs", "2.5"], "--epochs '2.5': must be a whole number"),
        (["train", "--epochs", "9" * 5000], "': must be a whole number of fewer digits"),
        (["train", "--l2"], "--l2: a value is missing"),
        (["train", "--json=x"], "--json: takes no value"),
        (["port", "x.py", "--budget", "-1"], "--budget '-1': must be at least 0"),
        (["train", "--no-such-option"], "no such option"),
        (["trian"], "no such command"),
        (["train", "--model", "huge"], "must be one of linear, shallow, deep"),
        (["train", "--model", "deep", "--hidden", "5"], "give one of them"),
        (["train", "--hidden", "5,x"], "--hidden '5,x': must be widths such as"),
        (["train", "--hidden", "0"], "--hidden 0"),
        (["train", "--epochs", "0"], "--epochs 0"),
        (["train", "--dataset", "cifar"], "must be one of mnist"),
        (["train", "--dataset", "digits", "--backend", "tpu"], "must be one of jax"),
        (["train", "--dataset", "digits", "--device", "tpu"], "must be one of auto, cpu, gpu"),
        (["train", "--dataset", "digits", "--device", "gpu"], "--device gpu: JAX finds none"),
        (["train", "--dataset", "digits", "--batch-size", "9999"], "--batch-size 9999"),
        (["train", "--dataset", "digits", "--validation", "1437"], "--validation 1437"),
        (["train", "--dataset", "idx"], "needs --data-dir"),
        (["train", "--data-dir", "nowhere"], "not found in nowhere; put train-images-idx3-ubyte"),
        (["train", "--resume", "nowhere"], "nowhere: no run here"),
        (["train", "--resume", "nowhere", "--l2", "1"], "the run says its own l2"),
        (["train", "--dataset", "digits", "--out", "/proc/x"], "/proc/x: can't be written"),
        (["evaluate", "nowhere"], "nowhere: no run here"),
        (["data", "verify", "--dataset", "cifar"], "must be one of mnist"),
        (["data", "verify", "--data-dir", "nowhere"], "not found in nowhere"),
        (["data", "path", "--dataset", "digits"], "digits has no files"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(in_process, tmp_path, arguments, said):
    done = in_process(*arguments, env={"MNIST_FN_DATA": "", **NO_NETWORK})
    assert done.returncode == 2, done.stderr
    assert said.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/*.json"))


def test_no_network_says_where_to_put_which_files(command):
    done = command("data", "fetch", env={"MNIST_FN_DATA": "", **NO_NETWORK})
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    for said in ("download failed", "train-images-idx3-ubyte", "cache", "--dataset digits"):
        assert said in line
    assert "Traceback" not in done.stderr


def test_auto_says_loudly_what_it_took(command):
    done = command("train", "--dataset", "auto", "--hidden", "8", "--epochs", "1", "--json",
                   env={"MNIST_FN_DATA": "", **NO_NETWORK})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"] == "digits"
    told = next(line for line in done.stderr.splitlines() if line.startswith("NOT MNIST"))
    assert "download failed (Failed to establish a new connection: [Errno 111]" in told
    assert told.endswith("or run with --dataset digits, which needs no files")  # whole, in a log


@pytest.mark.long
def test_the_demo_without_mnist_is_trained_well_and_its_report_begins_with_a_drawing(
    command, tmp_path
):
    """`make demo`'s own two commands, without a network."""
    recipe = (Path(__file__).parents[2] / "Makefile").read_text().partition("\ndemo:")[2]
    trained, advised = recipe.strip().splitlines()[1:3]
    arguments = shlex.split(trained.partition("mnist-fn ")[2])
    offline = {"MNIST_FN_DATA": "", **NO_NETWORK}
    done = command(*arguments, "--json", env=offline)
    assert done.returncode == 0, done.stderr
    assert "100 epochs in place of 10: an epoch of the digits is 8 batches." in done.stderr
    assert json.loads(done.stdout)["final"]["test_accuracy"] >= 0.97  # measured: 0.9722
    arguments = shlex.split(advised.rstrip('"').partition("mnist-fn ")[2])
    assert command(*arguments, env=offline).returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert page[page.index("<section") :].startswith('<section id="draw"')


@pytest.mark.mnist
def test_real_mnist_from_the_command(command, mnist_dir):
    done = command("train", "--data-dir", str(mnist_dir), "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["final"]["test_accuracy"] > 0.91  # measured: 0.9305
    verified = command("data", "verify", "--data-dir", str(mnist_dir))
    assert "60,000 train and 10,000 test" in verified.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_cleanly_and_the_run_resumes(command, tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "train", "--dataset", "digits", "--epochs", "100000",
         "--out", "r"],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ)  # fmt: skip
    while not (tmp_path / "r" / "run.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "mnist-fn train --resume r" in said
    done = command("train", "--resume", "r", "--epochs", "100000", "--backend", "nope")
    assert "must be one of jax" in done.stderr


def test_help_names_every_command(in_process):
    done = in_process("--help")
    assert done.returncode == 0
    for name in ("train", "evaluate", "data"):
        assert name in done.stdout
