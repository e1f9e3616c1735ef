"""What a newcomer sees first: the help, grouped and narrow, and what becomes of a slip."""

import os
import pty
import re
import subprocess
import sys

import pytest

from cli.main import PANELS, app
from mnist_fn.shared.errors import InputError, in_shell

NARROW = {"COLUMNS": "80", "NO_COLOR": "1", "TERMINAL_WIDTH": "80"}
ESCAPE = "\x1b"


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["alone", "help"])
def test_the_help_is_grouped_and_fits_80_columns(in_process, arguments):
    done = in_process(*arguments, env=NARROW)
    assert done.returncode == (0 if arguments else 2)
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert ESCAPE not in done.stdout
    titles = re.findall(r"╭─ (\w+) ─", done.stdout)
    assert titles == ["Options", *PANELS]
    shown = re.findall(r"^│ ([a-z]+)  ", done.stdout, re.MULTILINE)
    commands = [one.name for one in app.registered_commands]
    assert shown == [*commands, "data"]
    assert sorted(commands) == sorted(name for panel in PANELS.values() for name in panel)


def every_command():
    return [(one.name,) for one in app.registered_commands] + [("data",), ("data", "fetch")]


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_each_commands_help_fits_too(in_process, arguments):
    done = in_process(*arguments, "--help", env=NARROW)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    # a flag takes no value, and arguments have the names that messages have
    assert "bool" not in done.stdout
    names = re.findall(r"^│ \*?\s+(\S+)\s+<", done.stdout, re.MULTILINE)
    assert [name for name in names if not name.startswith("--") and name != name.lower()] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian",), "no such command 'trian'; did you mean 'train'?"),
        (("data", "fetc"), "no such command 'fetc'; did you mean 'fetch'?"),
        (("train", "--epoch", "3"), "no such option: --epoch; did you mean --epochs?"),
        (("train", "--lr", "1e-3"), "no such option: --lr; did you mean --learning-rate?"),
        (("train", "--model", "shalow"),
         "--model 'shalow': must be one of linear, shallow, deep; did you mean shallow?"),
        (("train", "--optimizer", "adamW"),
         "--optimizer 'adamW': must be one of adam, adamw, sgd, rmsprop; did you mean adamw?"),
        (("train", "--backend", "jaxs", "--dataset", "digits"), "; did you mean jax?"),
        (("train", "--dataset", "mnits"), "; did you mean mnist?"),
        (("study", "--only", "widht-depth"), "; did you mean width-depth?"),
        (("train", "--validation", "0.1"),
         "must be a whole number; a count of examples, such as --validation 6000"),
        (("predict",), "missing argument 'run'; try --help"),
    ],
)  # fmt: skip
def test_a_slip_is_answered_with_what_was_meant(in_process, arguments, said):
    done = in_process(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith(said)


def test_nothing_is_guessed_where_nothing_is_near(in_process):
    far = InputError("model", "xyz", ("linear", "shallow", "deep"))
    assert in_shell(far) == "--model 'xyz': must be one of linear, shallow, deep"
    assert in_process("train", "--dropout", "1").stderr.endswith("--dropout; try --help\n")


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_has_colour_unless_it_is_not_wanted(colour, tmp_path):
    """Colours by the terminal's own names, never a ground: so light and dark are its own affair."""
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    env.pop("NO_COLOR", None)
    if not colour:
        env["NO_COLOR"] = "1"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "--help"], stdout=theirs, env=env
    ) as p:
        os.close(theirs)
        written = b""
        while part := read(ours):
            written += part
    os.close(ours)
    assert p.returncode == 0
    colours = {int(n) for code in re.findall(rb"\x1b\[([\d;]*)m", written)
               for n in code.split(b";") if n}  # fmt: skip
    if not colour:
        assert not {n for n in colours if n >= 30}
    else:
        assert {n for n in colours if 30 <= n < 38}
        assert not {n for n in colours if n in (30, 37, 38, 48) or 40 <= n < 48}


def read(there):
    try:
        return os.read(there, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


@pytest.mark.parametrize(
    ("given", "devices"),
    [("cuda", ("gpu", "gpu")), ("cuda,cpu", ("gpu", "cpu")), ("cpu", ("cpu", "cpu"))],
)
def test_cuda_is_the_gpu(in_process, monkeypatch, given, devices):
    plans = []

    def keep(plan, *_, **__):
        plans.append(plan)
        return {"passed": True}

    monkeypatch.setattr("cli.proving.prove", keep)
    in_process("parity", "--device", given, "--dataset", "digits")
    assert plans[0].devices == devices
