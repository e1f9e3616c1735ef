"""The published numbers against a second transcription; each statement against runs made for it.

The text below is the study's, as it was handed down; nobody edits it with the table in the source.
"""

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from mnist_fn import Config
from mnist_fn.shared.evaluation import Evaluation
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study import judging
from mnist_fn.shared.study.claims import claims
from mnist_fn.shared.study.experiments import experiments
from mnist_fn.shared.study.published import cell, last, numbers
from tests.support.synthetic import study_runs, with_header

EXPERIMENTS = experiments(Config())
NUMBERS = numbers(EXPERIMENTS)
TEXT = """
Shallow: 0.06133, 0.06090, 0.06338, 0.06160, 0.06158 (mean 0.0618, sd 0.0010; 0-based epochs 13, 15, 15, 15, 19).
Deep: 0.06372, 0.06802, 0.06530, 0.06335, 0.06034 (mean 0.0641, sd 0.0028; epochs 10, 10, 7, 9, 7). Shallow wins.
98.05 % test accuracy
Diagonal 0–9: .990 .989 .979 .985 .987 .970 .984 .984 .974 .960.
Largest confusions: 9→4 .013, 5→3 .011, 9→3 .008, 9→7 .007, 2→8 .007, 7→2 .007, 5→6 .007.
| 3e-3 | 0.18321 | 99 | 0.9570 | 35 |
| 1e-3 | 0.10213 | 65 | 0.9756 | 80 |
| 3e-4 | 0.06128 | 99 | 0.9828 | 76 |
| 3e-5 | 0.04754 | 89 | 0.9854 | 89 |
| 0 | 0.06149 | 18 | 0.9825 | 40 |
"""  # noqa: E501 - as it was handed down
DIGEST = "517ad6887ca1ceef"


def printed(experiment, **about):
    return [n.printed for n in NUMBERS if n.experiment == experiment
            and all(getattr(n, name) == value for name, value in about.items())]  # fmt: skip


def test_the_selections_numbers_are_the_texts():
    for line, config in zip(TEXT.splitlines()[1:3], EXPERIMENTS["selection"].configs, strict=True):
        minima = re.findall(r"0\.\d{5}", line)
        epochs = line.partition("epochs ")[2].partition(")")[0].split(", ")
        assert len(minima) == len(epochs) == 5
        assert printed("selection", config=config, statistic="run", unit="loss") == minima
        assert printed("selection", config=config, unit="epoch") == epochs
        mean, sd = re.findall(r"(?:mean|sd) (0\.\d{4})", line)
        assert printed("selection", config=config, statistic="mean") == [mean]
        assert printed("selection", config=config, statistic="sd") == [sd]


def test_the_chosen_models_numbers_are_the_texts():
    (accuracy,) = re.findall(r"([\d.]+) % test accuracy", TEXT)
    assert printed("chosen", unit="accuracy") == [f"{float(accuracy) / 100:.4f}"]
    diagonal = TEXT.partition("Diagonal 0–9: ")[2].partition(".\n")[0].split()
    confusions = re.findall(r"(\d)→(\d) (\.\d{3})", TEXT)
    shares = [(n.what, n.printed) for n in NUMBERS if n.unit == "share"]
    assert shares == [
        *((f"{i} → {i}", share) for i, share in enumerate(diagonal)),
        *((f"{true} → {read}", share) for true, read, share in confusions),
    ]


def test_the_l2_tables_numbers_are_the_texts():
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\d+) \| (\S+) \| (\d+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 5
    for l2, *of_row in rows:
        config = Config(l2=float(l2))
        found = [
            n.printed for n in NUMBERS if n.experiment == "l2" and n.config == config and n.kind
        ]
        assert found == of_row


def test_nothing_published_is_changed_unseen():
    """Also what has no second transcription: "about 0.26" and "about 0.10"."""
    found = [
        [n.experiment, n.what, n.printed, n.unit, n.statistic,
         n.config.hidden, n.config.l2, n.config.epochs]
        for n in NUMBERS
    ]  # fmt: skip
    assert hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16] == DIGEST
    assert len(NUMBERS) == 64


