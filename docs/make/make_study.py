"""Write the tables and figures of docs/study.md and docs/study-numbers.md from the evidence.

    python docs/make/make_study.py [--add FOLDER_OF_RUNS [--replace]]

With --add the finished runs of the study in the folder (`mnist-fn study`) are merged into the
evidence first, and the figures that need weights are drawn from them. It may be called again and
again while the study goes on: whatever seeds are there are used. With --replace a run that the
evidence has already, of another machine or of other versions, is replaced, and the evidence says
whether the new one has the same numbers. The README's line of the study is then written by
`make_results.py`.
"""

import argparse
import functools
from collections import Counter
from pathlib import Path
from typing import Any

import evidence_planted
import numpy as np
import planted
import scipy.stats
import study_evidence as evidence
from pages import DOCS, EVIDENCE, PICTURES, read_evidence, source, table, versions_of, write_page

from figures import build, style
from mnist_fn.shared.config import Config
from mnist_fn.shared.evaluation import row_normalized
from mnist_fn.shared.runs.folder import slug
from mnist_fn.shared.runs.run import Run
from mnist_fn.shared.runs.store import RunStore
from mnist_fn.shared.runs.trainer import load_run
from mnist_fn.shared.storage import digest_of
from mnist_fn.shared.study import experiments, joint, judging, published
from mnist_fn.shared.study import report as study_report
from mnist_fn.shared.study import tables as study_tables
from mnist_fn.shared.wording import counted

PAGE, NUMBERS = DOCS / "study.md", DOCS / "study-numbers.md"  # the story, and its numbers
EXPERIMENTS = experiments.experiments(Config())
DRAWN = ("jax", "torch")  # backends whose runs are drawn; those of the first are what is shown
PIXELS = ("templates", "worst-mistakes")  # PNG, the other figures are SVG
ROUNDING = 0.0005  # of a published share, which has three decimals
IN_README = ("l2",)  # there in dark too
ONE_BY_ONE = {  # words: the verdict that they stand for
    f"inside our {judging.LEVEL:.0%} interval, which is narrow enough to decide": "inside",
    "outside of it": "outside",
    "undecidable at any number of seeds: one run scatters too much": "undecidable",
    "not decided yet: more seeds could decide": "can't tell",
}
Evidence = dict[str, dict[str, evidence.Entry]]  # backend -> slug -> entry


def evidence_file(backend: str) -> Path:
    return EVIDENCE / f"study-{backend}.json"


def all_evidence() -> Evidence:
    found = sorted(EVIDENCE.glob("study-*.json"))
    return {path.stem.removeprefix("study-"): evidence.read(path) for path in found}


def add(folder: Path, replace: bool) -> None:
    """Merge a folder's finished runs of the study into the evidence, and draw from their weights.

    The figures that need weights are of the first seed.
    """
    firsts = experiments.needed(EXPERIMENTS.values(), [0])
    found: Evidence = {}
    for path, header in RunStore(folder, must_exist=True):
        if header.status == "finished" and header.config.replace(seed=0) in firsts:
            entry = evidence.compact(load_run(path), header, EXPERIMENTS.values())
            found.setdefault(header.backend, {})[slug(header.config, header.backend)] = entry
    for backend, more in found.items():
        file = evidence_file(backend)
        entries = evidence.read(file)
        if replace:
            entries = evidence.replaced_by(entries, more)
        entries = evidence.merge(entries, more)
        evidence.write(file, entries)
        for name in PIXELS:
            paths = [folder / one for one in drawn_from(name, entries)]
            if paths and all(path.is_dir() for path in paths):
                draw(name, backend, [load_run(path) for path in paths], entries)


def draw_from_evidence(found: Evidence) -> None:
    """Draw what needs no weights."""
    for backend, entries in found.items():
        for name in build.OF_STUDY:
            if name not in PIXELS and (own := drawn_from(name, entries)):
                runs = [evidence.restore(entry, backend) for entry in own.values()]
                draw(name, backend, runs, entries)


