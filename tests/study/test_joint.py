"""The joint verdict: right about studies drawn from ours, and about one that is not."""

from dataclasses import replace

import numpy as np
import pytest

from mnist_fn import Config
from mnist_fn.shared.evaluation import worst_confusions
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study import joint
from mnist_fn.shared.study.experiments import experiments
from mnist_fn.shared.study.published import PublishedNumber, numbers
from tests.support.synthetic import study_runs, with_header

EXPERIMENTS = experiments(Config())
SHALLOW = EXPERIMENTS["selection"].configs[0]


def normal_numbers(values, printed, runs=1, config=SHALLOW, experiment="selection"):
    """Numbers of some published runs, each measured as a column of values [seeds, numbers]."""
    return [
        PublishedNumber(experiment, f"number {column}", text, "epoch", config,
               lambda _, config, column=column: values[config.seed, column],
               run=f"run {run}")
        for run in range(runs)
        for column, text in enumerate(printed[run])
    ]  # fmt: skip


def of_seeds(n):
    return Records(study_runs(seeds=range(n), only=["chosen"]))


def test_every_number_of_a_run_is_in_its_group():
    groups = joint.groups(numbers(EXPERIMENTS))
    sizes = {(g.experiment, g.config.l2, g.config.model, len(g.runs), len(g.runs[0]))
             for g in groups}  # fmt: skip
    assert sizes == {
        ("width-depth", 0.0, "linear", 1, 1),
        ("selection", 0.0, "shallow", 5, 2),
        ("selection", 0.0, "deep", 5, 2),
        ("chosen", 0.0, "shallow", 1, 18),
        ("l2", 3e-3, "shallow", 1, 4), ("l2", 1e-3, "shallow", 1, 4),
        ("l2", 3e-4, "shallow", 1, 4), ("l2", 3e-5, "shallow", 1, 4),
        ("l2", 0.0, "shallow", 1, 5),
    }  # fmt: skip
    named = [n.what for g in groups for run in g.runs for n in run if n.confusion]
    assert (len(named), named[0]) == (7, "9 → 4")


@pytest.fixture
def draws(monkeypatch):
    monkeypatch.setattr(joint, "DRAWS", 199)


def test_a_stand_ins_largest_confusions_are_its_own():
    records = of_seeds(3)
    chosen = [n for n in numbers(EXPERIMENTS) if n.experiment == "chosen"]
    for seed in range(3):
        own = joint.with_own_confusions(chosen, seed, records)
        matrix = records.runs[chosen[0].config.replace(seed=seed)].confusion_matrix
        shares = [one.share for one in worst_confusions(matrix, 7)]
        assert [n.of_seed(records, seed) for n in own if n.confusion] == shares
        others = [n for n in own if not n.confusion]
        assert others == [n for n in chosen if not n.confusion]
    by_name = {group.experiment: group for group in joint.groups(numbers(EXPERIMENTS))}
    sample = joint.sample_of(by_name["chosen"], records)
    rows = joint._rows(joint.with_own_confusions(chosen, 1, records), range(3), records)
    assert (sample.as_stand_in[1] == rows).all()
    assert (sample.as_stand_in[1] != sample.ours).any()


def test_a_p_value_is_a_rank():
    statistics = np.array([[2.0], [1.0], [2.0], [3.0], [4.0]])
    # of 2: the stand-ins 2, 3 and 4 are as far, and itself; each stand-in counts itself
    assert joint.p_values(statistics).ravel() == pytest.approx([4 / 5, 1, 3 / 4, 2 / 4, 1 / 4])


def test_a_distance_by_hand():
    """One number: mean 2 of ours, variance 1 and rounding; away by 3, of 1 run and 3 seeds."""
    ours, rounding = np.array([[1.0], [2.0], [3.0]]), np.array([0.5])
    distance, scatter = joint.compare(np.array([[5.0]]), ours, rounding)
    variance = 1 + 0.25 / 3
    assert (distance, scatter) == (pytest.approx(9 / variance / (1 + 1 / 3)), 0.0)
    group = np.array([[4.0], [6.0]])
    distance, scatter = joint.compare(group, ours, rounding)
    assert distance == pytest.approx(9 / variance / (1 / 2 + 1 / 3))
    assert scatter == pytest.approx(np.log(2 / variance))
    two = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert joint.shrunk_covariance(two) == pytest.approx(np.array([[1, 0.5], [0.5, 1]]))