def test_a_cell_is_of_the_true_class_then_the_predicted():
    config = Config(epochs=15)
    matrix = np.diag([100] * 10)
    matrix[9, 4] = 25  # true nines read as fours
    (run,) = (r for r in study_runs(seeds=(0,), only=["chosen"]) if r.config == config)
    evaluation = Evaluation(0.1, np.zeros(0, np.uint8), matrix)
    records = Records([replace(run, evaluation=evaluation)])
    assert cell(9, 4)(records, config) == pytest.approx(0.2)
    assert cell(4, 9)(records, config) == 0
    for number in NUMBERS:
        if number.experiment == "chosen" and number.confusion:
            true, read = map(int, number.what.split(" → "))
            expected = 0.2 if (true, read) == (9, 4) else 0.0
            assert number.of_seed(records, 0) == pytest.approx(expected), number.what


def test_what_matters_is_what_is_written():
    """The rule's sentence has these from the constants; changed, they would be said as changed."""
    assert (judging.LOSS, judging.ERRORS, judging.RATE) == (0.1, 0.2, 0.5)
    assert (judging.EPOCHS, judging.FACTOR, judging.LEVEL) == (0.25, 2.0, 0.99)
    assert judging.FIVE == 5
    assert judging.WITH_INTERVAL == ("inside", "outside", "undecidable", "can't tell")
    for words in ("10% of a loss", "20% of an accuracy", "50% of a rate", "25% of the run"):
        assert words in judging.RULE


@pytest.mark.parametrize(
    ("unit", "printed", "half_width", "sharp"),
    [
        ("loss", "2.00", 0.194, True), ("loss", "2.00", 0.196, False),
        ("accuracy", "0.9000", 0.0199, True), ("accuracy", "0.9000", 0.0201, False),
        ("share", ".200", 0.0994, True), ("share", ".200", 0.0996, False),
        ("share", ".800", 0.0994, True), ("share", ".800", 0.0996, False),
        ("epoch", "40", 24.4, True), ("epoch", "40", 24.6, False),
    ],
)  # fmt: skip
def test_an_interval_is_sharp_up_to_an_error_that_matters(unit, printed, half_width, sharp):
    number = replace(NUMBERS[0], unit=unit, printed=printed, config=Config(epochs=100))
    interval = (number.value - half_width, number.value + half_width)
    assert judging._is_sharp(number, number.value, interval) == sharp


@pytest.mark.parametrize(
    ("low", "high", "sharp"),
    [(0.0006, 0.0019, True), (0.0004, 0.0019, False), (0.0006, 0.0021, False)],
)
def test_an_sd_is_sharp_within_a_factor_of_two(low, high, sharp):
    number = replace(NUMBERS[0], unit="loss", printed="0.0010", statistic="sd")
    assert judging._is_sharp(number, 0.0605, (low, high)) == sharp


def test_the_first_of_tied_epochs_is_the_best():
    rows = [
        {"epoch": i, "test_loss": loss, "test_accuracy": accuracy}
        for i, (loss, accuracy) in enumerate([(3, 0.5), (1, 0.9), (2, 0.9), (1, 0.7)], start=1)
    ]
    assert metrics.best(rows, "test_loss") == {"value": 1, "epoch": 2}
    assert metrics.best(rows, "test_accuracy") == {"value": 0.9, "epoch": 2}


# --- statements: a run in which each holds, and one in which it doesn't ---


def curve(*losses):
    return [{"epoch": i, "test_loss": loss} for i, loss in enumerate(losses, start=1)]


def classes(*of_epochs):
    return [{"epoch": i} | {f"test_accuracy_{x}": a for x, a in enumerate(accuracies)}
            for i, accuracies in enumerate(of_epochs, start=1)]  # fmt: skip


def by_text(start):
    (found,) = [claim for claim in claims(EXPERIMENTS) if claim.text.startswith(start)]
    return found


RISING, FLAT, DEEP = curve(3, 1, 2, 2), curve(3, 2, 2, 2), curve(1, 2, 3, 4)
QUICK = [1.0, 1.0, *[0.5] * 8]