def draw(name: str, backend: str, runs: list[Run], entries: dict[str, evidence.Entry]) -> None:
    for theme in themes(name, backend):
        with style.themed(theme):
            figure = build.draw(build.OF_STUDY[name], runs)
            file = figure_file(name, backend, theme)
            build.save(figure, file, {"Description": stamp(name, entries)})


def themes(name: str, backend: str) -> list[str]:
    return ["light", "dark"] if name in IN_README and backend == DRAWN[0] else ["light"]


def figure_file(name: str, backend: str, theme: str = "light") -> Path:
    """`study-l2.svg`, `study-torch-l2.svg` or `study-l2-dark.svg`."""
    whose = "" if backend == DRAWN[0] else f"{backend}-"
    kind = "png" if name in PIXELS else "svg"
    return PICTURES / f"study-{whose}{build.file_name(build.OF_STUDY[name], theme, kind)}"


def drawn_from(name: str, entries: dict[str, evidence.Entry]) -> dict[str, evidence.Entry]:
    """The entries that a figure shows; none if one of its configs has no run yet."""
    found = evidence.runs_for(entries, EXPERIMENTS[build.OF_STUDY[name].experiment])
    if not build.OF_STUDY[name].weights or not found:
        return found
    first = min(evidence.config_of(entry).seed for entry in found.values())
    return {n: e for n, e in found.items() if evidence.config_of(e).seed == first}


def stamp(name: str, entries: dict[str, evidence.Entry]) -> str:
    """What a figure was drawn from, in its metadata."""
    drawn = drawn_from(name, entries)
    about = ("where", "replaced")  # no number
    seen = {run: {k: v for k, v in e.items() if k not in about} for run, e in drawn.items()}
    return f"{name} {digest_of(seen)}"


def document(found: Evidence) -> dict[str, Any]:
    """What `mnist-fn study` would say of these runs."""
    records = {backend: evidence.records(entries, backend) for backend, entries in found.items()}
    return study_report.document(EXPERIMENTS, records, warning=None)


def sections(entries: Evidence) -> dict[str, str]:
    """What stands between the page's markers, by name."""
    found = document(entries)
    made = {"rule": "\n\n".join(judging.RULE_PARAGRAPHS), "summary": summary(found, entries)}
    for name in EXPERIMENTS:
        tables = study_tables.number_table(found, name), study_tables.claim_table(found, name)
        made[name] = markdown([study_tables.without(each, "experiment") for each in tables])
    honest = [study_tables.honest_table(found), study_tables.choice_table(found)]
    made["honest"] = f"{found['protocol']}\n\n{markdown(honest)}".strip()
    for name in build.OF_STUDY:
        made[f"figure-{name}"] = pictures(name, entries)
    mistakes = planted_mistakes(entries)
    made["answer"] = answer(found, mistakes)
    made["joint"] = markdown([study_tables.joint_table(found)])
    made["joint-rule"] = found["joint_rule"]
    made["planted"] = planted_section(mistakes)
    return made | {"largest": largest(found, entries), "reasons": reasons(found)}


def planted_mistakes(entries: Evidence) -> list[planted.JudgedMistake]:
    """What the verdicts notice of planted mistakes, against the first backend's runs."""
    ours = evidence.records(entries[DRAWN[0]], DRAWN[0])
    return planted.judged_mistakes(published.numbers(EXPERIMENTS), ours)


@functools.cache
def false_alarms() -> tuple[int, int, int]:
    """What the verdict notices of runs without a mistake; see `planted.false_alarms`."""
    ours = evidence.records(all_evidence()[DRAWN[0]], DRAWN[0])
    return planted.false_alarms(published.numbers(EXPERIMENTS), ours)


def noticed(mistakes: list[planted.JudgedMistake]) -> str:
    """`6 of 10` planted mistakes."""
    return f"{sum(judged.noticed for judged in mistakes)} of {len(mistakes)}"


