"""Write the README's figures: its best run and the whole study, both from the study's evidence.

python docs/make/make_results.py
"""

import functools
from typing import Any

import make_parity
import make_study
import study_evidence as evidence
from pages import ROOT, table, write_page

from mnist_fn.shared import statistics
from mnist_fn.shared.config import Config
from mnist_fn.shared.runs import metrics
from mnist_fn.shared.runs.folder import slug
from mnist_fn.shared.runs.store import Records
from mnist_fn.shared.study import published
from mnist_fn.shared.study.experiments import CHOSEN_L2, Experiment
from mnist_fn.shared.wording import figure, l2_name

README = ROOT / "README.md"
BACKEND = "jax"
L2 = (CHOSEN_L2, 0.0)


def entries() -> dict[str, evidence.Entry]:
    """The study's runs on JAX."""
    return make_study.all_evidence()[BACKEND]


def runs_of(l2: float, those: dict[str, evidence.Entry]) -> list[list[dict[str, Any]]]:
    """The rows of each seed's run of the main job with this penalty."""
    records = Records(evidence.restore(entry, BACKEND) for entry in those.values())
    config = Config(l2=l2)
    rows = [records.rows(config.replace(seed=seed), ["test_loss"]) for seed in records.seeds]
    return [each for each in rows if each is not None]


def results(those: dict[str, evidence.Entry]) -> str:
    """A table: mean ± sd over the seeds, and the published number."""
    l2_experiment: dict[str, Experiment] = {"l2": make_study.EXPERIMENTS["l2"]}
    printed = {
        (number.config.l2, number.kind or "test_loss, last"): number
        for number in published.numbers(l2_experiment)
    }
    rows, counts = [], []
    for l2 in L2:
        runs = runs_of(l2, those)
        counts.append(f"{len(runs)} of {l2_name(l2)}")
        best = [metrics.best(rows, "test_loss") for rows in runs]
        accuracies = [metrics.best(rows, "test_accuracy")["value"] for rows in runs]
        for title, kind, values in (
            ("minimum test loss", "test_loss, loss", [lowest["value"] for lowest in best]),
            ("at epoch", "test_loss, epoch", [lowest["epoch"] for lowest in best]),
            ("maximum test accuracy", "test_accuracy, accuracy", accuracies),
            ("test loss after 100 epochs", "test_loss, last", [r[-1]["test_loss"] for r in runs]),
        ):
            center, sd = statistics.mean(values), statistics.standard_deviation(values)
            number = printed.get((l2, kind))
            theirs = "" if number is None else published_as(number)
            rows.append([f"{l2:g}", title, _spread(center, sd, kind), theirs])
    places = {make_study.where(entry, BACKEND) for entry in used(those)}
    return (
        f"{table(['λ', '', 'here', 'published'], rows)}\n\n"
        f"`mnist-fn study --only l2 --seeds n`: mean ± sd over seeds ({', '.join(counts)}), 100 "
        "epochs each. "
        f"{'; '.join(sorted(places))}."
    )


def trained() -> str:
    """What the README's `train` command ends with: the study's run of that seed, ten epochs in."""
    entry = make_study.all_evidence()[BACKEND][f"mnist-shallow-l2={CHOSEN_L2:g}-seed=0-{BACKEND}"]
    row = evidence.restore(entry, BACKEND).rows[9]
    accuracy = figure(row["test_accuracy"], "accuracy").replace(" ", "")
    run = slug(Config(l2=CHOSEN_L2, epochs=10), BACKEND)
    return f"```text\nfinal test   {row['test_loss']:.5f}    {accuracy}\nrun: runs/{run}\n```"


def used(those: dict[str, evidence.Entry]) -> list[evidence.Entry]:
    """The entries behind the table."""
    asked = [Config(l2=l2) for l2 in L2]
    return [
        entry
        for entry in those.values()
        if entry["epochs"] and evidence.config_of(entry).replace(seed=0) in asked
    ]


def published_as(number: published.PublishedNumber) -> str:
    """A published number in the README's units; "about" where the study says so."""
    if number.unit == "epoch":
        return f"{number.value:.0f}"
    text = figure(number.value, "accuracy") if number.unit == "accuracy" else number.printed
    return f"about {text}" if "about" in number.what else text


def _spread(center: float, sd: float, kind: str) -> str:
    if kind.endswith("epoch"):
        return f"{center:.0f} ± {sd:.0f}"
    if kind.endswith("accuracy"):
        return f"{100 * center:.2f} ± {100 * sd:.2f} %"
    return f"{center:.4f} ± {sd:.4f}"


def sections(those: dict[str, evidence.Entry]) -> dict[str, str]:
    """What stands between the README's markers, by name."""
    return {"trained": trained(), "results": results(those), "study": study_in_short(),
            "exceptions": make_parity.exceptions(), "bugs": make_parity.injected()}  # fmt: skip


@functools.cache
def study_in_short() -> str:
    """How the study came out."""
    found = make_study.all_evidence()
    return make_study.headline(make_study.document(found), make_study.planted_mistakes(found))


if __name__ == "__main__":
    write_page(README, sections(entries()))