@pytest.mark.parametrize(
    ("start", "holding", "failing"),
    [
        ("linear does not overfit", ([FLAT], 1.0), ([RISING], 2.0)),
        ("linear flattens", ([curve(4, 3, 1, 3)], 1.0), ([curve(3, 3, 2, 2)], 1.5)),
        ("one hidden layer: wider is better",
         ([curve(1), curve(2), curve(3), curve(4)], 3),
         ([curve(1), curve(3), curve(2), curve(4)], 2)),
        ("one hidden layer: wider is earlier",
         ([curve(1, 2, 2, 2), curve(2, 1, 2, 2), curve(2, 2, 1, 2), curve(2, 2, 2, 1)], 3),
         ([curve(1, 2), curve(1, 2), curve(1, 2), curve(1, 2)], 0)),
        ("two hidden layers: wider is better",
         ([curve(1), curve(2), curve(3), curve(4)], 3),
         ([curve(4), curve(3), curve(2), curve(1)], 0)),
        ("two hidden layers: wider is earlier",
         ([curve(1, 2, 2, 2), curve(2, 1, 2, 2), curve(2, 2, 1, 2), curve(2, 2, 2, 1)], 3),
         ([curve(2, 1)] * 4, 0)),
        ("deep reaches its minimum in fewer epochs",
         ([RISING] * 4 + [DEEP] * 4, 4), ([DEEP] * 4 + [RISING] * 4, 0)),
        ("deep overfits harder", ([RISING] * 4 + [DEEP] * 4, 4), ([DEEP] * 4 + [RISING] * 4, 0)),
        # the largest rise, which is neither the last one nor that to the highest loss
        ("deep spikes more",
         ([curve(8, 9, 9.5)] * 4 + [curve(1, 3, 2)] * 4, 4),
         ([curve(1, 3, 2)] * 4 + [curve(8, 9, 9.5)] * 4, 0)),
        ("shallow wins", ([curve(2, 1), curve(2, 1.5)], 0.5), ([curve(2, 1.5), curve(2, 1)], -0.5)),
        ("λ = 0 turns up", ([curve(1, 1.3)], 1.3), ([curve(1, 1.2)], 1.2)),
        ("no other λ does", ([curve(1, 1.2)] * 4, 1.2), ([*[curve(1, 1)] * 3, curve(1, 1.5)], 1.5)),
        ("λ = 3×10⁻⁵ has the smallest",
         ([curve(1), *[curve(2)] * 3, curve(1.5)], 1.5),
         ([curve(2), *[curve(3)] * 3, curve(1)], 0.5)),
        ("λ = 3×10⁻³ and λ = 10⁻³ underfit",
         ([curve(1), curve(2), curve(3)], 2.0), ([curve(1), curve(2), curve(0.5)], 0.5)),
        ("0 and 1 are learned first",
         ([classes([1.0] + [0.5] * 9, QUICK, [1.0] * 3 + [0.5] * 7, [1.0] * 10)], 1),
         ([classes([0.5] * 10, [1.0] * 10)], 0)),
        ("0 and 1 stay near .99",
         ([classes([0.1] * 10, [0.99] * 10)], 0.99),
         ([classes([1.0] * 10, [0.97] + [1.0] * 9)], 0.97)),
        # a class that is never learned counts as learned one epoch after the last
        ("5, 8, 9 are slowest",
         ([classes([1.0 if x not in (5, 8, 9) else 0.5 for x in range(10)])], 2.0),
         ([classes([1.0 if x in (5, 8, 9) else 0.5 for x in range(10)])], 0.5)),
        ("5, 8, 9 are slowest",
         ([classes([1.0 if x not in (5, 8, 9) else 0.5 for x in range(10)], [1.0] * 10)], 2.0),
         ([classes([1.0 if x in (5, 8, 9) else 0.5 for x in range(10)], [1.0] * 10)], 0.5)),
        ("5, 8, 9 are noisiest",
         ([classes(*[[0.5] * 10] * 2, [0.5] * 10,
                   [0.7 if x in (5, 8, 9) else 0.6 for x in range(10)])], 2.0),
         ([classes(*[[0.5] * 10] * 2, [0.5] * 10,
                   [0.6 if x in (5, 8, 9) else 0.7 for x in range(10)])], 0.5)),
    ],
)  # fmt: skip
def test_a_statement_holds_where_it_should_and_not_where_it_should_not(start, holding, failing):
    claim = by_text(start)
    for (runs, expected), holds in ((holding, True), (failing, False)):
        value = claim.measure(runs)
        assert value == pytest.approx(expected), (start, holds)
        assert claim.holds(value) == holds, start