def _sizes(mistakes: list[planted.JudgedMistake]) -> str:
    """`8 to 24`: how many numbers a mistake is judged by."""
    sizes = [judged.numbers for judged in mistakes]
    return f"{min(sizes)} to {max(sizes)}"


def answer(found: dict[str, Any], mistakes: list[planted.JudgedMistake]) -> str:
    """The study's result for somebody who reads no further."""
    head, rows = [""], [["all published numbers together"]]
    rows += [[f"of {len(found['numbers'])} published numbers: {words}"] for words in ONE_BY_ONE]
    rows.append([f"of {len(found['claims'])} statements in words: hold for every seed"])
    for backend, counts in study_report.tally(found).items():
        head.append(backend)
        cells = [f"p = {found['joint'][backend][joint.WHOLE_STUDY]['p']:.2g}"]
        for verdict in ONE_BY_ONE.values():
            cells.append(f"{counts.get(verdict, 0)}{_seeds_needed(found, backend, verdict)}")
        cells.append(str(len(found["claims"]) - len(_exceptions(found, backend))))
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    alarms, judged, _ = false_alarms()
    lines = [
        table(head, rows),
        "",
        f"A p below {planted.ALPHA:g} would say that the published numbers are not one more draw "
        "from our runs. A larger p says only that no such difference was seen. The same kind of "
        f"verdict, on the {_sizes(mistakes)} numbers of some runs with a mistake that we planted, "
        f"noticed {noticed(mistakes)} mistakes, and {alarms} of {judged} runs without one "
        f"(expected: {planted.ALPHA * judged:.1f}). {_low(found)}",
    ]
    outside_somewhere = []
    for number in found["numbers"]:
        backends = [name for name, ours in number["ours"].items() if ours["verdict"] == "outside"]
        if backends:
            outside_somewhere.append(f"*{number['what']}* on {' and '.join(backends)}")
    if outside_somewhere:
        lines.append(f"Outside the interval: {', '.join(outside_somewhere)}.")
    return "\n".join(lines)


def _seeds_needed(found: dict[str, Any], backend: str, verdict: str) -> str:
    """How many seeds would decide the numbers of a verdict that more seeds can decide."""
    needed = [
        ours["seeds_needed"]
        for ours in (number["ours"][backend] for number in found["numbers"])
        if ours["verdict"] == verdict and ours["seeds_needed"]
    ]
    if not needed:
        return ""
    least, most = min(needed), max(needed)
    return f" (at {least:,} seeds)" if least == most else f" (at {least:,} to {most:,} seeds)"


def _low(found: dict[str, Any]) -> str:
    """The single experiments of which p is low, and how many would be by chance."""
    low: list[str] = []
    able = 0  # experiments whose p could come out low
    for backend, verdicts in found["joint"].items():
        for name, verdict in verdicts.items():
            if name != joint.WHOLE_STUDY:
                able += verdict["least_p"] < planted.ALPHA
                if verdict["p"] < planted.ALPHA:
                    low.append(
                        f"*{name}* on {backend} (p = {verdict['p']:.2g}; the least that its seeds "
                        f"could give is {verdict['least_p']:.2g})"
                    )
    return (
        f"Each experiment is also judged by itself, on each backend. Of the {able} verdicts that "
        f"can be below {planted.ALPHA:g}, {planted.ALPHA * able:.1f} would be by chance; below it: "
        f"{', '.join(low) or 'none'}."
    )