def test_scales():
    assert joint.on_scale("loss", np.e) == pytest.approx(1)
    assert joint.on_scale("share", 0.25) == pytest.approx(np.pi / 6)
    assert joint.on_scale("accuracy", 1.0) == pytest.approx(np.pi / 2)
    assert joint.on_scale("epoch", 17) == 17
    assert joint.on_scale("share", 1.2) == pytest.approx(np.pi / 2)  # a rounded one may be beyond
    assert joint.on_scale("share", -0.1) == 0


@pytest.mark.parametrize(
    ("unit", "printed", "rounding"),
    [
        ("epoch", "17", 0.5),
        ("loss", "0.25", (np.log(0.255) - np.log(0.245)) / 2),
        ("share", ".50", (np.arcsin(np.sqrt(0.505)) - np.arcsin(np.sqrt(0.495))) / 2),
        ("loss", "0.00", (np.log(0.005) - np.log(1e-9)) / 2),
    ],
)
def test_half_a_digit_on_the_scale(unit, printed, rounding):
    (number, *_) = normal_numbers(np.zeros((1, 1)), [["1"]])
    number = replace(number, unit=unit, printed=printed)
    assert joint._rounding_on_scale(number) == pytest.approx(rounding)


def test_the_rule_has_the_constants():
    assert (joint.DRAWS, joint.SHRINKAGE, joint.MIN_SEEDS) == (999, 0.5, 4)
    assert "999 times" in joint.RULE
    assert "shrunk by 50%" in joint.RULE


def test_a_distance_of_two_numbers_and_three_runs_by_hand():
    """Independent numbers of variance 1: squared distances are averaged over numbers and runs."""
    ours = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 2.0], [2.0, 3.0]])
    variance, no_rounding = 2 / 3, np.zeros(2)
    assert joint.shrunk_covariance(ours) == pytest.approx(np.diag([variance] * 2))
    group = np.array([[5.0, 2.0], [5.1, 2.0], [4.9, 2.0]])
    distance, scatter = joint.compare(group, ours, no_rounding)
    assert distance == pytest.approx(9 / variance / 2 / (1 / 3 + 1 / 4))
    assert scatter == pytest.approx(abs(np.log(0.02 / variance / 2 / 2)))
    _, least = joint.compare(np.array([[5.0, 2.0]] * 3), ours, no_rounding)
    assert least == pytest.approx(-np.log(1e-12))  # no scatter at all


def test_what_a_verdict_says_of_its_groups(draws):
    """Numbers, seeds and the least p: of one group as many stand-ins as drew the farthest seed."""
    config = SHALLOW.replace(l2=1e-3)
    ours = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 100])[:, None]
    several = normal_numbers(ours, [["3"]])
    runs = study_runs(seeds=range(9), only=["chosen"])
    verdict = joint.judge_jointly(several, Records(runs))["selection"]
    drawn = np.random.default_rng(0).integers(9, size=joint.DRAWS)
    assert verdict.least_p == np.sum(drawn == 8) / joint.DRAWS
    assert (verdict.groups, verdict.numbers, verdict.seeds) == (1, 1, (9, 9))

    several += [replace(number, config=config, experiment="l2",
                        measure=lambda _, config: ours[config.seed, 0] if config.seed < 7 else None)
                for number in several]  # fmt: skip
    verdicts = joint.judge_jointly(several, Records(runs))
    assert verdicts["l2"].seeds == (7, 7)
    whole = verdicts[joint.WHOLE_STUDY]
    assert (whole.groups, whole.numbers, whole.seeds) == (2, 2, (7, 9))
    assert whole.least_p == 1 / (joint.DRAWS + 1)


def test_a_seed_that_lacks_a_number_is_left_out(draws):
    ours = np.arange(18.0).reshape(9, 2)
    first, second = normal_numbers(ours, [["3", "4"]])
    second = replace(
        second, measure=lambda _, config: ours[config.seed, 1] if config.seed < 8 else None
    )
    assert joint.judge_jointly([first, second], of_seeds(9))["selection"].seeds == (8, 8)


def test_five_seeds_are_enough_for_one_run(draws):
    ours = np.arange(5.0)[:, None]
    assert joint.judge_jointly(normal_numbers(ours, [["1"]]), of_seeds(5))["selection"].p == 1.0