@pytest.mark.parametrize(
    ("start", "runs", "value", "holds"),
    [
        ("without L2 the border", [{"border": 1.1}], 1.1, True),
        ("without L2 the border", [{"border": 0.9}], 0.9, False),
        ("λ = 10⁻⁴ is calmer", [{"size": 2.0}, {"size": 1.0}], 0.5, True),
        ("λ = 10⁻⁴ is calmer", [{"size": 2.0}, {"size": 3.0}], 1.5, False),
        ("λ = 10⁻¹ is faint", [{"size": 1.0}, {"size": 0.6}], 0.6, False),
        ("λ = 10⁻¹ is faint", [{"size": 1.0}, {"size": 0.4}], 0.4, True),
        ("λ = 10⁻¹ is smooth", [{"roughness": 1.0}, {"roughness": 0.4}], 0.4, True),
        ("λ = 10⁻¹ is smooth", [{"roughness": 1.0}, {"roughness": 0.6}], 0.6, False),
    ],
)
def test_a_statement_on_templates(start, runs, value, holds):
    claim = by_text(start)
    assert claim.measure([[run] for run in runs]) == pytest.approx(value)
    assert claim.holds(value) == holds
    assert claim.column == "templates"


def test_each_statement_reads_the_runs_that_it_names():
    linear, *rest = EXPERIMENTS["width-depth"].configs
    shallow, deep = tuple(rest[:4]), tuple(rest[4:])
    assert [c.hidden for c in shallow] == [(512,), (256,), (128,), (64,)]
    assert by_text("linear flattens").configs == (linear,)
    assert by_text("one hidden layer: wider is better").configs == shallow
    assert by_text("two hidden layers: wider is earlier").configs == deep
    assert by_text("deep overfits harder").configs == (*shallow, *deep)
    assert [c.l2 for c in by_text("no other λ does").configs] == [3e-3, 1e-3, 3e-4, 3e-5]
    assert [c.l2 for c in by_text("λ = 3×10⁻³ and").configs] == [0.0, 3e-3, 1e-3]
    assert [c.l2 for c in by_text("λ = 3×10⁻⁵ has").configs] == [3e-5, 3e-3, 1e-3, 3e-4, 0.0]
    assert [c.model for c in by_text("shallow wins").configs] == ["shallow", "deep"]
    assert [c.l2 for c in by_text("λ = 10⁻¹ is faint").configs] == [0.0, 1e-1]
    assert len(claims(EXPERIMENTS)) == 22
    learned = by_text("0 and 1 are learned first")
    assert learned.number.startswith("first epoch at 98 %: ")
    assert learned.column == "test_accuracy_0"
    ordered = [claim.number for claim in claims(EXPERIMENTS) if ": wider is" in claim.text]
    assert ordered == ["neighbouring widths in that order, of 3"] * 4


def test_a_number_is_measured_by_its_unit():
    """Of a run whose best loss, best accuracy and last epochs are known."""
    losses = [3.0, 1.0, 2.0, 4.0]
    rows = [
        {"epoch": i, "test_loss": loss, "test_accuracy": 1 - loss / 10}
        for i, loss in enumerate(losses, start=1)
    ]
    rows[2]["test_accuracy"] = 0.95
    (run,) = study_runs(seeds=(0,), only=["chosen"])
    config = Config(epochs=4)
    records = Records([replace(with_header(run, config=config), rows=rows)])
    of_l2 = [number for number in NUMBERS if number.experiment == "l2" and number.config.l2 == 0]
    assert [number.measure(records, config) for number in of_l2] == [1.0, 2, 0.95, 3, 4.0]
    assert last(records, config, "test_loss", 3) == pytest.approx(7 / 3)
    selection = [number for number in NUMBERS if number.experiment == "selection"][:2]
    assert [number.measure(records, config) for number in selection] == [1.0, 2]


@pytest.mark.parametrize(
    ("printed", "counted", "unit"),
    [("0.0618", 0, "loss"), ("15", 1, "epoch"), (".990", 0, "share")],
)
def test_only_epochs_are_counted_from_another_number(printed, counted, unit):
    number = replace(NUMBERS[0], printed=printed, unit=unit)
    assert number.counted_from == counted
    assert number.value == float(printed) + counted
