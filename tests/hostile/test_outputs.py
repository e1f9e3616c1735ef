"""No command writes over a file that it didn't write itself, and it says so before it works."""

import shutil

import numpy as np
import pytest
import torch
import typer.main
from PIL import Image

from cli.main import app
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.storage import MARK, check_output, write_sealed

MINE = b"the only copy of my thesis"
DIGITS = ("--dataset", "digits", "--epochs", "1", "--hidden", "4")
# command and option, the rest of its arguments, and the file in its output's place
OUTPUTS = {
    ("predict", "--save-crops"): (["RUN", "seven.png"], "seen.png", "seen.png"),
    ("report", "--out"): (["RUN"], "page.html", "page.html"),
    ("figures", "--out"): (["RUN", "--only", "l2"], "figures", "figures/l2.png"),
    ("sweep", "--out"): (["--l2", "0,1", *DIGITS], "swept", "swept/sweep.png"),
    ("sweep", "--figure"): (["--l2", "0,1", *DIGITS, "--out", "swept"], "my.png", "my.png"),
    ("export", "--out"): (["RUN", "--to", "torch"], "mine.pt", "mine.pt"),
    ("port", "--record"): (["port.py"], "mine.safetensors", "mine.safetensors"),
    ("parity", "--out"): (["--dataset", "digits"], "parity", "parity/parity-quick.json"),
    ("bench", "--out"): (["--rounds", "1"], "bench.json", "bench.json"),
    ("study", "--out"): (["--quick"], "study", "study/study.json"),
    ("train", "--out"): ([*DIGITS], "run", "run/metrics.csv"),
    ("import", "--out"): (
        ["w.pt", "--dataset", "digits", "--pixels", "0-1"],
        "run",
        "run/metrics.csv",
    ),
}
# where there is a default: the arguments, and the file in its place
DEFAULTS = {
    "report": (["RUN"], "report.html"),
    "figures": (["RUN", "--only", "l2"], "figures-out/l2.png"),
    "export": (["RUN", "--to", "onnx"], "run.onnx"),
    "study": (["--quick"], "runs-quick/study.md"),
}


@pytest.fixture
def mine(tmp_path, run_of_digits):
    """Write MINE in an output's place; returns a check that it stands alone there as it was."""
    digit = np.full((100, 100), 255, np.uint8)
    digit[20:80, 45:55] = 0
    Image.fromarray(digit).save(tmp_path / "seven.png")
    shutil.copytree(run_of_digits, tmp_path / "run-of-digits" / "run")
    torch.save({"w": torch.ones(10, 64), "b": torch.ones(10)}, tmp_path / "w.pt")
    (tmp_path / "port.py").write_text("raise ValueError('it must not come to this')")

    def write(name: str):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(MINE)

        def check(done) -> None:
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert done.stderr.count("\n") == 1, done.stderr
            assert name.rpartition("/")[0] in done.stderr
            assert "not to come" not in done.stderr
            assert path.read_bytes() == MINE
            rest = {file.name for file in path.parent.iterdir()} - {path.name}
            assert path.parent == tmp_path or not rest

        return check

    return write


def replaced(arguments, tmp_path) -> list[str]:
    run = str(tmp_path / "run-of-digits" / "run")
    return [run if word == "RUN" else word for word in arguments]


@pytest.mark.parametrize(("command", "option"), OUTPUTS)
def test_a_file_that_is_not_ours_stays(in_process, mine, tmp_path, command, option):
    arguments, output, file = OUTPUTS[command, option]
    check = mine(file)
    check(in_process(command, *replaced(arguments, tmp_path), option, output))


@pytest.mark.parametrize("command", DEFAULTS)
def test_a_file_that_is_not_ours_stays_in_the_default_place(in_process, mine, tmp_path, command):
    arguments, file = DEFAULTS[command]
    check = mine(file)
    check(in_process(command, *replaced(arguments, tmp_path)))


def test_every_option_for_an_output_is_tried():
    group = typer.main.get_command(app)
    options = {
        (name, parameter.opts[0])
        for name, command in group.commands.items()  # pyright: ignore
        for parameter in getattr(command, "params", ())
        if {"out", "record", "figure", "save_crops"} & {parameter.name}
    }
    assert options == set(OUTPUTS)


def test_photos_are_never_replaced_by_their_panels(in_process, mine, tmp_path):
    mine("other.txt")
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "seven.png"
    shutil.copy(tmp_path / "seven.png", photo)
    before = photo.read_bytes()
    run = str(tmp_path / "run-of-digits" / "run")
    for images, show in (
        ("photos", "photos"),
        ("photos/seven.png", "photos"),
        ("photos/seven.png", "photos/seven.png"),
        ("photos/seven.png", str(tmp_path / "photos")),
    ):
        for more in ((), ("--overwrite",)):
            done = in_process("predict", run, images, "--save-crops", show, *more)
            assert done.returncode == 2
            assert "would replace the image" in done.stderr
            assert photo.read_bytes() == before
    assert [file.name for file in photo.parent.iterdir()] == ["seven.png"]


def test_what_is_ours_is_replaced_and_the_rest_on_request(in_process, runs_28, mine, tmp_path):
    run = str(runs_28["linear"])
    mine("seen.png")
    assert in_process("predict", run, "seven.png", "--save-crops", "seen.png").returncode == 2
    for more in (("--overwrite",), ()):  # the second time it is ours
        done = in_process("predict", run, "seven.png", "--save-crops", "seen.png", *more)
        assert done.returncode == 0, done.stderr
    exports = [("export", run, "--to", kind) for kind in ("torch", "onnx", "tensorboard")]
    for arguments in (("report", run), *exports):
        for _ in range(2):
            done = in_process(*arguments)
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_is_ours(tmp_path, kind):
    from matplotlib.figure import Figure

    from figures.build import save

    path = save(Figure(), tmp_path / f"x.{kind}")
    assert MARK.encode() in path.read_bytes()
    check_output(path)


def test_a_sealed_document_is_ours_and_a_changed_one_is_not(tmp_path):
    path = tmp_path / "x.json"
    write_sealed(path, {"schema": 1})
    check_output(path)
    path.write_text(path.read_text().replace("1", "2"))
    with pytest.raises(InputError, match="mnist-fn did not write it"):
        check_output(path)


@pytest.mark.parametrize("out", [".", "seven.png/page.html", "/proc/nowhere/page.html"])
def test_a_report_that_cannot_be_written_is_refused_before_it_is_made(
    in_process, mine, monkeypatch, out
):
    mine("other.txt")
    monkeypatch.setattr(
        "figures.report.contents.read_contents", lambda _: pytest.fail("it has begun")
    )
    done = in_process("report", "run-of-digits", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