def planted_section(mistakes: list[planted.JudgedMistake]) -> str:
    """The power of the verdicts: what they notice of planted mistakes."""
    rows = []
    for judged in mistakes:
        p, verdict = "", "too few seeds"
        if judged.p is not None:
            p, verdict = f"{judged.p:.3f}", "yes" if judged.noticed else "no"
        outside = f"{judged.outside} of {judged.numbers}"
        rows.append([judged.mistake, judged.trained, p, verdict, outside])
    missing = planted.missing([mistake.name for mistake in evidence_planted.MISTAKES])
    alarms, runs, size = false_alarms()
    lines = [
        table(["mistake", "trained", "joint p", "noticed", "single numbers outside"], rows),
        "",
        f"{source(read_evidence('planted'), 'jax', 'python')}. *Noticed* means a joint p below "
        f"{planted.ALPHA:g}, against our JAX runs. The published study has five runs of each model "
        "of *selection*, one of *chosen* and one of each λ. Fewer runs of a mistake were trained "
        "here, which makes it harder to notice: a mistake is judged by the numbers of its own runs "
        f"({_sizes(mistakes)} of them), and the study's p by all. The verdict above doesn't "
        "exclude a mistake that was not noticed here. Runs without a mistake were judged in the "
        f"same way: each of the {runs} seeds that have it took the place of the published run of "
        "*chosen*, and the next seed that of the shallow model in *selection* "
        f"({size} numbers). The verdict noticed {alarms} of {runs}.",
    ]
    if missing:
        lines.append(f"Not trained yet, so not known: {', '.join(missing)}.")
    return "\n".join(lines)


def largest(found: dict[str, Any], entries: Evidence) -> str:
    """How often one is outside if each of our runs in turn is taken for the published one, and its
    largest confusions, as many as the study names, are held to the other seeds.
    """
    cells = [one["what"].split(" → ") for one in found["numbers"] if " → " in one["what"]]
    named = sum(true != read for true, read in cells)
    told = []
    for backend in found["backends"]:
        matrices = [
            evidence.restore(entry, backend).evaluation.confusion_matrix
            for entry in drawn_from("confusion", entries[backend]).values()
        ]
        shares = np.array([row_normalized(matrix) for matrix in matrices])
        told.append(f"{sum(map(bool, outside(shares, named)))} of {len(shares)} ({backend})")
    return (
        f"The study names {named} confusions because they are the largest of its run. Such a "
        "choice makes it likelier that one is outside. To count how often, each of our runs took "
        f"the published run's place: its own {named} largest confusions were compared with the "
        f"other seeds. Runs with at least one outside: {', '.join(told)}."
    )


def reasons(found: dict[str, Any]) -> str:
    """Of each confusion that is outside for some backend, what `evidence_reasons.py` measured."""
    measured = read_evidence("reasons")
    named = {n.what: n for n in published.numbers({"chosen": EXPERIMENTS["chosen"]})}
    rows, tested = [], []
    for number in found["numbers"]:
        what = number["what"]
        verdicts = [ours["verdict"] for ours in number["ours"].values()]
        if what in measured["counts"] and "outside" in verdicts:
            rows.append([what, *reached(named[what], measured)])
            tested.append(scatter(number, shares_at_end(named[what], measured)))
    first, last = measured["epochs"][0], measured["epochs"][-1]
    at, seeds = measured["config"]["epochs"], len(next(iter(measured["counts"].values())))
    head = [
        *["what", "published", f"after epoch {at}, {seeds} seeds", "verdict"],
        f"seeds that reach it after epoch {at}",
        f"seeds that reach it after at least one epoch of {first} to {last}",
    ]
    made = f"{source(measured, 'torch', 'python')}; threads: {measured['threads']}."
    return f"{table(head, rows)}\n\n{' '.join(tested)}\n\n{made}"


def scatter(number: dict[str, Any], shares: np.ndarray) -> str:
    """Whether the plain loop's runs scatter more than ours (Brown and Forsythe 1974)."""
    told = []
    for backend, ours in number["ours"].items():
        p = scipy.stats.levene(shares, ours["values"], center="median").pvalue
        told.append(f"{np.std(ours['values'], ddof=1):.4f} on {backend} (p = {p:.2g})")
    return (
        f"The plain loop's sd of *{number['what']}* is {np.std(shares, ddof=1):.4f}; ours is "
        f"{' and '.join(told)}, where p is of Brown and Forsythe's test that both scatter alike."
    )


