"""`mnist-fn predict`: on either backend, from any files; one line for what can't be read."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cli.commands.predict import _line
from mnist_fn.shared.data.spec import MNIST
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.pictures.reading import POSSIBLY_TWO, DigitReading, read_picture
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.trainer import load_run
from tests.support.no_digits import letter
from tests.support.photos import penned


@pytest.fixture(scope="module")
def photos(digits, tmp_path_factory):
    """Twelve test digits, enlarged, dark on light; the label is the file's last letter."""
    folder = tmp_path_factory.mktemp("photos")
    some = digits.test.first(12)
    for index, (image, label) in enumerate(zip(some.images, some.labels, strict=True)):
        large = Image.fromarray(255 - image).resize((200, 200), Image.Resampling.BICUBIC)
        framed = Image.new("L", (300, 260), 255)
        framed.paste(large, (30, 20))
        framed.save(folder / f"{index:02}-{label}.png")
    return folder


def test_a_folder_without_the_dataset(command, photos, runs_28):
    done = command("predict", str(runs_28["deep"]), str(photos), "--json",
                   env={"MNIST_FN_DATA": "", "http_proxy": "http://127.0.0.1:9"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    shares = np.array([one["probabilities"] for one in answer["predictions"]])
    pictures = np.concatenate([read_picture(p).pictures for p in sorted(photos.iterdir())])
    expected = load_run(runs_28["deep"]).predict_proba(pictures)
    assert shares.shape == (12, 10)
    assert np.abs(shares - expected).max() < 1e-12
    right = [
        one["class_index"] == int(one["image"].removesuffix(".png")[-1])
        for one in answer["predictions"]
    ]
    assert np.mean(right) >= 0.75  # a small model trained on 1,437 digits
    assert len(done.stderr.splitlines()) == 12  # a line for each of so many


def test_one_image_gets_a_bar_for_each_digit(command, photos, runs_28, tmp_path):
    image = sorted(photos.iterdir())[0]
    done = command("predict", str(runs_28["linear"]), str(image), "--save-crops", "seen.png")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 11
    assert "━" in done.stdout
    seen = np.asarray(Image.open(tmp_path / "seen.png"))
    assert np.array_equal(seen[::8, ::8], read_picture(image).pictures[0])


def test_what_cannot_be_read_gets_a_line_and_the_rest_go_on(command, photos, runs_28, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    good = [str(path) for path in sorted(photos.iterdir())[:2]]
    done = command("predict", str(runs_28["linear"]), good[0], "bad.png", good[1], "nowhere.png",
                   "--json", "--save-crops", "seen")  # fmt: skip
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert [one["image"] for one in document["predictions"]] == good
    assert [one["image"] for one in document["failed"]] == ["bad.png", "nowhere.png"]
    said = [line for line in done.stderr.splitlines() if line.startswith("mnist-fn:")]
    assert len(said) == 2
    assert len(list((tmp_path / "seen").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "PHOTO"], "nowhere: no run here"),
        (["RUN", "PHOTO", "--ink", "blue"], "must be one of auto, light, dark"),
        (["RUN", "empty"], "no images in this folder"),
        (["RUN", "PHOTOS", "--save-crops", "one.png"], "one file for 12 images; give a folder"),
        (["RUN"], "missing argument"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(in_process, photos, runs_28, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    names = {"RUN": runs_28["linear"], "PHOTO": photos / "00-0.png", "PHOTOS": photos}
    done = in_process("predict", *(str(names.get(one, one)) for one in arguments))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.lower() or said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_run_on_images_of_another_size_says_so(runs_28):
    with pytest.raises(InputError, match="this run was trained on 784 pixels an image"):
        load_run(runs_28["linear"]).predict(np.zeros((1, 8, 8), np.uint8))


@pytest.mark.parametrize("place", ["/proc/x/y.png", "/proc/x"])
def test_a_picture_that_cannot_be_written_costs_no_prediction(in_process, photos, runs_28, place):
    done = in_process(
        "predict", str(runs_28["linear"]), str(photos / "00-0.png"), "--save-crops", place
    )
    assert done.returncode == 2
    assert "00-0.png: 0 (" in done.stdout
    assert f"{place.removesuffix('/y.png')}: can't be made" in done.stderr
    assert done.stderr.count("\n") == 1


def test_names_that_clash_and_formats_that_are_not_read(in_process, photos, runs_28, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("two.TIFF", "two.pgm", "one.png"):
        Image.open(photos / "02-0.png").save(folder / name)
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "notes.txt").write_text("no picture")
    done = in_process("predict", str(runs_28["linear"]), str(folder), "--save-crops", "seen")
    assert done.returncode == 2
    assert len([line for line in done.stdout.splitlines() if "(" in line]) == 3
    assert "IMG_1.HEIC: not an image that is read here" in done.stderr
    assert "notes.txt" not in done.stderr
    names = sorted(file.name for file in (tmp_path / "seen").iterdir())
    assert names == ["one.png", "two.TIFF.png", "two.pgm.png"]


def test_what_the_model_refuses_is_not_the_pictures_fault(in_process, photos, runs_28, monkeypatch):
    def refuse(*_):
        raise InputError("no weights")

    monkeypatch.setattr("mnist_fn.shared.runs.prediction.predict_probabilities", refuse)
    done = in_process("predict", str(runs_28["linear"]), str(photos), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("no weights") == 1  # once, not for each of 12 pictures


def test_it_needs_no_metrics(in_process, photos, runs_28, tmp_path):
    for name in ("run.json", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes((runs_28["linear"] / name).read_bytes())
    done = in_process("predict", str(tmp_path), str(photos / "00-0.png"))
    assert done.returncode == 0, done.stderr


def test_several_digits_are_read_from_left_to_right(in_process, photos, runs_28, tmp_path):
    both = np.hstack([np.asarray(Image.open(photos / name)) for name in ("01-5.png", "00-0.png")])
    Image.fromarray(both).save(tmp_path / "both.png")
    more = ("--save-crops", "seen.png", "--json")
    done = in_process("predict", str(runs_28["deep"]), "both.png", *more)
    assert done.returncode == 0
    assert "both.png: 2 digits, read from left to right" in done.stderr
    document = json.loads(done.stdout)
    assert [one["index"] for one in document["predictions"]] == [1, 2]
    alone = [str(photos / name) for name in ("01-5.png", "00-0.png")]
    singly = json.loads(in_process("predict", str(runs_28["deep"]), *alone, "--json").stdout)
    digits = [[one["class_index"] for one in which["predictions"]] for which in (document, singly)]
    assert digits[0] == digits[1]
    seen = np.asarray(Image.open(tmp_path / "seen.png"))
    assert seen.shape == (28 * 8, 2 * 28 * 8 + 4)
    done = in_process("predict", str(runs_28["deep"]), "both.png", "--single-digit", "--json")
    assert len(json.loads(done.stdout)["predictions"]) == 1


@pytest.mark.parametrize(("wide", "unsure"), [(True, True), (False, True), (True, False)])
def test_what_is_unsure_and_wide_may_be_two_that_touch(wide, unsure):
    highest = 0.5 if unsure else 0.99
    shares = np.array([highest, 1 - highest])
    one = DigitReading("x", 1, 1, ("0", "1"), shares, doubtful=False, is_wide=wide)
    assert one.low_confidence == unsure
    assert one.document()["possibly_two"] == (wide and unsure)
    said = _line(one).plain
    assert said.endswith(POSSIBLY_TWO) == (wide and unsure)


def test_ink_can_be_said_where_the_picture_does_not_tell(in_process, runs_28, tmp_path):
    """A dark ring and its light inside: both are strokes, and either may be the ink."""
    y, x = np.mgrid[:200, :200]
    grey = np.where(abs(np.hypot(y - 100, (x - 100) * 1.4) - 70) < 12, 40, 215).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "ring.png")
    Image.fromarray(255 - grey).save(tmp_path / "inverse.png")
    seen = {}
    for file, ink in (("ring.png", "dark"), ("ring.png", "light"), ("inverse.png", "light")):
        more = ("--ink", ink, "--save-crops", f"{ink}-{file}", "--single-digit")
        done = in_process("predict", str(runs_28["linear"]), file, *more)
        assert done.returncode == 0, done.stderr
        seen[ink, file] = np.asarray(Image.open(tmp_path / f"{ink}-{file}"))
    assert np.array_equal(seen["dark", "ring.png"], seen["light", "inverse.png"])
    assert not np.array_equal(seen["dark", "ring.png"], seen["light", "ring.png"])


def test_an_image_without_any_is_told_in_the_runs_own_word(in_process, runs_28, tmp_path):
    run = tmp_path / "letters"
    shutil.copytree(runs_28["linear"], run)
    header = RunFolder(run).read_header()
    RunFolder(run).write_header(
        replace(header, data_spec=replace(MNIST, names=tuple("ABCDEFGHIJ")))
    )
    sheet = np.full((300, 300), 220, np.uint8)
    sheet[100:120] = 60  # a pencil
    Image.fromarray(sheet).save(tmp_path / "pencil.png")
    done = in_process("predict", str(run), "pencil.png")
    assert done.returncode == 2
    assert "nothing like a letter in it; give an image of one letter or a few" in done.stderr
    assert "digit" not in done.stderr


def test_what_is_seen_is_shown_as_png_alone(in_process, photos, runs_28, tmp_path):
    done = in_process("predict", str(runs_28["deep"]), str(photos), "--save-crops", "one.jpg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--save-crops one.jpg: must end with .png, or be a folder" in done.stderr
    assert not (tmp_path / "one.jpg").exists()


def test_an_image_given_first_is_told_from_a_run(in_process, photos, runs_28):
    image, run = str(photos / "00-0.png"), str(runs_28["deep"])
    done = in_process("predict", image, run)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"mnist-fn predict {run} {image}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_left_out_and_as_large_makes_a_reading_unsure(in_process, runs_28, tmp_path):
    """A ring cut off at the side, as tall as the digit: the note and the doubt in one document."""
    sheet = np.full((200, 260), 255, np.uint8)
    seven = penned(np.random.default_rng(0), 7, 120, 0.1)
    sheet[40:160, 40 : 40 + seven.shape[1]] -= (255 * seven).astype(np.uint8)
    y, x = np.mgrid[:200, :260]
    sheet[np.abs(np.hypot(y - 100, x - 250) - 40) < 15] = 0
    Image.fromarray(sheet).save(tmp_path / "blot.png")
    document = json.loads(in_process("predict", str(runs_28["deep"]), "blot.png", "--json").stdout)
    (reading,) = document["predictions"]
    assert reading["low_confidence"]
    assert document["notes"] == [
        {"image": "blot.png", "note": "ink at the picture's edge was left out"}
    ]
    done = in_process("predict", str(runs_28["deep"]), "blot.png")
    assert "unsure: " in done.stdout


def test_further_pages_are_noted(in_process, photos, runs_28, tmp_path):
    first, second = (Image.open(photos / name) for name in ("00-0.png", "01-5.png"))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second, second])
    done = in_process("predict", str(runs_28["deep"]), "pages.tif")
    assert done.returncode == 0
    assert "pages.tif: only the first of its 3 pages or frames was read" in done.stderr


def test_a_page_of_letters_is_a_text(in_process, runs_28, tmp_path):
    rng = np.random.default_rng(0)
    page = np.full((1000, 1000), 255, np.uint8)
    for row in range(6):
        for column in range(6):
            small = np.asarray(Image.fromarray(letter(rng)).resize((160, 160)))
            page[row * 165 : row * 165 + 160, column * 165 : column * 165 + 160] = small
    Image.fromarray(page).save(tmp_path / "letters.png")
    done = in_process("predict", str(runs_28["linear"]), "letters.png")
    assert done.returncode == 2
    assert "letters.png: a text, a pattern or noise: few of its marks are digits" in done.stderr


@pytest.mark.parametrize("crops", [".", "photos"])
def test_crops_never_replace_the_images(in_process, photos, runs_28, tmp_path, crops):
    folder = tmp_path / crops
    folder.mkdir(exist_ok=True)
    image = folder / "seven.png"
    image.write_bytes((photos / "00-0.png").read_bytes())
    before = image.read_bytes()
    done = in_process("predict", str(runs_28["deep"]), str(folder), "--save-crops", crops)
    assert done.returncode == 2
    assert "would replace the image" in done.stderr
    assert image.read_bytes() == before
