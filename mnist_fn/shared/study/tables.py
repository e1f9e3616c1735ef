"""The tables of a study's document, for the screen and for docs alike."""

from collections.abc import Mapping
from itertools import compress
from typing import Any

from mnist_fn.shared import statistics
from mnist_fn.shared.study import joint
from mnist_fn.shared.study.protocol import MEASURES
from mnist_fn.shared.wording import figure, l2_name, shape_name, spread

Table = tuple[list[str], list[list[str]]]  # names of the columns, rows

# Columns left to study.md where there is little room.
SHARPNESS = ("99 %", "sds away", "would pass", "judged by", "of all seeds, 95 %")


def number_table(document: Mapping[str, Any], experiment: str | None = None) -> Table:
    """Compare published numbers with ours: all, or one experiment's."""
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
            row.append(_verdict(number, ours))
        rows.append(row)
    return head, rows


def claim_table(document: Mapping[str, Any], experiment: str | None = None) -> Table:
    """List the study's statements, the number that judges each, and for how many seeds it holds."""
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
            ours = claim["ours"][name]
            values = [value for value in ours["values"] if value is not None]
            measured = f"{statistics.mean(values):.4g}" if values else ""
            if len(values) > 1:
                measured += f" ({min(values):.4g} to {max(values):.4g})"
            share = ""
            if ours["confidence_interval"]:
                low, high = ours["confidence_interval"]
                share = f"{100 * low:.0f} to {100 * high:.0f} %"
            row += [measured, ours["verdict"], share]
        rows.append(row)
    return head, rows


def joint_table(document: Mapping[str, Any]) -> Table:
    """List the joint verdict of each experiment and of the study: p on each backend."""
    backends = list(document["backends"])
    head = ["experiment", "published runs of", "numbers"]
    first_verdicts: dict[str, Any] = {}
    for backend in backends:
        head += [f"p, {backend}", "least possible", "seeds"]
        first_verdicts |= {**document["joint"][backend], **first_verdicts}
    rows = []
    # the whole study comes last
    for name in sorted(first_verdicts, key=lambda name: name == joint.WHOLE_STUDY):
        first = first_verdicts[name]
        row = [name, f"{first['groups']} configs", str(first["numbers"])]
        for backend in backends:
            verdict = document["joint"][backend].get(name)
            if verdict is None:
                row += ["", "", "too few"]
                continue
            low, high = verdict["seeds"]
            seeds = f"{low}" if low == high else f"{low} to {high}"
            row += [f"{verdict['p']:.3f}", f"{verdict['least_p']:.3f}", seeds]
        rows.append(row)
    return head, rows


def honest_table(document: Mapping[str, Any]) -> Table:
    """List what each choice gives on the test set, and the optimism between them."""
    head = ["backend", "measure", "seeds", "chosen on validation", "chosen on test", "optimism"]
    rows = []
    for backend, comparisons in document["honest"].items():
        for measure in MEASURES:
            honest, on_test, optimism = [], [], []
            for comparison in comparisons:
                if comparison["measure"] == measure:
                    honest.append(comparison["chosen_on_validation"]["test"])
                    on_test.append(comparison["chosen_on_test"]["test"])
                    optimism.append(comparison["optimism"])
            if honest:
                row = [backend, f"test {measure}", str(len(honest))]
                for values in (honest, on_test, optimism):
                    sd = statistics.standard_deviation(values)
                    row.append(spread(statistics.mean(values), sd, measure))
                rows.append(row)
    return head, rows


def choice_table(document: Mapping[str, Any]) -> Table:
    """List which run and epoch each seed chose."""
    head = ["backend", "seed", "by", "validation chose", "the test set would have"]
    rows = []
    for backend, comparisons in document["honest"].items():
        for comparison in comparisons:
            row = [backend, str(comparison["seed"]), comparison["measure"]]
            for side in ("chosen_on_validation", "chosen_on_test"):
                choice = comparison[side]
                name = shape_name(tuple(choice["hidden"]))
                row.append(f"{name}, {l2_name(choice['l2'])}, epoch {choice['epoch']}")
            rows.append(row)
    return head, rows


def without(table: Table, *names: str) -> Table:
    """Return a table without the columns of these names, where it has them."""
    head, rows = table
    is_kept = [name not in names for name in head]
    return list(compress(head, is_kept)), [list(compress(row, is_kept)) for row in rows]


def markdown(table: Table) -> str:
    """Return a table in Markdown."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(document: Mapping[str, Any]) -> str:
    """Return the whole document in Markdown: what `study.md` holds."""
    warning = [f"**{document['warning']}**"] if document["warning"] else []
    source = [f"`{document['command']}`", document["machine"]]
    for name, summary in document["backends"].items():
        seeds = ", ".join(map(str, summary["seeds"]))
        source.append(f"{name}: {summary['runs']} runs of seeds {seeds}")
    parts = ["# The study", *warning, "; ".join(source) + "."]
    if lines := unfinished(document):
        parts += ["## Not finished", "- " + "\n- ".join(lines)]
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
    """Return a line for each run that did not come to its end."""
    return [*document.get("diverged", ()), *document.get("failed", document.get("given_up", ()))]


def published(number: Mapping[str, Any]) -> str:
    """Return a published number in its unit, as text."""
    if number["unit"] == "epoch":
        return f"{number['published']:.0f}"
    if number["unit"] == "accuracy":
        return figure(number["published"], "accuracy")
    return number["published_text"]


def ours_of(number: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Return our mean ± sd over seeds for a published number, as text."""
    if not ours["n"]:
        return ""
    if number["statistic"] == "sd":
        return figure(ours["sd"], number["unit"])
    return spread(ours["mean"], ours["sd"], number["unit"])


def _sharpness(number: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the interval's half-width, how many sds the published number is away, and its
    largest error that would still have been inside."""
    undetected = figure(ours["largest_undetected_error"], number["unit"])
    if number["statistic"] == "sd" or ours["interval"] is None:
        return "", "", undetected
    away = "" if ours["z_score"] is None else f"{ours['z_score']:+.1f}"
    return f"± {figure(ours['half_width'], number['unit'])}", away, undetected


def _verdict(number: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    if ours["verdict"] == "undecidable":
        limit = figure(ours["limit"], number["unit"])
        return f"undecidable: ± {limit} at any n" if limit else "undecidable at any n"
    if ours["verdict"] == "can't tell" and ours["seeds_needed"]:
        return f"can't tell below about {ours['seeds_needed']} seeds"
    if ours["verdict"] != "outside":
        return ours["verdict"]
    low, high = ours["interval"]
    return f"**outside** {figure(low, number['unit'])} to {figure(high, number['unit'])}"
