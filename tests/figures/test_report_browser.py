"""The page in a real browser: no error, no request, what a click and a stroke do."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cli.commands.predict import _line
from figures.report import build, network
from figures.report.contents import read_contents
from mnist_fn.shared import backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.data import datasets, files
from mnist_fn.shared.data.spec import MNIST, DataSpec
from mnist_fn.shared.pictures.preparation import prepare
from mnist_fn.shared.pictures.reading import CONFIDENT, UNSURE, DigitReading
from mnist_fn.shared.runs.trainer import load_run, train
from mnist_fn.shared.state import StateTree
from tests.support.browser import AXE, CONTRAST, Visit, chromium
from tests.support.idx_files import idx_bytes
from tests.support.report_documents import write_all
from tests.support.synthetic import with_header

pytestmark = pytest.mark.long  # each starts a browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def report(runs_28, prepared_digits, tmp_path_factory):
    """The page of two runs with all documents beside them."""
    folder = tmp_path_factory.mktemp("report")
    for name, run in runs_28.items():
        shutil.copytree(run, folder / name)
    write_all(folder)
    page = folder / "report.html"
    page.write_text(build.build(read_contents([folder]), "mnist-fn report", prepared_digits))
    return page


@pytest.fixture
def visit(browser, report):
    """Open the page; nothing may have gone wrong on it by the end."""
    opened = []

    def open_page(**more):
        opened.append(Visit(browser, report, **more))
        return opened[-1]

    yield open_page
    for one in opened:
        assert one.errors == []
        assert one.outside() == []
        one.context.close()


@pytest.fixture
def visit_named(browser, runs_28, prepared_digits, tmp_path):
    """Open the page of a run whose classes have other names."""
    opened = []

    def open_page(names):
        shown = read_contents([runs_28["linear"]])
        renamed = with_header(shown.in_full[0], data_spec=DataSpec(names=names))
        shown = replace(shown, in_full=[renamed], linear={renamed.config.dataset: renamed})
        page = tmp_path / "report.html"
        page.write_text(build.build(shown, "mnist-fn report", prepared_digits))
        opened.append(Visit(browser, page))
        opened[-1].page.locator("#said", has_text="A test").wait_for()
        return opened[-1]

    yield open_page
    for one in opened:
        assert one.errors == []
        one.context.close()


@pytest.mark.parametrize(
    "how",
    [{}, {"transposed": True}, {"polarity": "dark"}, {"max_pixel": 1},
     {"transposed": True, "polarity": "dark", "max_pixel": 1}],
)  # fmt: skip
def test_a_drawing_is_made_to_stand_as_predict_does(visit, digits, how):
    form, picture = DataSpec(**how), prepare(digits.test.images[0])
    page_form = {"transposed": form.transposed, "dark": form.polarity == "dark",
                 "two": form.max_pixel == 1}  # fmt: skip
    posed = visit().page.evaluate(
        "([p, form]) => Array.from(pose(Uint8Array.from(p), form))",
        [picture.ravel().tolist(), page_form],
    )
    assert posed == form.pose(picture).ravel().tolist()


def test_each_section_is_there_and_nothing_is_asked_for(visit):
    page = visit().page
    for name, title in (*build.RUN_SECTIONS, *build.SHARED_SECTIONS):
        assert page.locator(f"#{name} > h2").inner_text() == title
        assert len(page.locator(f"#{name}").inner_text()) > len(title) + 20
    broken = "[...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
    assert page.evaluate("document.images.length") > 30
    assert page.evaluate(broken) == 0
    assert page.evaluate("document.querySelectorAll('[id]').length") == page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"
    )


def test_the_policy_lets_nothing_out(browser, report):
    one = Visit(browser, report)
    said = one.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'out', () => 'kept in')")
    assert said == "kept in"
    assert any("Content Security Policy" in error for error in one.errors)
    one.context.close()


def test_a_click_or_a_key_on_a_cell_shows_its_digits(visit):
    page = visit().page
    button = page.locator(".matrix .wrong button").first
    count = int(button.inner_text())
    button.click()
    assert page.locator("#cell .digits li").count() == count
    true, predicted = button.get_attribute("data-cell").split(",")
    assert page.locator("#cell h3").inner_text().startswith(f"{true}, read as {predicted}")
    assert button.get_attribute("aria-pressed") == "true"
    diagonal = page.locator('#confusion [data-cell="0,0"]')
    diagonal.focus()
    page.keyboard.press("Enter")
    assert page.locator("#cell h3").inner_text().startswith("0, read right")
    assert 0 < page.locator("#cell .digits li").count() <= 20


def test_the_digits_of_a_cell_are_those_of_the_test_set(visit, prepared_digits):
    """The sprite, cut where the page cuts it, against the dataset."""
    page = visit().page
    pixels = page.evaluate("""async () => {
      const { sprite, cells, columns, side } = shown.views[0].digits;
      const image = new Image();
      image.src = sprite;
      await image.decode();
      const paper = new OffscreenCanvas(image.width, image.height)
        .getContext('2d', { willReadFrequently: true });
      paper.drawImage(image, 0, 0);
      return Object.entries(cells).flatMap(([cell, found]) => found.map(([at, index]) => {
        const [x, y] = [(at % columns) * side, Math.floor(at / columns) * side];
        const data = paper.getImageData(x, y, side, side).data;
        return { cell, index, red: [...data].filter((_, i) => i % 4 === 0) };
      }));
    }""")
    test = datasets.load("idx", prepared_digits).test
    assert len(pixels) > 100
    for one in pixels:
        assert one["cell"].split(",")[0] == str(test.labels[one["index"]])
        assert one["red"] == test.images[one["index"]].ravel().tolist()


def test_a_stroke_changes_the_prediction_and_clear_takes_it_back(visit):
    opened = visit()
    page = opened.page
    page.click("#clear")
    assert set(opened.shares()) == {"–"}
    opened.draw((0.5, 0.15), (0.5, 0.85))
    first = opened.shares()
    assert page.locator("#said").inner_text().startswith("It reads ")
    opened.draw((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2))
    second = opened.shares()
    assert first != second
    for shares in (first, second):
        total = sum(float(share.removesuffix(" %")) for share in shares)
        assert total == pytest.approx(100, abs=0.5)  # ten numbers rounded to 0.1
    assert page.locator("#agreement .best").count() == 1
    page.click("#clear")
    assert set(opened.shares()) == {"–"}


def test_a_finger_draws_too(visit):
    opened = visit(width=360, has_touch=True, is_mobile=True)
    opened.page.click("#clear")
    opened.page.locator("#pad").scroll_into_view_if_needed()
    opened.page.locator("#pad").tap()
    assert opened.page.locator("#said").inner_text().startswith("It reads ")


def strokes_of(opened):
    """How many pixels of the pad have ink."""
    return opened.page.evaluate("""() => ink(
      document.querySelector('#pad').getContext('2d')).filter((value) => value > 0).length""")


POINTER = """([type, more]) => {
  const pad = document.querySelector('#pad');
  const frame = pad.getBoundingClientRect();
  pad.setPointerCapture = () => {};
  pad.dispatchEvent(new PointerEvent(type, {
    bubbles: true, isPrimary: true, pointerId: 1, button: 0,
    clientX: frame.left + more.x * frame.width, clientY: frame.top + more.y * frame.height, ...more,
  }));
}"""


def point(opened, kind, x, y, **more):
    opened.page.evaluate(POINTER, [f"pointer{kind}", {"x": x, "y": y, **more}])


def test_only_the_first_pointer_draws(visit):
    """A second finger or a palm moves between two strokes of the first, and draws no line."""
    alone, joined = visit(), visit()
    for opened, second in ((alone, False), (joined, True)):
        opened.page.click("#clear")
        point(opened, "down", 0.2, 0.2)
        if second:
            point(opened, "down", 0.8, 0.8, pointerId=2, isPrimary=False)
        point(opened, "move", 0.2, 0.5)
        if second:
            point(opened, "move", 0.8, 0.5, pointerId=2, isPrimary=False)
            point(opened, "up", 0.8, 0.5, pointerId=2, isPrimary=False)
        point(opened, "move", 0.2, 0.8)
        point(opened, "up", 0.2, 0.8)
    assert strokes_of(joined) == strokes_of(alone) > 0
    assert joined.page.evaluate("shown.views.length") > 0


def test_the_right_button_draws_nothing(visit):
    opened = visit()
    opened.page.click("#clear")
    opened.page.locator("#pad").click(button="right")
    assert strokes_of(opened) == 0
    opened.page.locator("#pad").click()
    assert strokes_of(opened) > 0


def test_a_stroke_is_undone_and_a_pen_has_a_width(visit):
    opened = visit()
    page = opened.page
    assert page.locator("#pad-hint").is_visible()
    page.click("#clear")
    assert page.locator("#undo").is_disabled()
    opened.draw((0.3, 0.2), (0.3, 0.8))
    thin = strokes_of(opened)
    shares = opened.shares()
    opened.draw((0.7, 0.2), (0.7, 0.8))
    assert strokes_of(opened) == 2 * thin
    page.click("#undo")
    assert strokes_of(opened) == thin
    assert opened.shares() == shares
    page.click("#undo")
    assert set(opened.shares()) == {"–"}
    assert page.locator("#undo").is_disabled()
    page.locator("#pen").fill("48")
    opened.draw((0.3, 0.2), (0.3, 0.8))
    assert strokes_of(opened) > 1.8 * thin


def test_another_run_can_be_chosen_on_the_page(visit):
    opened = visit()
    page = opened.page
    first, second = page.locator("#chosen-run option").all_inner_texts()
    assert first != second
    heading = page.locator("h1:visible").inner_text()
    bold = page.locator("#runs .main")
    assert bold.get_attribute("data-row") == "0"
    page.select_option("#chosen-run", "1")
    assert bold.get_attribute("data-row") == "1"
    assert page.locator("h1:visible").count() == 1
    assert page.locator("h1:visible").inner_text() != heading
    assert page.locator("#draw").is_hidden()
    page.locator("#said-2", has_text="A test digit").wait_for()
    page.click("#clear-2")
    page.locator("#pad-2").click()
    assert page.locator("#said-2").inner_text().startswith("It reads ")
    page.locator("#confusion-2 .matrix .wrong button").first.click()
    assert page.locator("#cell-2 .digits li").count() > 0
    for link in page.locator("nav:visible a").all():
        assert page.locator(link.get_attribute("href")).is_visible()
    page.select_option("#chosen-run", "0")
    assert page.locator("h1:visible").inner_text() == heading
    assert page.locator("#draw-2").is_hidden()
    assert bold.get_attribute("data-row") == "0"


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_verdicts_are_in_sight(visit, width):
    page = visit(width=width).page
    verdicts = page.locator(".plain .good, .plain .bad")
    assert verdicts.count() > 5
    for cell in verdicts.all():
        box = cell.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    # and further right a table is out of sight
    if width == 390:
        ends = page.locator(".plain td:last-child").evaluate_all(
            "all => all.map((cell) => cell.getBoundingClientRect().right)"
        )
        assert max(ends) > width


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory):
    """The page of runs on scikit-learn's digits, which come with the installation."""
    folder = tmp_path_factory.mktemp("digits-8")
    config = Config(dataset="digits", hidden=(64,), epochs=30, learning_rate=5e-3)
    train(config, out=folder / "shallow")
    train(Config(dataset="digits", hidden=(), epochs=2), out=folder / "linear")
    page = folder / "report.html"
    page.write_text(build.build(read_contents([folder]), "mnist-fn report"))
    return page


