"""The pages on the study and their figures are what the evidence makes of them."""

import copy
import itertools

import make_results
import make_study
import numpy as np
import planted
import pytest
import study_evidence as evidence
from pages import SECTION, read_evidence, renew

from figures import build
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.store import Records, serves
from mnist_fn.shared.study import experiments, judging, published
from mnist_fn.shared.study import report as study_report
from mnist_fn.shared.study import tables as study_tables
from tests.support.synthetic import study_runs

EXPERIMENTS = experiments.experiments(Config())


TEXTS = [page.read_text() for page in (make_study.PAGE, make_study.NUMBERS)]


@pytest.fixture(scope="module")
def sections():
    return make_study.sections(make_study.all_evidence())


def test_the_pages_are_what_the_evidence_makes(sections):
    assert [renew(text, sections) for text in TEXTS] == TEXTS
    shown = {name for text in TEXTS for _, name, _ in SECTION.findall(text)}
    assert shown == set(sections)


def test_a_changed_number_is_seen(sections):
    changed = copy.deepcopy(make_study.all_evidence())
    matrices = (e for e in changed["jax"].values() if "confusion_matrix" in e)
    entry = next(
        e for e in matrices if e["config"].get("hidden") != []
    )  # the linear ones are not shown
    entry["confusion_matrix"][9][4] += 300
    found = make_study.document(changed)
    table = study_tables.without(study_tables.number_table(found, "chosen"), "experiment")
    assert study_tables.markdown(table) not in sections["chosen"]


