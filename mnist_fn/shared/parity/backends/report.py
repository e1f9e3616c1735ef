"""What ladders between two backends say, in words, from the documents that they are kept as."""

from collections.abc import Iterator, Sequence
from typing import Any

from mnist_fn.shared.parity.levels import OPTIMIZERS, Plan

Ladder = dict[str, Any]  # one of `levels.climb_all`
Line = tuple[str, str]  # the text, and how it is to stand out: "", "strong", "weak", "good", "bad"

HELD, DIFFERING = 8, 6  # checks that are listed by name


def name_of(ladder: Ladder) -> str:
    """`shallow, adam+l2, float64`."""
    return ", ".join(ladder[part] for part in ("model", "optimizer", "precision"))


def lines(plan: Plan, ladders: Sequence[Ladder]) -> Iterator[Line]:
    """The limits of a pass, each failure's cause and figures, the verdict."""
    yield from limits(plan, ladders)
    yield from failures(ladders)
    yield verdict(plan, ladders)


def limits(plan: Plan, ladders: Sequence[Ladder]) -> Iterator[Line]:
    """What a pass does not say."""
    if "float64" not in plan.precisions and all(ladder["passed"] for ladder in ladders):
        yield (
            "float32 alone: gross errors would have been seen, and no others; the tight gate is "
            "--precision float64",
            "",
        )
    missing = [name for name in OPTIMIZERS if name not in plan.optimizers]
    if missing:
        yield f"not climbed: {', '.join(missing)} (--optimizer {','.join(OPTIMIZERS)})", ""


def failures(ladders: Sequence[Ladder]) -> Iterator[Line]:
    """The cause of each failure in a sentence, once for all ladders that have it; then numbers."""
    failed = [ladder for ladder in ladders if not ladder["passed"]]
    causes: dict[str, list[str]] = {}
    for ladder in failed:
        diagnosis = ladder["diagnosis"]
        cause = "; ".join(f"{finding['side']}: {_cause(finding)}" for finding in diagnosis["found"])
        precision = f", sought in {diagnosis['sought_in']}" if diagnosis["sought_in"] else ""
        causes.setdefault(cause or diagnosis["sentence"], []).append(name_of(ladder) + precision)
    for cause, names in causes.items():
        yield f"\nWhy: {cause} (in {'; '.join(names)})", "strong"
    for ladder in failed:
        for finding in ladder["diagnosis"]["found"]:
            start = f" from {finding['from']}" if finding["from"] else ""
            yield f"\n{name_of(ladder)}: {finding['side']}{start}: {finding['sentence']}", ""
        yield from _figures(ladder)


def verdict(plan: Plan, ladders: Sequence[Ladder]) -> Line:
    """The last line."""
    passed = sum(ladder["passed"] for ladder in ladders)
    left, right = plan.names
    agree = passed == len(ladders)
    text = f"\n{left} and {right} {'agree' if agree else 'differ'}"
    return f"{text}: {passed} of {len(ladders)} ladders hold", "good" if agree else "bad"


def _cause(finding: dict[str, Any]) -> str:
    """What a backend does, without the numbers that say so."""
    if finding["causes"]:
        return ", or ".join(cause["text"] for cause in finding["causes"])
    return f"{finding['of']} differ, and no single change explains it: {finding['pattern']}"


def _figures(ladder: Ladder) -> Iterator[Line]:
    """Every check of the failed rung that differs, in the order of the network, and what held."""
    rung = ladder["rungs"][-1]
    worst = rung["worst"]
    yield (
        f"\n{name_of(ladder)}: first difference at {rung['rung']}: {worst['what']}: "
        f"{float(worst['left']):.17g} against {float(worst['right']):.17g} ({worst['where']})",
        "",
    )
    held = []
    for check in rung["checks"]:
        if check["passed"]:
            held.append(check["what"].partition("[")[0])
            continue
        figure, bound = float(check[check["measure"]]), float(check["tolerance"])
        yield f"  {figure:.1e} {check['measure']}, bound {bound:.1e}: {check['what']}", ""
    if held:
        suffix = f" and {len(held) - HELD} more" if len(held) > HELD else ""
        yield f"  held: {'; '.join(held[:HELD])}{suffix}", "weak"
    next_rung = ladder["diagnosis"]["next_rung"]
    if next_rung:
        differing = [check["what"] for check in next_rung["checks"] if not check["passed"]]
        names = "; ".join(differing[:DIFFERING])
        parting = f"{len(differing)} of {len(next_rung['checks'])} differ: {names}"
        yield f"  {next_rung['rung']}, the rung above: {parting if differing else 'holds'}", "weak"