def test_pictures_of_8_by_8_are_drawn_on_pixels_of_their_own(browser, of_digits):
    opened = Visit(browser, of_digits, width=390)
    page = opened.page
    page.locator("#said", has_text="A test digit").wait_for()
    run = load_run(of_digits.parent / "shallow")
    test = datasets.load("digits").test
    for label, image in zip(test.labels[:20], test.images[:20], strict=True):
        block = np.kron(image, np.ones((35, 35)))
        seen = page.evaluate(
            "([ink]) => [...averaged(Float64Array.from(ink), 280, 8)]", [block.ravel().tolist()]
        )
        assert seen == image.ravel().tolist(), label
    # what stands on the pad is a test digit, pixel for pixel, and is read as the run reads it
    pixels = page.evaluate(
        "[...seenBy(shown.views[0], document.querySelector('#pad').getContext('2d'))]"
    )
    (index,) = np.flatnonzero((test.images.reshape(-1, 64) == pixels).all(axis=1))
    name = run.data_spec.names[run.evaluation.predictions[index]]
    assert f"It reads {name} " in page.locator("#said").inner_text()
    page.click("#clear")
    opened.draw((0.5, 0.05), (0.5, 0.95))
    assert sum(float(share.removesuffix(" %")) for share in opened.shares()) == pytest.approx(
        100, abs=0.5
    )
    assert violations(page) == []
    assert opened.errors == []
    opened.context.close()


