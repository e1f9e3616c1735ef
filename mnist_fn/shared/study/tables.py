"""The tables of a study's document, for the screen and for docs alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_fn.shared import statistics
from mnist_fn.shared.study import joint
from mnist_fn.shared.study.protocol import MEASURES
from mnist_fn.shared.wording import figure, l2_name, shape_name, spread

Table = tuple[list[str], list[list[str]]]  # names of the columns, rows


def number_table(document: Mapping[str, Any], experiment: str | None = None) -> Table:
    """Published numbers compared with ours: all, or one experiment's."""
    backends = list(document["backends"])
    head = ["experiment", "what", "published"]
    for name in backends:
        head += [name, "n", "99 %", "sds away", "would pass", "verdict"]
    rows = []
    for number in document["numbers"]:
        if experiment not in (None, number["experiment"]):
            continue
        row = [number["experiment"], number["what"], published(number)]
        for name in backends:
            ours = number["ours"][name]
            row += [ours_of(number, ours), str(ours["n"]), *_sharpness(number, ours)]
            row.append(_said(number, ours))
        rows.append(row)
    return head, rows


def claim_table(document: Mapping[str, Any], experiment: str | None = None) -> Table:
    """The study's statements, the number that judges each, and for how many seeds it holds."""
    backends = list(document["backends"])
    head = ["experiment", "the study says", "judged by", "holds if"]
    for name in backends:
        head += [name, "verdict", "of all seeds, 95 %"]
    rows = []
    for claim in document["claims"]:
        if experiment not in (None, claim["experiment"]):
            continue
        row = [claim["experiment"], claim["claim"], claim["number"], claim["holds_if"]]
        for name in backends:
            values = [value for value in claim["ours"][name]["values"] if value is not None]
            mean = f"{sum(values) / len(values):.4g}" if values else ""
            extent = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            share = claim["ours"][name]["confidence_interval"]
            of_all = "" if share is None else "{:.0f} to {:.0f} %".format(*(100 * s for s in share))
            row += [mean + extent, claim["ours"][name]["verdict"], of_all]
        rows.append(row)
    return head, rows


def joint_table(document: Mapping[str, Any]) -> Table:
    """The joint verdict of each experiment and of the study: p on each backend."""
    backends = list(document["backends"])
    names: list[str] = []
    for verdicts in document["joint"].values():
        names += [name for name in verdicts if name not in names]
    order = sorted(names, key=lambda name: name == joint.WHOLE_STUDY)  # the whole comes last
    head = ["experiment", "published runs of", "numbers"]
    for backend in backends:
        head += [f"p, {backend}", "least possible", "seeds"]
    rows = []
    for name in order:
        several = [document["joint"][backend].get(name) for backend in backends]
        known = next(joint_verdict for joint_verdict in several if joint_verdict)
        row = [name, f"{known['groups']} configs", str(known["numbers"])]
        for joint_verdict in several:
            if joint_verdict is None:
                row += ["", "", "too few"]
                continue
            low, high = joint_verdict["seeds"]
            seeds = f"{low}" if low == high else f"{low} to {high}"
            row += [f"{joint_verdict['p']:.3f}", f"{joint_verdict['least_p']:.3f}", seeds]
        rows.append(row)
    return head, rows


def honest_table(document: Mapping[str, Any]) -> Table:
    """What each choice gives on the test set, and the optimism between them."""
    head = ["backend", "measure", "seeds", "chosen on validation", "chosen on test", "optimism"]
    rows = []
    for backend, comparisons in document["honest"].items():
        for measure in MEASURES:
            measured = [
                comparison for comparison in comparisons if comparison["measure"] == measure
            ]
            if not measured:
                continue
            row = [backend, f"test {measure}", str(len(measured))]
            for side in ("chosen_on_validation", "chosen_on_test"):
                values = [comparison[side]["test"] for comparison in measured]
                row.append(_mean_and_sd(values, measure))
            values = [comparison["optimism"] for comparison in measured]
            rows.append([*row, _mean_and_sd(values, measure)])
    return head, rows


