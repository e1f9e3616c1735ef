"""The study: what it trains, how its numbers are judged, and that each verdict can be wrong."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mnist_fn import Config, InputError
from mnist_fn.shared.evaluation import template_summary
from mnist_fn.shared.runs.store import Records, serves
from mnist_fn.shared.statistics import prediction_interval
from mnist_fn.shared.study import judging, protocol
from mnist_fn.shared.study import report as study_report
from mnist_fn.shared.study import tables as study_tables
from mnist_fn.shared.study.claims import claims
from mnist_fn.shared.study.experiments import FULL, Lengths, choose, experiments, needed
from mnist_fn.shared.study.published import PublishedNumber, best, numbers
from mnist_fn.shared.wording import scientific, spread
from tests.support.synthetic import study_runs, with_header

EXPERIMENTS = experiments(Config())
RESULTS = ("metrics.csv", "checkpoint.safetensors", "evaluation.json")


@pytest.fixture(scope="module")
def records():
    return Records(study_runs())


# --- what is trained ---


def test_each_distinct_run_stands_once():
    needs = needed(EXPERIMENTS.values(), range(5))
    asked = [config for one in EXPERIMENTS.values() for config in one.configs]
    assert len(needs) == 5 * len(set(asked)) < 5 * len(asked)
    (per_class,) = EXPERIMENTS["per-class"].configs
    assert per_class in EXPERIMENTS["l2"].configs
    assert set(EXPERIMENTS["l2"].configs) & set(EXPERIMENTS["width-depth"].configs)


def test_the_honest_grid_is_every_width_depth_and_l2_held_out():
    grid = EXPERIMENTS["honest"].configs
    assert {config.validation for config in grid} == {10_000}
    published = EXPERIMENTS["width-depth"].configs + EXPERIMENTS["l2"].configs
    assert {config.replace(validation=0) for config in grid} == set(published)


def test_experiments_are_chosen_by_name_in_the_studys_order():
    assert [e.name for e in choose("l2, chosen", EXPERIMENTS)] == ["chosen", "l2"]
    assert len(choose(None, EXPERIMENTS)) == 7
    for wrong in ("l3", "", "l2,l3"):
        with pytest.raises(InputError, match="`only="):
            choose(wrong, EXPERIMENTS)


def test_records_cut_a_longer_run_for_a_shorter_one(records):
    shallow, _ = EXPERIMENTS["selection"].configs
    rows = records.rows(shallow)
    alone = Records(
        run for run in records.runs.values() if run.config == shallow.replace(epochs=100)
    )
    assert alone.rows(shallow) == alone.rows(shallow.replace(epochs=100))[:20]
    assert len(rows) == 20
    assert alone.rows(shallow.replace(epochs=101)) is None
    assert serves(shallow.replace(epochs=100, seed=3), shallow, at_end=False)
    assert not serves(shallow.replace(epochs=100), shallow, at_end=True)


# --- published numbers ---


def test_what_is_transcribed_agrees_with_itself():
    """The means and sds that the study printed are those of the minima that it printed."""
    found = [n for n in numbers(EXPERIMENTS) if n.experiment == "selection" and n.unit == "loss"]
    for config in EXPERIMENTS["selection"].configs:
        own = [n for n in found if n.config == config]
        minima = [n.value for n in own if n.statistic == "run"]
        (mean,) = [n for n in own if n.statistic == "mean"]
        (sd,) = [n for n in own if n.statistic == "sd"]
        assert abs(np.mean(minima) - mean.value) <= mean.rounding
        # an sd moves by no more than the numbers do, and the minima are rounded too
        slack = sd.rounding + own[0].rounding
        assert abs(np.std(minima, ddof=1) - sd.value) <= slack
    diagonal = [n for n in numbers(EXPERIMENTS) if n.what in {f"{i} → {i}" for i in range(10)}]
    (accuracy,) = [n for n in numbers(EXPERIMENTS) if n.what == "test accuracy"]
    assert len(diagonal) == 10
    # classes are about equally frequent: their mean accuracy is the accuracy to a tenth of a %
    assert np.mean([n.value for n in diagonal]) == pytest.approx(accuracy.value, abs=1e-3)


def test_every_number_and_claim_is_measured_where_its_runs_are(records):
    for number in numbers(EXPERIMENTS):
        assert math.isfinite(number.of_seed(records, 0)), number.what
        assert number.of_seed(Records(), 0) is None, number.what
    for claim in claims(EXPERIMENTS):
        assert math.isfinite(claim.of_seed(records, 0)), claim.text
        assert claim.of_seed(Records(), 0) is None, claim.text


def test_a_published_epoch_is_counted_from_one_and_a_number_stands_for_what_rounds_to_it():
    epoch = PublishedNumber(
        "l2", "", "89", "epoch", Config(), partial(best, column="test_loss", what="epoch")
    )
    assert (epoch.value, epoch.rounding) == (90, 0.5)
    share = replace(epoch, printed=".013", unit="share")
    assert (share.value, share.rounding) == (0.013, pytest.approx(0.0005))


def number_measured_as(values, printed, unit="loss", statistic="run"):
    """A number whose measure gives these values, a seed each, and records of as many seeds."""
    runs = study_runs(seeds=range(len(values)), only=["chosen"])
    number = PublishedNumber(
        "chosen", "", printed, unit, Config(), lambda _, c: values[c.seed], statistic
    )
    return number, Records(runs)


@pytest.mark.parametrize(
    ("values", "printed", "verdict"),
    [
        # t(0.995, 2) = 9.925: 1.005 ± 0.005 · 9.925 √(4/3) = 1.005 ± 0.0573
        ([1.000, 1.005, 1.010], "1.06", "inside"),
        ([1.000, 1.005, 1.010], "1.07", "outside"),
        # ± 2.576 at any n, a tenth of 13 is what matters: no number of seeds would tell
        ([1.0, 2.0, 3.0], "13.0", "undecidable"),
        # ± 0.115 at 3 seeds, 0.026 at any number, 0.11 matters
        ([1.00, 1.01, 1.02], "1.05", "can't tell"),
        ([1.0, 2.0, 3.0], "14.0", "outside"),
        ([0.0134, 0.0134], ".013", "can't tell"),  # no spread at all says nothing of it
        ([1.0], "1.0", "not decided"),
        # two seeds are judged: 1 ± t(0.995, 1) √1.5 · 0.00001414 = 1 ± 0.0011
        ([0.99999, 1.00001], "1.001", "inside"),
        ([0.99999, 1.00001], "1.002", "outside"),
        # from 0.947749 to 1.062351: a number stands for all that round to it
        ([1.00005, 1.00505, 1.01005], "0.9477", "inside"),
        ([1.00005, 1.00505, 1.01005], "0.9476", "outside"),
        ([1.00005, 1.00505, 1.01005], "1.0624", "inside"),
        ([1.00005, 1.00505, 1.01005], "1.0625", "outside"),
        ([None, None], "1.0", "no runs"),
        ([None, 1.000, 1.005, 1.010], "1.06", "inside"),
    ],
)
def test_the_verdict_on_a_run(values, printed, verdict):
    assert judging.judge(*number_measured_as(values, printed)).verdict == verdict


def test_beside_a_verdict_stands_how_sharp_it_is():
    found = judging.judge(*number_measured_as([1.000, 1.005, 1.010], "1.02"))
    assert found.half_width == pytest.approx(0.0573, abs=1e-4)
    assert found.z_score == pytest.approx(3.0)
    undetected = 0.0573 + 0.015 + 0.005  # downwards, and rounded
    assert found.largest_undetected_error == pytest.approx(undetected, abs=1e-4)
    outside = judging.judge(*number_measured_as([1.000, 1.005, 1.010], "1.07"))
    assert outside.largest_undetected_error is None
    single = judging.judge(*number_measured_as([1.0], "1.0"))
    assert (single.half_width, single.sd, single.n) == (None, None, 1)
    skewed = replace(found, interval=(found.mean - 3, found.mean + 1))
    assert skewed.half_width == pytest.approx(3)
    assert judging.half_width(2.0, (1.0, 5.0)) == 3


def test_what_can_never_be_told_says_so_and_what_can_says_how():
    """At infinitely many seeds the interval of one run is 2.575829 sds to either side."""
    found = judging.judge(*number_measured_as([1.0, 2.0, 3.0], "13.0"))
    assert (found.limit, found.seeds_needed) == (pytest.approx(2.575829), None)
    number, records = number_measured_as([1.00, 1.01, 1.02], "1.05")
    found = judging.judge(number, records)
    assert (found.verdict, found.limit) == ("can't tell", None)

    def half_width(n):
        return prediction_interval([1.00, 1.01, 1.02], 0.99, n=n)[1] - 1.01

    limit = judging.LOSS * 1.05 - number.rounding  # an error that matters
    assert half_width(found.seeds_needed) <= limit < half_width(found.seeds_needed - 1)
    # of five normal values the sd is less than half of the true one in more than 0.5 % of cases
    scatter = judging.judge(*number_measured_as([1.0, 1.1, 1.2] * 9, "0.1", statistic="sd"))
    assert (scatter.verdict, scatter.limit, scatter.z_score) == ("undecidable", None, None)
    # an interval that is only just narrow enough at any number of seeds needs very many
    many = judging.judge(*number_measured_as([2.4, 2.5, 2.6], "2.57600"))
    assert (many.verdict, many.seeds_needed) == ("can't tell", judging.MAX_SEEDS)
    assert judging.MAX_SEEDS == 10_000


@pytest.mark.parametrize(("unit", "end"), [("share", 1.0), ("accuracy", 1.0), ("epoch", 100.0)])
def test_an_interval_ends_where_its_unit_ends(unit, end):
    near = [end, end - end / 50, end - end / 25]
    low, high = judging.judge(*number_measured_as(near, "1", unit)).interval
    assert low < min(near) < high == end
    low, high = judging.judge(*number_measured_as([0.01, 0.001, 0.0], ".01", "share")).interval
    assert (low, high) == (0.0, pytest.approx(high))
    low, high = judging.judge(*number_measured_as([10, 11, 14], "9", "epoch")).interval
    assert (low, high) == (1, 36)  # 11.67 ± 23.9, cut and rounded outwards


def test_a_shares_interval_is_of_its_arcsine():
    angles = [0.50, 0.51, 0.53]
    shares = [math.sin(angle) ** 2 for angle in angles]
    found = judging.judge(*number_measured_as(shares, ".24", "share"))
    ends = [math.sin(end) ** 2 for end in prediction_interval(angles, 0.99)]
    assert found.interval == pytest.approx(ends)


def test_another_rows_number_is_noticed_where_the_rows_differ(records):
    found = numbers(EXPERIMENTS)
    noticed, tried = judging.swaps(found, records)
    assert 0 < noticed < tried == 20 * 4 - 2  # two of the epochs are printed alike
    swapped = [
        replace(number, printed=other.printed)
        for number in found
        for other in found
        if number.kind and number.kind == other.kind and number.printed != other.printed
    ]
    verdicts = [judging.judge(number, records).verdict for number in swapped]
    assert noticed == verdicts.count("outside")
    assert judging.swaps([n for n in found if not n.kind], records) == (0, 0)


def test_a_claims_share_of_seeds_has_an_interval(records):
    (turns_up,) = [c for c in claims(EXPERIMENTS) if c.text == "λ = 0 turns up"]
    low, high = turns_up.judge(records)["confidence_interval"]
    assert (low, high) == (pytest.approx(0.025 ** (1 / 3)), 1.0)  # 3 of 3: Clopper and Pearson
    assert turns_up.judge(Records())["confidence_interval"] is None


def test_a_mean_or_an_sd_is_of_five_runs():
    values = [1.0, 2.0, 4.0, 4.5]
    for statistic in ("run", "mean", "sd"):
        expected = prediction_interval(values, 0.99, statistic, 5)
        assert judging.interval(values, statistic=statistic) == expected


# --- claims, the honest protocol, the report ---


def changed(records, config, column, value):
    """The records with one column of one config's rows replaced, for every seed."""

    def one(run):
        if run.config.replace(seed=0) != config:
            return run
        return replace(run, rows=[{**row, column: value(row)} for row in run.rows])

    new = Records(map(one, records.runs.values()))
    new.templates = records.templates
    return new