def test_a_test_digit_can_be_shown_without_drawing(visit):
    opened = visit()
    opened.page.click("#clear")
    opened.page.locator("#example").focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#said").inner_text().startswith("A test digit: ")


@pytest.mark.parametrize("highest", [CONFIDENT - 1e-3, CONFIDENT, 0.5, 1.0])
def test_it_is_unsure_where_predict_is(visit, highest):
    """The same limit, the same words, from one place."""
    shares = np.full(10, (1 - highest) / 9)
    shares[3] = highest
    one = DigitReading("x", 1, 1, MNIST.names, shares, doubtful=False, is_wide=False)
    page = visit().page
    assert page.evaluate("shown.unsure") == CONFIDENT
    said = page.evaluate("(shares) => reading(shown.views[0], shares)", shares.tolist())
    assert said.endswith(f", {UNSURE}.") == one.low_confidence
    assert one.low_confidence == (f", {UNSURE}" in _line(one).plain)
    assert said.startswith(f"It reads 3 ({100 * highest:.1f}\u00a0%)")


def test_a_drawing_is_called_unsure(visit):
    opened = visit()
    opened.page.click("#clear")
    opened.draw((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2), (0.8, 0.8))
    highest = max(float(share.removesuffix(" %")) for share in opened.shares())
    assert highest < 100 * CONFIDENT - 1
    assert opened.page.locator("#said").inner_text().endswith(f", {UNSURE}.")


