"""Names of classes, files and folders are text: no formula, no markup, no escape sequence."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from figures import confusion, style
from mnist_fn.shared.pictures.reading import read_picture
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.trainer import load_run

NAMES = ("$x^2$", "$\\frac{$", "[bold]b[/bold]", "[/]", "<b>t</b>", "{{ 7 * 7 }}", "a$b$c", "&amp;",
         "`x`", "#")  # fmt: skip


@pytest.fixture(scope="module")
def named(runs_28, tmp_path_factory):
    """A run whose classes have such names, in a folder of such a name."""
    run = tmp_path_factory.mktemp("names") / "$a$[red]\x1b[31m"
    shutil.copytree(runs_28["linear"], run)
    directory = RunFolder(run)
    header = directory.read_header()
    directory.write_header(replace(header, data_spec=replace(header.data_spec, names=NAMES)))
    return run


def test_class_names_are_text_and_nothing_else(named, in_process, tmp_path):
    done = in_process("evaluate", str(named), env={"MNIST_FN_DATA": ""})
    assert done.returncode == 2  # its data are not there: told in one line
    assert "\x1b" not in done.stderr
    done = in_process("report", str(named), "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    page = (tmp_path / "page.html").read_text()
    for name, escaped in {"<b>t</b>": "&lt;b&gt;t&lt;/b&gt;", "{{ 7 * 7 }}": "{{ 7 * 7 }}",
                          "&amp;": "&amp;amp;", "$x^2$": "$x^2$"}.items():  # fmt: skip
        assert escaped in page, name
    assert "<b>t</b>" not in page
    done = in_process("runs", str(named.parent))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[red]" in done.stdout


def test_a_prediction_says_the_name_as_it_is(named, in_process, tmp_path):
    digit = np.full((100, 100), 255, np.uint8)
    digit[20:80, 45:55] = 0
    path = tmp_path / "[red]\x1b[31m.png"
    Image.fromarray(digit).save(path)
    (label,) = load_run(named).predict(read_picture(path).pictures)
    done = in_process("predict", str(named), path.name)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert NAMES[label] in done.stdout
    assert "[red]" in done.stdout


def test_figures_draw_them_as_they_are(named):
    run = load_run(named)
    with style.themed():
        figure = confusion.plot([run]).figure
        figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() in NAMES]
    assert {text.get_text() for text in texts} >= set(NAMES)
    assert not any(text.get_parse_math() for text in texts)


def test_a_folder_whose_name_is_no_text_is_reported(runs_28, in_process, tmp_path):
    run = tmp_path / os.fsdecode(b"r\xff\xc3\xa9")
    shutil.copytree(runs_28["linear"], run)
    done = in_process("report", str(run), "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000