@pytest.mark.parametrize("backend", make_study.DRAWN)
def test_the_story_is_what_the_evidence_says(backend):
    """What docs/study.md and study-numbers.md say in words of the mean over seeds."""
    records = evidence.records(make_study.all_evidence()[backend], backend)

    def curves(config, column="test_loss"):
        rows = [records.rows(config.replace(seed=seed), [column]) for seed in records.seeds]
        return np.array([[row[column] for row in run] for run in rows if run])

    linear, *hidden = EXPERIMENTS["width-depth"].configs
    lowest = {config.hidden: curves(config).min(axis=1).mean() for config in hidden}
    at = {config.hidden: curves(config).mean(axis=0).argmin() for config in hidden}
    rise = {config.hidden: (curves(config)[:, -1] / curves(config).min(axis=1)).mean()
            for config in hidden}  # fmt: skip
    widths = experiments.WIDTHS
    for wide, narrow in itertools.pairwise(widths):
        assert lowest[wide,] < lowest[narrow,]
        assert lowest[wide, wide // 2] < lowest[narrow, narrow // 2]
    for width in widths:
        assert at[width, width // 2] < at[width,]
        assert rise[width, width // 2] > rise[width,] > 1.25
    flat = curves(linear)
    assert flat.min() > 2 * max(lowest.values())
    assert flat[:, 30:].max() < 1.05 * flat.min()
    assert {round(value, 2) for value in flat[:, -50:].mean(axis=1)} == {0.26}  # as printed

    ends = {config.l2: curves(config, "train_loss")[:, -1].mean()
            for config in EXPERIMENTS["l2"].configs}  # fmt: skip
    minima = {config.l2: curves(config).min(axis=1).mean() for config in EXPERIMENTS["l2"].configs}
    assert ends[0.0] < 0.001
    assert ends[3e-3] > 0.1
    assert min(minima, key=minima.get) == experiments.CHOSEN_L2
    best = curves(Config(l2=experiments.CHOSEN_L2))
    assert (best[:, -1] / best.min(axis=1)).mean() < 1.1

    (confusion,) = [number for number in published.numbers(EXPERIMENTS) if number.what == "5 → 6"]
    ours = [confusion.of_seed(records, seed) for seed in records.seeds]
    least = confusion.value - confusion.rounding
    assert max(share for share in ours if share is not None) < least
    measured = read_evidence("reasons")
    plain = np.array(measured["counts"]["5 → 6"])[:, measured["epochs"].index(15)]
    assert np.median(plain) / measured["examples"][5] < least / 2
    assert (plain / measured["examples"][5] >= least).any()


def test_where_a_statement_fails_it_is_mostly_by_one_pair():
    found = make_study.document(make_study.all_evidence())
    missing = []
    for claim in found["claims"]:
        if claim["holds_if"].startswith("at least"):
            bound = float(claim["holds_if"].split()[-1])
            for ours in claim["ours"].values():
                missing += [bound - value for value in ours["values"] if value < bound]
    assert missing.count(1) > len(missing) / 2


def test_a_low_verdict_stands_with_what_chance_makes_of_so_many(monkeypatch):
    verdict = {"p": 0.04, "least_p": 0.03}
    found = {"joint": {"jax": {"l2": verdict, "chosen": {**verdict, "p": 0.5}, "the study": verdict,
                               "width-depth": {"p": 1.0, "least_p": 1.0}}}}  # fmt: skip
    said = make_study._low(found)
    assert "Of the 2 verdicts that can be below 0.05, 0.1 would be by chance" in said
    assert said.endswith("below it: *l2* on jax (p = 0.04; the least that its seeds could give is "
                         "0.03).")  # fmt: skip
    monkeypatch.setattr(planted, "ALPHA", 0.01)
    assert make_study._low(found).endswith("below it: none.")


def test_more_seeds_are_named_where_they_could_decide():
    verdicts = (("can't tell", 32), ("can't tell", 6186), ("inside", None))
    found = {
        "numbers": [
            {"ours": {"jax": {"verdict": verdict, "seeds_needed": seeds}}}
            for verdict, seeds in verdicts
        ]
    }
    said = make_study._seeds_needed(found, "jax", "can't tell")
    assert said == " (at 32 to 6,186 seeds)"
    assert make_study._seeds_needed(found, "jax", "inside") == ""


def test_a_reason_is_told_by_what_was_counted():
    counted = read_evidence("reasons")
    named = {n.what: n for n in published.numbers({"chosen": EXPERIMENTS["chosen"]})}
    assert set(counted["counts"]) <= set(named)
    what = "5 → 6"
    rows = counted["counts"][what]
    _, _, _, as_it_was, _ = make_study.reached(named[what], counted)
    assert as_it_was != f"0 of {len(rows)}"  # as the page says in words
    as_published = round(named[what].value * counted["examples"][5])
    for each, verdict, having in ((0, "outside", 0), (as_published, "inside", len(rows))):
        counted["counts"][what] = [[each + i % 2 for _ in row] for i, row in enumerate(rows)]
        told = make_study.reached(named[what], counted)
        assert told[2:] == [verdict, f"{having} of {len(rows)}", f"{having} of {len(rows)}"]


@pytest.mark.long
@pytest.mark.parametrize("backend", make_study.DRAWN)
def test_each_figure_was_drawn_from_this_evidence(backend):
    entries = make_study.all_evidence()[backend]
    shown = [name for name in build.OF_STUDY if make_study.drawn_from(name, entries)]
    assert shown
    for name in shown:
        for theme in make_study.themes(name, backend):
            file = make_study.figure_file(name, backend, theme)
            assert make_study.stamp(name, entries).encode() in file.read_bytes(), file.name
            page = make_study.PAGE if theme == "light" else make_results.README
            assert file.name in page.read_text()


SEEDS = {  # of each experiment at full length
    "jax": {"width-depth": 10, "templates": 5, "selection": 30, "chosen": 30, "l2": 20,
            "per-class": 30, "honest": 5},
    "torch": {"width-depth": 5, "templates": 3, "selection": 30, "chosen": 30, "l2": 10,
              "per-class": 30, "honest": 5},
}  # fmt: skip


@pytest.mark.parametrize("backend", SEEDS)
def test_the_evidence_is_as_much_as_was_promised(backend):
    configs = [evidence.config_of(entry) for entry in make_study.all_evidence()[backend].values()]
    assert set(SEEDS[backend]) == set(EXPERIMENTS)
    for name, seeds in SEEDS[backend].items():
        for asked in EXPERIMENTS[name].configs:
            own = {
                there.seed for there in configs if serves(there, asked, EXPERIMENTS[name].at_end)
            }
            assert own >= set(range(seeds)), asked


def test_every_published_number_is_judged():
    found = make_study.document(make_study.all_evidence())
    for backend, counts in study_report.tally(found).items():
        assert set(counts) <= {"inside", "outside", "undecidable", "can't tell"}, backend


def test_the_prose_has_no_numbers_of_its_own():
    prose = " ".join(SECTION.sub("", text) for text in TEXTS)
    digits = [word for word in prose.split() if any(c.isdigit() for c in word)]
    assert set(digits) <= {"2026)", "L2", "W²"}


def header(run) -> Header:
    segment = [{"backend": "jax", "first_epoch": 1}]
    return Header(run.config, "0" * 64, 784, 10, "jax", "cpu", "finished", {"jax": "1"},
                  "a machine", segment, run.seconds)  # fmt: skip


def kept(runs):
    return {str(run.config): evidence.compact(run, header(run), EXPERIMENTS.values())
            for run in runs}  # fmt: skip


def test_evidence_gives_the_verdicts_of_the_runs_it_was_made_from():
    """A figure of six digits is off by no more than 5e-6 of itself."""
    runs = study_runs(seeds=(0, 1))
    records = {
        "kept": evidence.records(evidence.merge({}, kept(runs)), "jax"),
        "jax": Records(runs),
    }
    found = study_report.document(EXPERIMENTS, records, warning=None)
    for one in found["numbers"]:
        ours, full = one["ours"]["kept"], one["ours"]["jax"]
        assert ours["verdict"] == full["verdict"] in judging.WITH_INTERVAL, one["what"]
        assert ours["values"] == pytest.approx(full["values"], rel=5e-6), one["what"]
    for one in found["claims"]:
        assert one["ours"]["kept"]["verdict"] == one["ours"]["jax"]["verdict"], one["claim"]
    assert found["honest"]["kept"]
    for ours, full in zip(found["honest"]["kept"], found["honest"]["jax"], strict=True):
        for side in ("chosen_on_validation", "chosen_on_test"):
            assert ours[side] == {**full[side], "test": pytest.approx(full[side]["test"], rel=5e-6)}


def test_evidence_is_added_piece_by_piece_and_keeps_nothing_twice():
    runs = study_runs(seeds=(0,))
    at_once, piece_by_piece = evidence.merge({}, kept(runs)), {}
    for run in sorted(runs, key=lambda run: run.config.epochs):
        piece_by_piece = evidence.merge(piece_by_piece, kept([run]))
    assert piece_by_piece == at_once
    assert evidence.merge(at_once, kept(runs)) == at_once
    selection = [str(config) for config in EXPERIMENTS["selection"].configs]
    assert not set(selection) & set(at_once)  # the longer runs have their epochs
    (chosen,) = EXPERIMENTS["chosen"].configs
    assert at_once[str(chosen)]["epochs"] == {}
    assert sum(at_once[str(chosen)]["confusion_matrix"][0]) == 100


def test_evidence_of_five_seeds_is_small_and_reads_back_as_it_was(tmp_path):
    runs = study_runs(seeds=range(5))
    entries = evidence.merge({}, kept(runs))
    evidence.write(tmp_path / "x.json", entries)
    assert evidence.read(tmp_path / "x.json") == entries
    assert (tmp_path / "x.json").stat().st_size < 400_000
    assert evidence.read(tmp_path / "none.json") == {}


def test_the_pages_pictures_stay_small():
    assert sum(path.stat().st_size for path in make_study.PICTURES.iterdir()) < 2e6


def test_a_run_made_again_replaces_the_former_and_says_whether_it_is_the_same():
    runs = kept(study_runs(seeds=(0, 1), only=["chosen"]))
    elsewhere = {**next(iter(runs.values()))["where"], "machine": "another"}
    again = {name: {**entry, "where": elsewhere} for name, entry in runs.items()}
    first, second = again
    again[second]["weights"] = "others"
    left = evidence.replaced_by(runs, again)
    assert left == {}
    merged = evidence.merge(left, again)
    numbers = list(evidence.NUMBERS)
    assert [merged[name]["replaced"]["same"] for name in (first, second)] == [numbers, numbers[:3]]
    assert merged[first]["replaced"]["where"].startswith("a machine, ")
    (said,) = make_study.made_again(merged)
    assert "2 runs of these were made again" in said
    assert "came out the same in 1 of 2 (0 of these are linear models), the confusion" in said
    assert said.endswith("confusion matrix in 2 of 2.")
    assert evidence.replaced_by(again, copy.deepcopy(again)) == again  # of the same place: kept


def test_two_runs_of_one_name_that_differ_are_never_mixed():
    (name, entry), *_ = make_study.all_evidence()["jax"].items()
    where = {**entry["where"], "computed": {"cores": 2, "threads": 2, "vectors": ""}}
    alike = {name: {**entry, "where": where}}
    assert evidence.merge({name: entry}, alike) == alike
    other = {name: {**entry, "where": where, "weights": "others"}}
    with pytest.raises(InputError, match=r"1 thread; this one is of .*2 threads and differs"):
        evidence.merge({name: entry}, other)