@pytest.mark.parametrize(
    ("names", "thing", "kinds"),
    [
        (MNIST.names, "digit", "digits"),
        (tuple("ABCDEFGHIJ"), "letter", "letters"),
        (tuple("0123ABCDef"), "character", "characters"),
        (tuple(f"kind {i}" for i in range(10)), "picture", "classes"),
    ],
)
def test_the_page_calls_things_by_their_name(visit_named, names, thing, kinds):
    page = visit_named(names).page
    assert page.locator("#draw h2").inner_text() == f"Draw a {thing}"
    assert page.locator("#said").inner_text().startswith(f"A test {thing}: ")
    words = page.evaluate(
        "document.body.innerText + document.body.outerHTML.replace(/<script[^]*/, '')"
    )
    assert f"Rows are true {kinds}, columns" in page.locator("#confusion p").first.inner_text()
    for other in {"digit", "letter", "character", "picture"} - {thing, "picture"}:
        assert not re.search(rf"\b{other}s?\b", words), other
    assert not re.search(r"\ba [AEFHI]\b", words)


def test_its_logits_are_the_backends(visit, report, prepared_digits):
    """Both networks, the float16 weights, 100 test images."""
    page = visit().page
    shown = read_contents([report.parent])
    dataset = datasets.load("idx", prepared_digits)
    images = dataset.test.images[:100]
    network_of = "unpack(shown.views[0].networks[which])"
    code = f"([which, images]) => images.map((i) => [...logits({network_of}, i)])"
    flat = images.reshape(100, -1).tolist()
    for which, run in enumerate((shown.in_full[0], shown.linear["idx"])):
        there = np.array(page.evaluate(code, [which, flat]))
        rounded = {
            layer: {kind: tensor.astype(np.float32) for kind, tensor in tensors.items()}
            for layer, tensors in network.halved(run.weights).items()
        }
        state = StateTree(rounded, run.state.slots, run.state.step)
        computer = backend.find("jax")(run.config, dataset, "cpu")
        here = computer.logits(computer.load(state), images)
        # float32's sums of 784 products against float64's: about √784 eps of the largest
        bound = 28 * np.finfo(np.float32).eps * np.abs(here).max()
        assert np.abs(there - here).max() <= bound
        # and the check sees the rounding to float16
        unrounded = computer.logits(computer.load(run.state), images)
        assert np.abs(there - unrounded).max() > bound