def test_a_single_runs_stand_ins_have_numbers_of_their_own(draws):
    """A seed as a stand-in is compared with the others in its own largest confusions."""
    ours = np.arange(6.0)[:, None]
    as_stand_in = [ours * (seed + 1) + seed**2 for seed in range(6)]
    sample = joint.Sample(np.array([[3.0]]), np.array([0.5]), ours, as_stand_in)
    statistics = joint.statistics_of(sample, np.random.default_rng(0))
    expected = [joint.compare(sample.published, ours, sample.rounding)]
    for seed in np.random.default_rng(0).integers(6, size=joint.DRAWS):
        stand_in = as_stand_in[seed]
        others = np.delete(stand_in, seed, axis=0)
        expected.append(joint.compare(stand_in[[seed]], others, sample.rounding))
    assert statistics == pytest.approx(np.array(expected))


# --- draws by the hundred: after what is worked out by hand ---


def test_a_study_drawn_from_ours_has_any_p_value(draws):
    """Of 40 studies of five runs drawn from the same distribution, p is below 0.2 in about 8:
    at most 16, three of the binomial's sds more. One moved by 3 sds is found in nine of ten."""
    rng = np.random.default_rng(1)
    records, p = of_seeds(16), []
    shifted = []
    for _ in range(40):
        mix = np.array([[1.0, 0.8], [0.0, 0.6]])
        ours = 1000 + 100 * rng.standard_normal((16, 2)) @ mix
        theirs = 1000 + 100 * rng.standard_normal((5, 2)) @ mix
        for away, found in ((0, p), (300, shifted)):
            printed = [[f"{value - 1 + away:.0f}" for value in run] for run in theirs]
            verdicts = joint.judge_jointly(normal_numbers(ours, printed, 5), records)
            found.append(verdicts["selection"].p)
    assert sum(one < 0.2 for one in p) <= 16
    assert sum(one < 0.2 for one in p) >= 2
    assert max(p) > 0.7
    assert sum(one < 0.05 for one in shifted) >= 36


def test_numbers_off_together_are_found_where_each_alone_is_not(draws):
    """Two numbers that go together: one above and one below is rare though neither is."""
    rng = np.random.default_rng(0)
    together = rng.standard_normal(40)
    ours = 1000 + 100 * np.stack([together, together + 0.05 * rng.standard_normal(40)], axis=1)
    apart = joint.judge_jointly(normal_numbers(ours, [["1139", "859"]]), of_seeds(40))
    same = joint.judge_jointly(normal_numbers(ours, [["1139", "1139"]]), of_seeds(40))
    assert apart["selection"].p < 0.05 < same["selection"].p


def test_runs_that_scatter_otherwise_are_found(draws):
    rng = np.random.default_rng(0)
    ours = 1000 + 100 * rng.standard_normal((30, 1))
    center = round(float(ours.mean()))
    for spread, found in ((1, True), (100, False), (700, True)):
        printed = [[str(center - 1 + round(spread * z))] for z in (-1.2, -0.5, 0.1, 0.4, 1.2)]
        verdict = joint.judge_jointly(normal_numbers(ours, printed, 5), of_seeds(30))["selection"]
        assert (verdict.p < 0.05) == found, spread


def test_few_seeds_limit_the_p_value_and_too_few_are_left_out(draws):
    ours = np.random.default_rng(0).normal(1000, 100, (9, 1))
    far = normal_numbers(ours, [["5000"]])
    verdict = joint.judge_jointly(far, of_seeds(9))["selection"]
    assert verdict.seeds == (9, 9)
    assert verdict.least_p == pytest.approx(1 / 9, abs=0.06)
    assert joint.judge_jointly(far, of_seeds(4)) == {}


def test_groups_together_find_what_each_alone_leaves_open(draws):
    rng = np.random.default_rng(0)
    ours = rng.normal(1000, 100, (30, 1))
    center = ours.mean()
    several = []
    for i in range(6):
        config = SHALLOW.replace(l2=i * 1e-3)
        printed = [[f"{center + 130:.0f}"]]
        several += normal_numbers(ours, printed, 1, config, f"experiment {i}")
    runs = [with_header(run, config=run.config.replace(l2=i * 1e-3))
            for i in range(6) for run in study_runs(seeds=range(30), only=["chosen"])]  # fmt: skip
    verdicts = joint.judge_jointly(several, Records(runs))
    assert all(verdicts[f"experiment {i}"].p > 0.05 for i in range(6))
    assert verdicts[joint.WHOLE_STUDY].p < 0.05
    assert verdicts[joint.WHOLE_STUDY].groups == 6


def test_what_prints_alike_is_no_difference(draws):
    """The linear model's plateau is printed as 0.26 of every seed."""
    ours = 262.96 + 0.06 * np.random.default_rng(0).standard_normal((10, 1))
    verdict = joint.judge_jointly(normal_numbers(ours, [["262"]]), of_seeds(10))["selection"]
    assert verdict.p == 1.0