def shares_at_end(number: published.PublishedNumber, measured: dict[str, Any]) -> np.ndarray:
    """A confusion's share in each run of the plain loop, after the published number of epochs."""
    true = int(number.what.partition(" ")[0])
    counts = np.array(measured["counts"][number.what])
    return counts[:, measured["epochs"].index(number.config.epochs)] / measured["examples"][true]


def reached(number: published.PublishedNumber, measured: dict[str, Any]) -> list[str]:
    """A published share, that of a plain loop, the verdict, and how many seeds had as much."""
    true = int(number.what.partition(" ")[0])
    shares = np.array(measured["counts"][number.what]) / measured["examples"][true]
    at_end = shares_at_end(number, measured)
    verdict = judging.judge_values(number, tuple(map(float, at_end)))
    as_large = shares >= number.value - number.rounding
    ended = int((at_end >= number.value - number.rounding).sum())
    ours = f"{verdict.mean:.4f} ± {verdict.sd:.4f}"
    seeds = f"{int(as_large.any(axis=1).sum())} of {len(shares)}"
    return [number.printed, ours, verdict.verdict, f"{ended} of {len(shares)}", seeds]


def outside(shares: np.ndarray, named: int) -> list[int]:
    """Of each run [n, classes, classes] how many of its `named` largest confusions are outside of
    the interval of all others, by the study's rule.
    """
    off = ~np.eye(shares.shape[1], dtype=bool)
    counts = []
    for i, own in enumerate(shares[:, off]):
        angles = np.arcsin(np.sqrt(np.delete(shares[:, off], i, axis=0)))
        ends = [judging.interval(angles[:, j]) for j in np.argsort(-own)[:named]]
        low, high = np.sin(np.clip(np.transpose(ends), 0, np.pi / 2)) ** 2
        top = np.sort(own)[::-1][:named]
        counts.append(int(((top + ROUNDING < low) | (top - ROUNDING > high)).sum()))
    return counts


def pictures(name: str, entries: Evidence) -> str:
    """A figure of the first backend's runs, and of the others' folded away below it."""
    what, shown = build.OF_STUDY[name].what, []
    for backend in DRAWN:
        if drawn_from(name, entries.get(backend, {})):
            picture = f"![{what}](pictures/{figure_file(name, backend).name})"
            title = f"<summary>the same from the {backend} runs</summary>"
            folded = f"<details>{title}\n\n{picture}\n\n</details>"
            shown.append(picture if backend == DRAWN[0] else folded)
    return "\n\n".join(shown) or f"*Not drawn yet, its runs are not all there: {what}.*"


def markdown(tables: list[study_tables.Table]) -> str:
    return "\n\n".join(table(*each) for each in tables if each[1])


def summary(found: dict[str, Any], entries: Evidence) -> str:
    """For each backend how its numbers and statements came out, and where its runs were made."""
    lines = []
    for backend in found["backends"]:
        exceptions = ", ".join(_exceptions(found, backend)) or "none"
        places = Counter(where(entry, backend) for entry in entries[backend].values())
        lines += [
            f"- **{backend}**: {study_report.outcome(found, backend)}.",
            f"  - {_holding(found, backend)}. The others: {exceptions}.",
            f"  - {len(entries[backend])} runs, by `mnist-fn study --backend {backend} --seeds n` "
            "with the n of each row, on:",
            *(f"    - {place}: {counted(places[place], 'run')}" for place in sorted(places)),
            *made_again(entries[backend]),
        ]
    return "\n".join(lines)


