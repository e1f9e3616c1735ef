"""`mnist-fn report`: the page as text, and what can't be made of what is there."""

import base64
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figures.report import build, documents, drawings, view
from figures.report.contents import MAX_IN_FULL, read_contents
from figures.report.digits import EXAMPLES
from mnist_fn.shared import backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import datasets, files
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.evaluation import forward
from mnist_fn.shared.runs.folder import RunFolder
from mnist_fn.shared.runs.trainer import load_run, train
from mnist_fn.shared.storage import write_sealed
from mnist_fn.shared.study import experiments
from tests.support.report_documents import PARITY, write_all
from tests.support.synthetic import study_runs, with_header


def page_of(*folders, data_dir=None) -> str:
    return build.build(read_contents(list(folders)), "mnist-fn report", data_dir)


def digits_of(run, data_dir):
    header = RunFolder(run.path).read_header()
    digits, _ = view._test_digits(run, header, data_dir)
    assert digits is not None
    return digits


@pytest.fixture
def undrawn(monkeypatch):
    """Where the figures are not what is tested: drawing them is most of the time."""
    monkeypatch.setattr(drawings, "themed", lambda draw, label: label)


def test_a_studys_figures_are_of_its_backend_whoever_trained_the_best_run(runs_28, tmp_path):
    shutil.copytree(runs_28["linear"], tmp_path / "linear")
    run = with_header(load_run(tmp_path / "linear"), backend="torch")
    for dataset, backends, quick, said in (
        ("mnist", ["jax"], True, r"no finished jax run .* mnist-fn study --quick --only \S+$"),
        ("mnist", ["jax", "torch"], False,
         r"torch run .* mnist-fn study --only \S+ --backend torch$"),
        ("kmnist", ["jax"], False, r"mnist-fn study --dataset kmnist --only \S+$"),
    ):  # fmt: skip
        main = with_header(run, config=run.config.replace(dataset=dataset))
        drawn, missing = drawings.of_study([tmp_path], main, backends, quick)
        assert drawn == {}
        assert all(re.search(said, why) for why in missing), missing
        assert len(missing) > 1


@pytest.fixture(scope="module")
def half_done(runs_28, tmp_path_factory):
    """A folder of runs as a study leaves it when it is stopped: one finished, one not."""
    folder = tmp_path_factory.mktemp("half-done")
    for name, run in runs_28.items():
        shutil.copytree(run, folder / name)
    directory = RunFolder(folder / "deep")
    directory.write_header(replace(directory.read_header(), status="unfinished"))
    return folder