def test_a_claim_holds_and_stops_to_hold_when_the_curve_changes(records):
    (turns_up,) = [c for c in claims(EXPERIMENTS) if c.text == "λ = 0 turns up"]
    (none,) = turns_up.configs
    assert turns_up.judge(records)["verdict"] == "holds in 3 of 3"
    flat = changed(records, none, "test_loss", lambda row: 0.06)
    assert turns_up.judge(flat)["verdict"] == "holds in 0 of 3"
    assert turns_up.judge(flat)["values"] == [1.0, 1.0, 1.0]


def test_templates_in_three_numbers():
    kernel = np.zeros((28, 28, 10))
    kernel[14, 14], kernel[0, 0] = 1.0, 3.0  # one lit pixel inside, a stronger one at the corner
    found = template_summary({"layer1": {"kernel": kernel.reshape(784, 10), "bias": np.zeros(10)}})
    assert found["border"] == 3.0
    assert found["size"] == pytest.approx(math.sqrt(10 / 784))
    # steps: 4 of 1 around the pixel, 2 of 3 at the corner, among 2 · 27 · 28
    assert found["roughness"] == pytest.approx(math.sqrt(22 / 1512) / found["size"])


def held_run(config, validation, test):
    run = study_runs(seeds=(0,), only=["chosen"])[0]
    rows = [
        {"epoch": i, "validation_loss": v, "validation_accuracy": 1 - v, "test_loss": t,
         "test_accuracy": 1 - t}
        for i, (v, t) in enumerate(zip(validation, test, strict=True), start=1)
    ]  # fmt: skip
    run = with_header(run, config=config.replace(epochs=len(rows)))
    return replace(run, rows=rows)