def strokes(seed):
    """Ink on a pad of 140 x 140: a few random lines with soft edges."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (280, 280))
    pen = ImageDraw.Draw(image)
    points = [tuple(point) for point in rng.integers(30, 250, (4, 2)).tolist()]
    pen.line(points, fill=255, width=int(rng.integers(10, 30)), joint="curve")
    return np.asarray(image.resize((140, 140), Image.Resampling.BOX))


def test_it_prepares_as_predict_does(visit, prepared_digits):
    """On drawings, and on test digits, which are enlarged: within one of 255 levels, from the
    rounding of sums in float32 (Pillow's) and float64.
    """
    page = visit().page
    digits = datasets.load("idx", prepared_digits).test.images[:5]
    enlarged = [np.asarray(Image.fromarray(one).resize((120, 90))) for one in digits]
    code = "([ink, columns]) => [...prepare(Float64Array.from(ink), columns)]"
    for grey in (*(strokes(seed) for seed in range(8)), *enlarged, *digits):
        there = page.evaluate(code, [grey.ravel().tolist(), grey.shape[1]])
        assert np.abs(np.array(there) - prepare(grey).ravel()).max() <= 1


def test_what_is_drawn_is_what_predict_would_see(visit):
    opened = visit()
    opened.page.click("#clear")
    opened.draw((0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    red = "(id) => { const c = document.getElementById(id); const d = c.getContext('2d')"
    red += ".getImageData(0, 0, c.width, c.height).data;"
    red += "return Array.from({length: d.length / 4}, (_, i) => d[4 * i]); }"
    pad = np.array(opened.page.evaluate(red, "pad")).reshape(280, 280)
    seen = np.array(opened.page.evaluate(red, "seen")).reshape(28, 28)
    assert np.abs(seen - prepare(pad).astype(int)).max() <= 1


@pytest.mark.parametrize("width", [360, 768])
def test_no_horizontal_scroll(visit, width):
    page = visit(width=width).page
    page.locator(".matrix .wrong button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tall = "getComputedStyle(document.querySelector('.matrix button')).minHeight"
    assert float(page.evaluate(tall).removesuffix("px")) >= 24  # WCAG 2.2's least target


@pytest.fixture(scope="module")
def of_many_classes(request, digits, tmp_path_factory):
    """The page of a run on many classes, and a linear one."""
    folder = tmp_path_factory.mktemp("many")
    splits = []
    for split in (digits.train, digits.test):
        splits += [split.images, np.arange(len(split.images)) % request.param]
    for file, array in zip(files.FILES, splits, strict=True):
        (folder / file).write_bytes(idx_bytes(array))
    config = Config(dataset="idx", hidden=(), epochs=1)
    train(config, data_dir=folder, out=folder / "run")
    page = folder / "report.html"
    page.write_text(build.build(read_contents([folder / "run"]), "mnist-fn report", folder))
    return request.param, page


@pytest.mark.long
@pytest.mark.parametrize("of_many_classes", [47], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_with_many_classes(browser, of_many_classes, scheme):
    for width in (1280, 360):
        opened = Visit(browser, of_many_classes[1], width=width, color_scheme=scheme)
        assert violations(opened.page) == []
        opened.context.close()


@pytest.mark.parametrize("of_many_classes", [62], indirect=True)
@pytest.mark.parametrize("width", [360, 1280])
def test_the_matrix_of_many_classes_scrolls_in_its_place(browser, of_many_classes, width):
    classes, file = of_many_classes
    one = Visit(browser, file, width=width)
    page = one.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".matrix tbody tr").count() == classes
    place = page.locator(".confusion .wide")
    place.evaluate("(e) => { e.scrollLeft = e.scrollWidth }")
    # a column is 27 pixels wide at least: 62 of them are wider than any page
    assert place.evaluate("(e) => e.scrollLeft") > 300
    # the rows' names stay in sight
    left = place.bounding_box()["x"]
    assert page.locator(".matrix tbody th").first.bounding_box()["x"] == pytest.approx(left, abs=1)
    assert one.errors == []
    one.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(visit, scheme):
    page = visit(color_scheme=scheme).page
    page.locator(".matrix .wrong button").first.click()
    measured = page.evaluate(CONTRAST)
    assert measured["seen"] > 300
    assert measured["low"] == []
    # and the check can fail
    faint = "color-mix(in srgb, var(--ink) 45%, var(--surface))"
    page.evaluate(f"document.documentElement.style.setProperty('--soft', '{faint}')")
    assert page.evaluate(CONTRAST)["low"] != []


@pytest.fixture(scope="module")
def reports(report, runs_28, prepared_digits, tmp_path_factory):
    """The page of one run with all documents, and of 60 runs."""
    folder = tmp_path_factory.mktemp("sixty")
    for number in range(60):
        shutil.copytree(runs_28["linear"], folder / f"run-{number}")
    page = folder / "report.html"
    page.write_text(build.build(read_contents([folder]), "mnist-fn report", prepared_digits))
    return {1: report, 60: page}


@pytest.mark.parametrize(
    ("runs", "scheme"),
    [
        (1, "light"),
        pytest.param(1, "dark", marks=pytest.mark.long),
        pytest.param(60, "light", marks=pytest.mark.long),
        pytest.param(60, "dark", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing(browser, reports, runs, scheme):
    for width in (1280, 360):
        opened = Visit(browser, reports[runs], width=width, color_scheme=scheme)
        assert violations(opened.page) == []
        opened.page.locator(".matrix .wrong button").first.click()
        assert violations(opened.page) == []
        opened.context.close()


def violations(page):
    return [one["id"] for one in AXE.run(page).response["violations"]]


def test_axe_sees_a_plot_without_a_name_and_a_faint_word(browser, report):
    opened = Visit(browser, report)
    opened.page.evaluate("document.querySelector('#curves img').removeAttribute('alt')")
    opened.page.evaluate("document.querySelector('h1').style.color = '#aaa'")
    assert {"image-alt", "color-contrast"} <= set(violations(opened.page))
    opened.context.close()


def test_every_plot_says_what_it_shows(visit):
    page = visit().page
    for section in ("curves", "classes"):
        names = page.locator(f"#{section} img").evaluate_all("all => all.map((i) => i.alt)")
        assert names
        assert all(re.search(r"\d", name) and len(name) > 30 for name in names), names
        assert len(set(names)) == len(names)


def test_the_keyboard_alone_reaches_all_that_can_be_used(visit):
    page = visit().page
    usable = """() => [...document.querySelectorAll(
      `a[href], button, input, select, summary, [tabindex="0"]`
    )].filter((e) => e.checkVisibility() && !e.disabled).length"""
    reached = "() => { const e = document.activeElement; const n = e.seen || 0; e.seen = 1; "
    reached += "return n || e === document.body ? 0 : 1; }"
    count = 0
    for _ in range(page.evaluate(usable)):
        page.keyboard.press("Tab")
        count += page.evaluate(reached)
    assert count == page.evaluate(usable)


def test_focus_is_seen(visit):
    page = visit().page
    focused = "getComputedStyle(document.activeElement)"
    for element in ("SELECT", "A"):  # the choice of a run, then the sections
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == element
        assert page.evaluate(f"{focused}.outlineStyle") == "solid"
        assert page.evaluate(f"{focused}.outlineWidth") == "3px"


def test_without_javascript_all_but_the_interactive_can_be_read(visit):
    page = visit(java_script_enabled=False).page
    assert "needs JavaScript" in page.locator("#draw").inner_text()
    assert page.locator("#draw .draw").count() == 1
    assert page.locator("#draw .draw").is_hidden()
    assert page.locator("#choice").is_hidden()
    assert page.locator("#confusion .matrix tbody tr").count() == 10
    assert page.locator(".mistakes img").first.is_visible()
    assert page.locator("#curves img").first.is_visible()


def test_a_linear_run_alone_is_its_own_template_model(browser, runs_28, prepared_digits, tmp_path):
    page = tmp_path / "linear.html"
    shown = read_contents([runs_28["linear"]])
    page.write_text(build.build(shown, "mnist-fn report", prepared_digits))
    assert load_run(runs_28["linear"]).weights.keys() == {"layer1"}
    opened = Visit(browser, page)
    opened.page.click("#clear")
    opened.draw((0.5, 0.15), (0.5, 0.85))
    best = opened.page.locator("#agreement .best b").inner_text()
    assert best == opened.page.locator(".bars .best th").inner_text()
    assert opened.errors == []
    opened.context.close()