def test_the_command(command, runs_28, prepared_digits, tmp_path):
    runs = [str(run) for run in runs_28.values()]
    done = command("report", *runs, "--data-dir", str(prepared_digits), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    page = tmp_path / "report.html"
    assert document["bytes"] == page.stat().st_size
    assert document["runs"] == 2
    best = max(runs, key=lambda run: load_run(run).final["test_accuracy"])
    assert document["shown"] == best
    assert "open it in a browser" in done.stderr


def test_it_holds_everything_and_one_script_may_run(runs_28, prepared_digits):
    page = page_of(*runs_28.values(), data_dir=prepared_digits)
    addresses = re.findall(r'(?:src|srcset|href)="([^"]*)"', page)
    assert len(addresses) > 40
    assert all(one.startswith(("data:", "#")) for one in addresses)
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_a_page_of_the_shallow_model_is_small(prepared_digits, tmp_path):
    """The published model's size, and more mistakes than it makes: one epoch on few digits."""
    config = Config(dataset="idx", hidden=(512,), epochs=1)
    train(config, data_dir=prepared_digits, out=tmp_path / "run")
    assert len(page_of(tmp_path / "run", data_dir=prepared_digits)) < 3_000_000


def test_its_network_is_the_backends(runs_28, prepared_digits):
    dataset = datasets.load("idx", prepared_digits)
    for path in runs_28.values():
        run = load_run(path)
        computer = backend.find("jax")(run.config, dataset, "cpu")
        there = computer.logits(computer.load(run.state), dataset.test.images)
        here = forward(run.weights, scale_pixels(dataset.test.images, "float64"))
        # float32's sums of 784 products against float64's: about √784 eps of the largest
        assert np.abs(there - here).max() <= 28 * np.finfo(np.float32).eps * np.abs(there).max()


def test_a_weight_beyond_float16_leaves_out_the_drawing_alone(undrawn, runs_28, prepared_digits):
    shown = read_contents([runs_28["linear"]])
    shown.in_full[0].weights["layer1"]["bias"][0] = 1e5
    page = build.build(shown, "mnist-fn report", prepared_digits)
    assert "a weight is beyond float16" in page
    assert 'id="pad"' not in page
    assert 'data-cell="0,0"' in page


def test_each_cell_has_its_digits(runs_28, prepared_digits):
    run = load_run(runs_28["linear"])
    digits = digits_of(run, prepared_digits)
    cells = digits.in_cells(10)["cells"]
    labels = datasets.load("idx", prepared_digits).test.labels
    for true in range(10):
        for predicted in range(10):
            count = run.confusion_matrix[true, predicted]
            there = cells.get(f"{true},{predicted}", [])
            assert len(there) == (min(count, 20) if true == predicted else count)
            for _, index, _ in there:
                assert labels[index] == true
                assert run.evaluation.predictions[index] == predicted
    surest = [one["probability"] for one in digits.worst()]
    assert surest == sorted(surest, reverse=True)
    assert all(one["true"] != one["predicted"] for one in digits.worst())


def test_the_examples_to_try_are_from_all_over_the_test_set(runs_28, prepared_digits):
    """Not from the cells: these have the digits that it was least sure of."""
    digits = digits_of(load_run(runs_28["linear"]), prepared_digits)
    shown = digits.in_cells(10)
    test = datasets.load("idx", prepared_digits).test
    wanted = np.linspace(0, len(test) - 1, EXAMPLES).astype(int)
    assert [label for _, label in shown["examples"]] == test.labels[wanted].tolist()
    sprite = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["sprite"].split(",")[1]))))
    for (place, _), index in zip(shown["examples"], wanted, strict=True):
        row, column = divmod(place, shown["columns"])
        tile = sprite[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        assert np.array_equal(tile, test.images[index])


def test_without_the_dataset_it_says_so_and_shows_the_rest(undrawn, runs_28, monkeypatch):
    monkeypatch.delenv("MNIST_FN_DATA", raising=False)
    page = page_of(runs_28["linear"])
    assert "needs --data-dir with the four IDX files" in page
    assert "data-cell" not in page
    assert 'id="pad"' in page


def test_a_set_that_is_not_found_is_said_in_a_few_words(undrawn, prepared_digits, tmp_path):
    for file in files.FILES:
        (tmp_path / f"small-{file}").symlink_to(prepared_digits / file)
    config = Config(dataset="small", hidden=(), epochs=1)
    train(config, data_dir=tmp_path, out=tmp_path / "run")
    page = page_of(tmp_path / "run")
    assert "the pictures of small are not here." in page
    assert "--data-dir FOLDER</code>" in page
    assert "are not here" not in page_of(tmp_path / "run", data_dir=tmp_path)


def test_a_page_without_a_network_connection_begins_with_a_drawing(undrawn, tmp_path):
    """Of the digits that come with scikit-learn, whose pictures are 8 × 8."""
    train(Config(dataset="digits", hidden=(), epochs=1), out=tmp_path / "run")
    page = page_of(tmp_path / "run")
    first = page[page.index("<section") :]
    assert first.startswith('<section id="draw"')
    assert '<canvas id="seen" width="8" height="8"' in first
    assert page.count('alt="Template of') == 10
    assert "Draw large" not in page


def test_what_is_missing_stands_at_the_end(undrawn, tmp_path):
    """Of pictures that can't be drawn: the first section shows something."""
    shown = read_contents([train_digits(tmp_path, hidden=(16,))])
    run = shown.in_full[0]
    unknown = with_header(run, data_spec=replace(run.data_spec, polarity="unknown"))
    page = build.build(replace(shown, in_full=[unknown]), "mnist-fn report")
    sections = re.findall(r'<section id="([^"]*)"', page)
    assert sections == ["curves", "confusion", "mistakes", "classes", "training", "runs", "missing"]
    missing = page[page.index('<section id="missing"') :]
    assert "light on dark is not known" in missing
    assert "only a linear model has them" in missing
    assert "mnist-fn train --model linear --dataset digits</code> makes it" in missing
    assert "Not here" not in page


def train_digits(folder, **changes):
    train(Config(dataset="digits", epochs=1, **changes), out=folder / "run")
    return folder / "run"


def test_a_half_done_study_says_what_is_missing(undrawn, half_done, prepared_digits):
    page = page_of(half_done, data_dir=prepared_digits)
    assert "deep: not finished; go on with: mnist-fn train --resume" in page
    assert "784 → 10" in page
    for kind in ("study", "parity"):
        assert f"there is no {kind}.json in the folders given" in page
        assert f"<code>mnist-fn {kind}" in page


def test_documents_are_shown(undrawn, runs_28, prepared_digits, tmp_path):
    write_all(tmp_path, study_runs((0,), experiments.QUICK, only=["l2"]))
    page = page_of(runs_28["linear"], tmp_path, data_dir=prepared_digits)
    for said in (
        "QUICK RUN, NOT THE STUDY",
        "no finished jax run of",  # the figures that it has no runs for
        "Published numbers compared with ours",
        "0.04754",
        "published numbers have no runs yet.",
        "Ladder: shallow, adam, float64",
        '<td class="good">passed</td>',
        '<td class="bad">failed</td>',
        "step 20,100",
        "the frameworks diverge no earlier than the ulp control runs, within a factor 3: holds",
        '<td class="good">equivalent</td>',
        "JAX epoch over the products",
    ):
        assert said in page


def test_what_a_file_says_is_text(undrawn, runs_28, prepared_digits, tmp_path):
    """A run from somebody else can't put anything of its own on the page."""
    shutil.copytree(runs_28["linear"], tmp_path / "run")
    directory = RunFolder(tmp_path / "run")
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    header = directory.read_header()
    directory.write_header(replace(header, machine=evil, device=evil, backend=evil))
    write_all(tmp_path)
    document = {**PARITY["statistics"], "backends": [evil], "machine": evil}
    write_sealed(tmp_path / "parity-statistics.json", document)
    page = page_of(tmp_path, data_dir=prepared_digits)
    assert evil not in page
    assert "<img src=x" not in page
    assert page.count("<script") == 2
    assert "&lt;img src=x" in page


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: no finished run in it; make one with mnist-fn train"),
        (["HALF/deep"], r"not finished; go on with: `resume\("),
        (["RUN", "broken"], r"broken/study\.json: damaged \(not JSON.*; make it again"),
        (["RUN", "other"], "other/bench.json: not what mnist-fn bench writes \\(KeyError"),
        (
            ["RUN", "altered"],
            r"altered/study\.json: damaged \(its content does not match its digest",
        ),
        (["RUN", "list"], r"list/parity\.json: damaged \(expected a JSON object"),
    ],
)
def test_what_cannot_be_shown_is_one_line(tmp_path, runs_28, half_done, folders, said, monkeypatch):
    for name, (file, text) in {
        "empty": ("notes.txt", ""),
        "broken": ("study.json", "{"),
        "other": ("notes.txt", ""),
        "list": ("parity.json", "[]"),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    write_sealed(tmp_path / "other" / "bench.json", {})
    (tmp_path / "altered").mkdir()
    write_all(tmp_path / "altered")
    study = tmp_path / "altered" / "study.json"
    document = json.loads(study.read_text())
    document["rule"] = "every number is right"  # a changed verdict was shown as valid
    study.write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    names = {"RUN": runs_28["linear"], "HALF/deep": half_done / "deep"}
    with pytest.raises(InputError, match=said):
        page_of(*(names.get(one, Path(one)) for one in folders))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--out", "/proc/x.html"], "/proc/x.html: can't be written"),
        (["RUN", "--data-dir", "nowhere"], "not found in nowhere"),
        (["nowhere"], "nowhere: no such folder"),
        ([], "runs: no such folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(in_process, tmp_path, runs_28, arguments, said):
    done = in_process("report", *(str(runs_28["linear"]) if a == "RUN" else a for a in arguments),
                   env={"MNIST_FN_DATA": ""})  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (tmp_path / "report.html").exists()


def test_runs_on_another_dataset_do_not_compete(runs_28, prepared_digits, tmp_path, undrawn):
    """Their accuracy means another thing, and the drawing is of 28 × 28 pixels."""
    other, weak = tmp_path / "other", tmp_path / "weak"
    recipe = {"learning_rate": 5e-3, "batch_size": 50}
    better = train(Config(dataset="digits", hidden=(96,), epochs=20, **recipe), out=other)
    worse = train(Config(dataset="idx", hidden=(), epochs=1), data_dir=prepared_digits, out=weak)
    assert better.final["test_accuracy"] > worse.final["test_accuracy"]
    shown = read_contents([other, weak])
    assert [run.path for run in shown.in_full] == [weak, other]
    assert shown.linear["idx"].path == weak
    page = build.build(shown, "mnist-fn report", prepared_digits)
    assert "1 run on scikit-learn&#39;s digits: an accuracy means another thing there." in page
    assert "highest test accuracy" not in page  # it is the one run on its dataset
    several = read_contents([other, *runs_28.values(), weak])
    assert several.in_full[0].path in runs_28.values()
    page = build.build(several, "", prepared_digits)
    assert "highest test accuracy of 3 on idx; that is a choice made on the test set. 1 run" in page
    assert read_contents([other]).in_full[0].path == other


@pytest.mark.long
def test_of_many_runs_the_best_seed_of_each_recipe_can_be_chosen(tmp_path, undrawn):
    """A quick run hides no longer one, and of every dataset there is one."""
    for seed in range(4):
        for epochs in (1, 2):
            config = Config(dataset="digits", hidden=(), epochs=epochs, seed=seed)
            train(config, out=tmp_path / f"linear-{epochs}-{seed}")
    for hidden in ((4,), (5,), (6,), (7,)):
        config = Config(dataset="digits", hidden=hidden, epochs=1)
        train(config, out=tmp_path / f"shallow-{hidden[0]}")
    shown = read_contents([tmp_path])
    assert len(shown.runs) == 12
    assert len(shown.in_full) == MAX_IN_FULL
    linear = [run for run in shown.in_full if run.config.hidden == ()]
    assert sorted(run.config.epochs for run in linear) == [1, 2]
    for run in linear:
        alike = [one for one in shown.runs
                 if one.config == run.config.replace(seed=one.config.seed)]  # fmt: skip
        assert len(alike) == 4
        assert run.final["test_accuracy"] == max(one.final["test_accuracy"] for one in alike)
    page = build.build(shown, "mnist-fn report")
    assert page.count("<option") == MAX_IN_FULL
    assert "7 more runs in the table only; mnist-fn report RUN shows one in full." in page


@pytest.mark.long
def test_counts_have_their_spaces_and_their_plural(runs_28, prepared_digits, tmp_path):
    page = page_of(*runs_28.values(), train_digits(tmp_path), data_dir=prepared_digits)
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert re.search(r"after \d+ epochs? with jax", text)
    assert not re.search(r"\b1 (epochs|runs|digits)\b", text)
    assert not re.search(r"[a-z][.;:,]\d+ (runs?|epochs?)", text)
    assert re.search(r"of 1 epoch;", text)


def test_a_verdict_stands_beside_what_it_judges_without_asterisks(tmp_path):
    write_all(tmp_path)
    for kind in ("study", "parity", "bench"):
        files = {file: json.loads(file.read_text()) for file in tmp_path.glob(f"{kind}*.json")}
        for table in documents.tables(kind, files):
            marked = [i for row in table.rows for i, cell in enumerate(row) if cell.mark]
            assert set(marked) <= {1}, table.title
            words = [cell.text for row in table.rows for cell in row] + table.head
            assert not any("*" in word for word in [*words, *table.notes]), table.title
    assert documents.emphasized("*can't tell* & **so**, 2 * 3 * 4") == (
        "<em>can&#39;t tell</em> &amp; <em>so</em>, 2 * 3 * 4"
    )


def test_of_two_backends_each_has_a_verdict_in_sight():
    rows = [["loss", "0.1", "0.1", "5", "inside", "0.2", "5", "**outside** 0.3 to 0.4"]]
    head = ["what", "published", "jax", "n", "verdict", "torch", "n", "verdict"]
    table = documents._table("Numbers", head, rows, backends=["jax", "torch"])
    assert table.head[:4] == ["what", "jax: verdict", "torch: verdict", "published"]
    assert table.rows[0][1:3] == [("inside", "good"), ("outside 0.3 to 0.4", "bad")]


def test_the_ratios_of_an_epoch_are_shown(tmp_path):
    write_all(tmp_path)
    file = tmp_path / "bench.json"
    document = json.loads(file.read_text())
    (_, ratios) = documents.tables("bench", {file: document})
    row = next(row for row in ratios.rows if row[0].text == "JAX epoch over the products")
    rounds = document["rounds"]
    pairs = zip(rounds["jax/train"], rounds[document["floor"]], strict=True)
    median = np.median([epoch / products for epoch, products in pairs])
    assert row[1].text.startswith(f"{median:.2f} (")
    document.pop("cpu_rounds")  # of a file written before
    assert documents.tables("bench", {file: document})
