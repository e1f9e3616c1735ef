"""`mnist-fn predict`: on either backend, from any files; one line for what can't be read."""

import json

import numpy as np
import pytest
from PIL import Image

from mnist_fn.shared.data.picture import read_picture
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import log_probabilities
from mnist_fn.shared.runs.trainer import predict


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


def test_a_folder_on_both_backends_without_the_dataset(command, photos, runs_28):
    done = command("predict", str(runs_28["deep"]), str(photos), "--backend", "torch", "--json",
                   env={"MNIST_FN_DATA": "", "http_proxy": "http://127.0.0.1:9"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["backend"] == "torch"
    torch_shares = np.array([one["probabilities"] for one in answer["predictions"]])
    name, logits = predict(
        runs_28["deep"], np.array([read_picture(p) for p in sorted(photos.iterdir())])
    )
    assert name == "jax"
    assert torch_shares.shape == (12, 10)
    # float32's sums in another order
    assert np.abs(torch_shares - np.exp(log_probabilities(logits))).max() < 1e-5
    right = [
        one["digit"] == int(one["image"].removesuffix(".png")[-1]) for one in answer["predictions"]
    ]
    assert np.mean(right) >= 0.75  # a small model trained on 1,437 digits
    assert len(done.stderr.splitlines()) == 12  # a line for each of so many


def test_one_image_gets_a_bar_for_each_digit(command, photos, runs_28, tmp_path):
    image = sorted(photos.iterdir())[0]
    done = command("predict", str(runs_28["linear"]), str(image), "--show", "seen.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 11
    assert "━" in done.stderr
    seen = np.asarray(Image.open(tmp_path / "seen.png"))
    assert np.array_equal(seen, read_picture(image))


def test_what_cannot_be_read_gets_a_line_and_the_rest_go_on(command, photos, runs_28, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    good = [str(path) for path in sorted(photos.iterdir())[:2]]
    done = command("predict", str(runs_28["linear"]), good[0], "bad.png", good[1], "nowhere.png",
                   "--json", "--show", "seen")  # fmt: skip
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
        (["RUN", "empty"], "no images in this folder"),
        (["RUN", "PHOTO", "--backend", "tpu"], "no such backend"),
        (["RUN", "PHOTO", "--device", "tpu"], "must be one of auto, cpu, gpu"),
        (["RUN", "PHOTOS", "--show", "one.png"], "one file for 12 images; give a folder"),
        (["RUN", "PHOTO", "--show", "/proc/x/y.png"], "/proc/x/y.png: can't be written"),
        (["RUN", "PHOTO", "--show", "/proc/x"], "/proc/x: can't be made"),
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
    with pytest.raises(InputError, match="trained on images of 784 pixels, these have 64"):
        predict(runs_28["linear"], np.zeros((1, 8, 8), np.uint8))