def made_again(entries: dict[str, evidence.Entry]) -> list[str]:
    """How many runs replace one that was made elsewhere, and how many have its numbers."""
    by_place: dict[str, list[evidence.Entry]] = {}
    for entry in entries.values():
        if "replaced" in entry:
            by_place.setdefault(entry["replaced"]["where"], []).append(entry)
    lines = []
    for place, again in sorted(by_place.items()):
        unchanged = linear = matrices = same_matrices = 0
        for entry in again:
            numbers = [key for key in evidence.NUMBERS if key in entry]
            same = entry["replaced"]["same"]
            unchanged += same == numbers
            linear += same == numbers and entry["config"].get("hidden") == []
            matrices += "confusion_matrix" in numbers
            same_matrices += "confusion_matrix" in same
        lines.append(
            f"  - {counted(len(again), 'run')} of these were made again. The first time, they "
            f"were made on {place}. All numbers came out the same in {unchanged} of {len(again)} "
            f"({linear} of these are linear models), the confusion matrix in {same_matrices} of "
            f"{matrices}."
        )
    return lines


def headline(found: dict[str, Any], mistakes: list[planted.JudgedMistake]) -> str:
    """How the study came out, in some sentences for each backend."""
    lines = []
    for backend in found["backends"]:
        counts = study_report.tally(found)[backend]
        expected = (1 - judging.LEVEL) * sum(counts.get(v, 0) for v in judging.WITH_INTERVAL)
        seeds = [number["ours"][backend]["n"] for number in found["numbers"]]
        undecided = sum(counts.values()) - counts.get("inside", 0) - counts.get("outside", 0)
        whole = found["joint"][backend][joint.WHOLE_STUDY]["p"]
        lines += [
            f"On {backend} ({min(seeds)} to {max(seeds)} seeds for each number), "
            f"{counts.get('inside', 0)} of {sum(counts.values())} published numbers lie inside our "
            f"{judging.LEVEL:.0%} prediction interval and {counts.get('outside', 0)} outside "
            f"(by chance alone about {round(expected)}).",
            f"For {undecided} the interval is too wide to decide. {_holding(found, backend)}.",
            f"All numbers together give p = {whole:.2f}: if we draw runs of our own in place of "
            f"the published ones, {round(whole, 2):.0%} of the draws lie as far from the rest of "
            "our runs as the published ones, or farther.",
        ]
    alarms, judged, _ = false_alarms()
    lines.append(
        f"The same kind of test, on the {_sizes(mistakes)} numbers of some runs with a mistake "
        f"that we planted, noticed {noticed(mistakes)} mistakes, and {alarms} of {judged} runs "
        "without one."
    )
    return "\n".join(lines)


def _holding(found: dict[str, Any], backend: str) -> str:
    """`14 of 22 statements hold for every seed (5 to 30 of them)`."""
    total = len(found["claims"])
    seeds = [len(claim["ours"][backend]["values"]) for claim in found["claims"]]
    return (
        f"{total - len(_exceptions(found, backend))} of {total} statements hold for every seed "
        f"({min(seeds)} to {max(seeds)} of them)"
    )


def _exceptions(found: dict[str, Any], backend: str) -> list[str]:
    """The study's statements that do not hold for every seed."""
    return [
        f"*{one['claim']}* ({ours['verdict']})"
        for one in found["claims"]
        if not (ours := one["ours"][backend])["values"] or ours["holding"] < len(ours["values"])
    ]


def where(entry: evidence.Entry, backend: str) -> str:
    """The machine, threads, device and versions of a run."""
    origin = entry["where"]
    threads = origin["computed"]["threads"]
    used = "threads unknown" if threads is None else counted(threads, "thread")
    versions = versions_of(origin, backend, "python")
    return f"{origin['machine']}, {used}, on {origin['device']}, {versions}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, help="folder of runs to merge into the evidence")
    parser.add_argument("--replace", action="store_true", help="runs that were made elsewhere")
    if (given := parser.parse_args()).add is not None:
        add(given.add, given.replace)
    everything = all_evidence()
    draw_from_evidence(everything)
    made = sections(everything)
    for page in (PAGE, NUMBERS):
        write_page(page, made)
