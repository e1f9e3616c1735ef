"""The pages on the study and their figures are what the evidence makes of them."""

import copy
import json

import make_results
import make_study
import pytest
import study_evidence as evidence
from pages import SECTION, renew

from figures import build
from mnist_fn.shared.config import Config
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.runs.store import Records, serves
from mnist_fn.shared.study import experiments, judging, published
from mnist_fn.shared.study import report as study_report
from tests.support.synthetic import study_runs

EXPERIMENTS = experiments.experiments(Config())


TEXTS = [page.read_text() for page in (make_study.PAGE, make_study.NUMBERS)]


def renewed(entries) -> list[str]:
    made = make_study.sections(entries)
    return [renew(text, made) for text in TEXTS]


def test_the_pages_are_what_the_evidence_makes():
    assert renewed(make_study.all_evidence()) == TEXTS


def test_every_section_is_on_a_page():
    shown = {name for text in TEXTS for _, name, _ in SECTION.findall(text)}
    assert shown == set(make_study.sections(make_study.all_evidence()))


def test_a_changed_number_is_seen():
    changed = copy.deepcopy(make_study.all_evidence())
    matrices = (e for e in changed["jax"].values() if "confusion_matrix" in e)
    entry = next(
        e for e in matrices if e["config"].get("hidden") != []
    )  # the linear ones are not shown
    entry["confusion_matrix"][9][4] += 300
    assert renewed(changed)[1] != TEXTS[1]


def test_a_reason_is_told_by_what_was_counted():
    counted = json.loads(make_study.REASONS.read_text())
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


def test_two_runs_of_one_name_that_differ_are_never_mixed():
    (name, entry), *_ = make_study.all_evidence()["jax"].items()
    where = {**entry["where"], "computed": {"cores": 2, "threads": 2, "vectors": ""}}
    alike = {name: {**entry, "where": where}}
    assert evidence.merge({name: entry}, alike) == alike
    other = {name: {**entry, "where": where, "weights": "others"}}
    with pytest.raises(InputError, match=r"1 thread; this one is of .*2 threads and differs"):
        evidence.merge({name: entry}, other)