def choice_table(document: Mapping[str, Any]) -> Table:
    """Which run and epoch each seed chose."""
    head = ["backend", "seed", "by", "validation chose", "the test set would have"]
    rows = []
    for backend, comparisons in document["honest"].items():
        for comparison in comparisons:
            sides = (comparison["chosen_on_validation"], comparison["chosen_on_test"])
            rows.append(
                [backend, str(comparison["seed"]), comparison["measure"], *map(_choice, sides)]
            )
    return head, rows


def without(table: Table, *names: str) -> Table:
    """A table without the columns of these names; of those it lacks nothing is taken."""
    head, rows = table
    indices = [i for i, name in enumerate(head) if name not in names]
    return [head[i] for i in indices], [[row[i] for i in indices] for row in rows]


def markdown(table: Table) -> str:
    """A table in Markdown."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(document: Mapping[str, Any]) -> str:
    """The whole document in Markdown: what `study.md` holds."""
    warning = [f"**{document['warning']}**"] if document["warning"] else []
    runs = ", ".join(
        f"{name}: {summary['runs']} runs of seeds {', '.join(map(str, summary['seeds']))}"
        for name, summary in document["backends"].items()
    )
    parts = ["# The study", *warning, f"`{document['command']}`; {document['machine']}; {runs}."]
    if lines := unfinished(document):
        parts += ["## Not finished", "\n".join(f"- {line}" for line in lines)]
    if any(document["joint"].values()):
        parts += ["## All together", document["joint_rule"], markdown(joint_table(document))]
    parts += ["## Published numbers", document["rule"], markdown(number_table(document))]
    if document["claims"]:
        parts += ["## What it says in words", markdown(claim_table(document))]
    if any(document["honest"].values()):
        parts += ["## The honest protocol", document["protocol"]]
        parts += [markdown(honest_table(document)), markdown(choice_table(document))]
    return "\n\n".join([*parts, *warning]) + "\n"


def unfinished(document: Mapping[str, Any]) -> list[str]:
    """A line for each run that did not come to its end."""
    return [*document.get("diverged", ()), *document.get("failed", document.get("given_up", ()))]


def published(number: Mapping[str, Any]) -> str:
    """A published number in its unit."""
    if number["unit"] == "epoch":
        return f"{number['published']:.0f}"
    if number["unit"] == "accuracy":
        return figure(number["published"], "accuracy")
    return number["published_text"]


def ours_of(number: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Ours compared with a published number, mean ± sd over seeds."""
    if not ours["n"]:
        return ""
    if number["statistic"] == "sd":
        return figure(ours["sd"], number["unit"])
    return spread(ours["mean"], ours["sd"], number["unit"])


def _sharpness(number: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, str, str]:
    """The interval's half-width, how far the published number is away, the largest error of it
    that would still have been inside."""
    undetected = figure(ours["largest_undetected_error"], number["unit"])
    if number["statistic"] == "sd" or ours["interval"] is None:
        return "", "", undetected
    away = "" if ours["z_score"] is None else f"{ours['z_score']:+.1f}"
    return f"± {figure(ours['half_width'], number['unit'])}", away, undetected


def _said(number: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    if ours["verdict"] == "undecidable":
        limit = figure(ours["limit"], number["unit"])
        return f"undecidable: ± {limit} at any n" if limit else "undecidable at any n"
    if ours["verdict"] == "can't tell" and ours["seeds_needed"]:
        return f"can't tell below about {ours['seeds_needed']} seeds"
    if ours["verdict"] != "outside":
        return ours["verdict"]
    low, high = (figure(end, number["unit"]) for end in ours["interval"])
    return f"**outside** {low} to {high}"


def _mean_and_sd(values: Sequence[float], unit: str) -> str:
    sd = statistics.standard_deviation(values) if len(values) > 1 else None
    return spread(statistics.mean(values), sd, unit)


def _choice(side: Mapping[str, Any]) -> str:
    name = shape_name(tuple(side["hidden"]))
    return f"{name}, {l2_name(side['l2'])}, epoch {side['epoch']}"