def test_validation_chooses_and_the_test_set_is_read_there():
    a, b = (Config(validation=10, hidden=(width,), epochs=3) for width in (4, 8))
    held = Records([held_run(a, [0.5, 0.2, 0.3], [0.6, 0.4, 0.1]),
                    held_run(b, [0.4, 0.4, 0.4], [0.3, 0.3, 0.3])])  # fmt: skip
    loss, accuracy = protocol.compare(held, [a, b])
    of_a = list(a.hidden), a.l2, a.validation
    assert loss.chosen_on_validation == protocol.Choice(*of_a, 2, 0.4)
    assert loss.chosen_on_test == protocol.Choice(*of_a, 3, 0.1)
    assert loss.optimism == pytest.approx(0.3)
    assert accuracy.chosen_on_validation.epoch == 2
    assert protocol.compare(held, [a, b.replace(hidden=(9,))]) == []  # a run is missing
    run = held.runs[a]
    rows = [{key: row[key] for key in ("epoch", "test_loss", "test_accuracy")} for row in run.rows]
    assert protocol.compare(Records([replace(run, rows=rows)]), [a]) == []  # no validation


def test_the_document_and_its_page_say_the_same(records):
    found = study_report.document(
        EXPERIMENTS, {"jax": records}, warning=None, command="mnist-fn study", machine="m"
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    page = study_tables.page(found)
    for one in found["numbers"]:
        mean, sd = one["ours"]["jax"]["mean"], one["ours"]["jax"]["sd"]
        shown = spread(mean, sd, one["unit"]) if one["statistic"] != "sd" else f"{sd:.5f}"
        assert f"| {one['what']} | " in page
        assert shown in page
    counts = study_report.tally(found)["jax"]
    assert sum(counts.values()) == len(found["numbers"])
    assert page.count("**outside**") == counts["outside"]
    assert found["is_full_study"] is True
    quick = study_report.document(
        EXPERIMENTS, {}, warning=study_report.QUICK_RUN, command="", machine=""
    )
    assert quick["is_full_study"] is False
    assert study_tables.page(quick).count("NOT THE STUDY") == 2  # above and below the tables
    assert "Not finished" not in page
    ended = study_tables.page({**found, "diverged": ["a: diverged"], "given_up": ["b: given up"]})
    assert "## Not finished\n\n- a: diverged\n- b: given up\n\n" in ended


def test_a_document_of_before_says_what_it_said(records):
    """Under the keys of schema 2, at every depth."""
    found = study_report.document(EXPERIMENTS, {"jax": records}, warning=None)
    before = {new: old for old, new in study_report.OLD_KEYS.items()}

    def as_written(document):
        if isinstance(document, list):
            return [as_written(value) for value in document]
        if not isinstance(document, dict):
            return document
        return {before.get(key, key): as_written(value) for key, value in document.items()}

    old = json.loads(json.dumps(as_written(found)))
    assert "printed" in old["numbers"][0]
    assert "sds" in old["numbers"][0]["ours"]["jax"]
    assert study_report.current(old) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [(3e-5, "3×10⁻⁵"), (1e-4, "10⁻⁴"), (0.1, "10⁻¹"), (0.0, "0"), (2.5e-3, "2.5×10⁻³"), (1, "10⁰")],
)
def test_a_power_of_ten_is_written_as_in_print(value, text):
    assert scientific(value) == text


def test_quick_lengths_are_of_the_same_experiments():
    short = experiments(Config(), Lengths(1, 1, 1, 2))
    assert short.keys() == experiments(Config(), FULL).keys()
    assert max(c.epochs for one in short.values() for c in one.configs) == 2
