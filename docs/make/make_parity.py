"""Write docs/parity.md's tables and figure from docs/evidence/parity-*.json and from the tests.

    python docs/make/make_parity.py

The evidence is what `mnist-fn parity --level LEVEL --out docs/evidence` keeps.
"""

import json
from typing import Any

import numpy as np
import sources
from pages import (
    DOCS,
    EVIDENCE,
    PICTURES,
    read_evidence,
    renamed,
    source,
    table,
    versions_of,
    write_page,
)

from figures import build, style
from mnist_fn.shared.parity.horizon import NULL, STEPS_BETWEEN
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS
from mnist_fn.shared.parity.levels import SCHEMA
from mnist_fn.shared.storage import digest_of, read_sealed
from mnist_fn.shared.wording import control_name, counted

CONTROLS = {  # what the runs are that the frameworks are compared with
    "ulp twin": "copies of the JAX run with one weight changed in its last digit",
    "renumbered twin": "copies of either run that add in another order",
    "β₂-rounded twin": "copies of either run that add in another order, in larger steps",
    "null twin": "copies that differ by rounding alone",
    "twin": "copies of all kinds",
}
ALL_HOLD = "All claims of the ladder hold."
FAR = 5  # times as far apart as any null control run
# in evidence of before these were rungs of their own
FORMER = {"ReLU at 0": "gradients", "resuming": "step", "report": "loss and step"}
PAGE, FIGURE = DOCS / "parity.md", PICTURES / "parity-horizon.svg"


def evidence(level: str) -> dict[str, Any]:
    """Return the document of a level, rungs by their present names."""
    return sealed(f"parity-{level}")


def sealed(name: str) -> dict[str, Any]:
    """Return evidence that carries its digest, rungs by their present names."""
    document = read_sealed(EVIDENCE / f"{name}.json", SCHEMA)
    return json.loads(json.dumps(document), object_hook=renamed)


def detection_limits() -> dict[str, Any]:
    """Return what docs/make/evidence_sharpness.py measured."""
    return read_evidence("parity-sharpness")


def where(document: dict[str, Any]) -> str:
    """The command, hardware and versions of a document, in a line."""
    devices = " and ".join(dict.fromkeys(document["devices"]))
    used = versions_of(document, "jax", "optax", "torch", "python")
    line = f"`{document['command']}`; {document['machine']}, on {devices}; {used}."
    if fault := sources.known_fault(document["versions"]):
        wrong = "this may be wrong" if fault.on_path else "no backend computes what it gets wrong"
        line += f" [Known to be faulty](versions.md#known-to-be-wrong): {fault.package}; {wrong}."
    return line


def bugs() -> str:
    from tests.support.porting_bugs import BUGS

    rows = [
        [bug.name, "PyTorch" if "torch" in bug.place else "JAX", bug.rung,
         bug.named.replace("|", "\\|") or "no name: a pattern"]
        for bug in BUGS
    ]  # fmt: skip
    return table(["bug", "injected into", "found at", "named as"], rows)


def counts() -> str:
    """How many bugs and rewrites there are, and how many of them each command takes."""
    from tests.support.harmless_rewrites import QUICK_REWRITES, REWRITES
    from tests.support.porting_bugs import BUGS, QUICK

    named = sum(bool(bug.named) for bug in BUGS)
    return (
        f"There are {len(BUGS)} bugs. The ladder must name {named} of them, and describe the "
        "pattern of the other one.\n"
        f"There are also {len(REWRITES)} rewrites that change only the order "
        "of roundings; they must pass in both\nprecisions (`tests/support/harmless_rewrites.py`). "
        f"`make test` takes {len(QUICK)} bugs and {len(QUICK_REWRITES)} rewrites,\n"
        "`make test-exhaustive` takes the others."
        f"\n\n{recorded(read_evidence('exhaustive'))}"
    )


EXHAUSTIVE_TESTS = {  # what a pass of each says
    "test_a_porting_bug_is_found_at_its_rung_and_named": "bugs found at their rung and explained",
    "test_numpy_parts_from_the_broken_one_at_the_same_rung": "bugs found by NumPy at that rung",
    "test_a_harmless_rewrite_is_no_alarm": "rewrites passed, each precision counted",
    "test_what_float32_rounds_away_is_no_fault_of_a_run_in_it": "causes that float32 rounds away",
    "test_an_optimizer_of_optax_is_judged_as_it_deserves": "rules of optax judged as declared",
    "test_a_loss_of_optax_is_judged_as_it_deserves": "losses of optax judged as declared",
}


def recorded(document: dict[str, Any]) -> str:
    """How the last recorded `make test-exhaustive` came out."""
    outcomes = [
        f"{tests['passed']} of {sum(tests.values())} {EXHAUSTIVE_TESTS[name]}"
        for name, tests in document["tests"].items()
    ]
    return (
        "The last recorded run of `make test-exhaustive`, without what `make test` took then: "
        f"{'; '.join(outcomes)}.\n"
        f"{source(document, 'jax', 'torch', 'python')}."
    )


def injected() -> str:
    """The same in a sentence for the README."""
    from tests.support.porting_bugs import BUGS, QUICK

    return (
        f"The tests inject {len(BUGS)} porting bugs, from a missing transpose to β₂ ({len(QUICK)} "
        "in `make test`,\nthe others in `make test-exhaustive`); the ladder must find each at its "
        "rung."
    )


def gate(level: str) -> str:
    """Each ladder's largest differences, rung by rung."""
    document, rows = evidence(level), []
    # evidence of before a rung was thought of has no figure of it
    there = {rung["rung"] for ladder in document["ladders"] for rung in ladder["rungs"]}
    shown = [name for name in BACKEND_RUNGS[1:-1] if name in there]
    for ladder in document["ladders"]:
        found = {rung["rung"]: rung["worst"] for rung in ladder["rungs"]}
        figures = [f"{float(found[name][found[name]['measure']]):.1e}" if name in found else ""
                   for name in shown]  # fmt: skip
        end = found.get("evaluation")
        rows.append(
            [ladder["model"], ladder["optimizer"], ladder["precision"], f"{ladder['steps']:,}",
             *figures, f"{float(end['absolute']):.0f}" if end else "",
             "holds" if ladder["passed"] else f"differs at {ladder['rungs'][-1]['rung']}"]
        )  # fmt: skip
    head = ["model", "optimizer", "precision", "steps", *shown, "evaluation", "verdict"]
    made = [table(head, rows), where(document)]
    if missing := [name for name in BACKEND_RUNGS if name not in there]:
        former = [f"{name} {f'was in {FORMER[name]}' if name in FORMER else 'was not checked'}"
                  for name in missing]  # fmt: skip
        made.append(
            f"When this was measured, these were not yet rungs of their own: {', '.join(former)}."
        )
    return "\n\n".join(made)


def closest(level: str) -> str:
    """Of every rung in each precision, the check that comes closest to its bound."""
    nearest: dict[tuple[str, str], tuple[float, list[str]]] = {}
    for ladder in evidence(level)["ladders"]:
        for rung in ladder["rungs"]:
            for check in rung["checks"]:
                bound = float(check["tolerance"])
                if bound == 0:
                    continue  # exactly equal, or failed
                share = float(check[check["measure"]]) / bound
                key = (rung["rung"], ladder["precision"])
                if share > nearest.get(key, (-1.0,))[0]:
                    where = f"{ladder['model']}, {ladder['optimizer']}"
                    shown = f"{share:.2g}" if share < 0.995 else f"{share:.8f}"
                    nearest[key] = share, [shown, check["measure"], check["what"], where]
    rows = [[*key, *cells] for key, (_, cells) in sorted(nearest.items())]
    rows.sort(key=lambda row: BACKEND_RUNGS.index(row[0]))
    return table(["rung", "precision", "of its bound", "measure", "check", "ladder"], rows)


def horizon() -> str:
    document = evidence("horizon")
    rows, claims, courses = [], [], []
    for one in document["horizon"]:
        for track in one["tracks"]:
            epoch = track["first_epoch_with_another_prediction"]
            steps = ["never" if step is None else f"{step:,}" for step in track["first_step_above"]]
            rows.append(
                [one["precision"], str(len(track["predictions"])), track["name"], *steps,
                 "never" if epoch is None else str(epoch),
                 f"{float(track['divergence'][-1]):.0e}", str(track["predictions"][-1])]
            )  # fmt: skip
        others = [claim for claim in one["claims"] if claim is not judged(one)]
        claims += [claim_line(one, claim) for claim in (judged(one), *others)]
        courses += [text for text in (event(one), parting(one), far_apart(one)) if text]
    limits = document["horizon"][0]["thresholds"]
    head = ["precision", "epochs", "pair"]
    head += [f"first step with a weight {limit:g} apart" for limit in limits]
    head += ["first epoch with another prediction", "weights at the end", "predictions at the end"]
    picture = f"![How far two frameworks and their control runs are apart](pictures/{FIGURE.name})"
    lists = ["\n".join(claims), "\n".join(courses)]
    return "\n\n".join([picture, table(head, rows), *lists, where(document)])


def event(one: dict[str, Any]) -> str:
    """The stretch in which the frameworks, and what goes with them, pass the first threshold."""
    steps, limit = one["steps"], one["thresholds"][0]
    passed = [track["first_step_above"][0] for track in one["tracks"]]
    if None in passed or min(passed) <= STEPS_BETWEEN:
        return ""  # it says nothing: an ulp is more, as in float32
    frameworks, *_ = passed  # as `measure` has them
    near = [abs(step - frameworks) <= STEPS_BETWEEN for step in passed]
    together = [step for step, here in zip(passed, near, strict=True) if here]
    others = [f"{step:,}" for step, here in zip(passed, near, strict=True) if not here]
    first = max(step for step in steps if step <= min(together) - STEPS_BETWEEN)
    before = [float(track["divergence"][steps.index(first)]) for track in one["tracks"]]
    return (
        f"- {one['precision']}: {len(together)} of {len(passed)} pairs, the frameworks among "
        f"them, pass {limit:g} at step {_span(together, ',d')}"
        + (f", the rest at {', '.join(others)}" if others else "")
        + f". At step {first:,} the frameworks are {before[0]:.1e} apart, the control runs "
        f"{_span(before[1:], '.1e')}."
    )


def parting(one: dict[str, Any]) -> str:
    """When each kind of track passes the last threshold."""
    kinds: dict[str, list[int | None]] = {}
    for track in one["tracks"]:
        kinds.setdefault(track["kind"], []).append(track["first_step_above"][-1])
    times = [
        f"the {control_name(kind)}{'s' * (kind != 'frameworks')} "
        + ("never" if None in found else _span([s for s in found if s], ",d"))
        for kind, found in kinds.items()
    ]
    return (
        f"- {one['precision']}: the first step with a weight {one['thresholds'][-1]:g} apart: "
        f"{', '.join(times)}."
    )


def far_apart(one: dict[str, Any]) -> str:
    """The steps at which the frameworks are far beyond every null control run."""
    frameworks, *tracks = one["tracks"]  # as `measure` has them
    nulls = [track["divergence"] for track in tracks if track["kind"] in NULL]
    last = one["claims"][0]["furthest"]["until"]
    far, ratios = [], []
    for step, apart, *of_nulls in zip(one["steps"], frameworks["divergence"], *nulls, strict=True):
        if step > last:
            break
        ratios.append(float(apart) / max(map(float, of_nulls)))
        if ratios[-1] > FAR:
            far.append(step)
    if not far:
        return ""
    return (
        f"- {one['precision']}: the frameworks are more than {FAR} times as far apart as the "
        f"farthest null control run at {counted(len(far), 'step')} of the {len(ratios)} compared "
        f"up to step {last:,}, all of them from step {far[0]} to step {far[-1]}; the median "
        f"is {np.median(ratios):.1f} times."
    )


def _span(values: list[Any], form: str) -> str:
    low, high = (format(value, form) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def judged(one: dict[str, Any]) -> dict[str, Any]:
    """The claim that the verdict is on: against null control runs, where there are others too.
    Older evidence has it behind the claim against all.
    """
    null = [claim for claim in one["claims"] if claim["twins"] == "null twin"]
    return (null or one["claims"])[0]


def claim_line(one: dict[str, Any], claim: dict[str, Any]) -> str:
    verdict = "holds" if claim["holds"] else "is refuted"
    names = [*(f"a weight {limit:g} apart" for limit in one["thresholds"]), "a prediction"]
    times = zip(names, [*claim["weights"], claim["predictions"]], strict=True)
    factors = [f"{name} {t['factor']:.2f}" for name, t in times if t["factor"] is not None]
    most = claim["furthest"]
    parts = [f"times as early as the earliest: {', '.join(factors)}"] if factors else []
    parts.append(
        f"up to step {most['until']:,} at most {float(most['times']):.2g} times as far apart "
        f"as the farthest, at step {most['step']:,}"
    )
    return (
        f"- {one['precision']}, against {claim['draws']} {control_name(claim['twins'])}s: "
        f"**{verdict}** ({'; '.join(parts)})."
    )


def exceptions() -> str:
    """What a summary of the page must not leave out: each claim that does not hold."""
    beside: list[str] = []  # what no verdict is on
    found = [
        f"{ladder['model']} with {ladder['optimizer']} differs at {ladder['rungs'][-1]['rung']} in "
        f"{ladder['precision']}"
        for ladder in evidence("full")["ladders"]
        if not ladder["passed"]
    ]
    for one in evidence("horizon")["horizon"]:
        for claim in one["claims"]:
            if not claim["holds"]:
                texts = found if claim is judged(one) else beside
                texts.append(_earlier_than(one, claim))
    for one in latest_statistics():
        test = one["tost"]
        if test["verdict"] != "equivalent":
            found.append(
                f"whether the {one['model']} model's accuracy is the same is *{test['verdict']}* "
                f"(n = {test['n']}, δ = {test['margin']:.2f} points, power {test['power']:.2f})"
            )
    failing = f"What fails of the ladder: {'; '.join(found)}." if found else ALL_HOLD
    if not beside:
        return failing
    some = "Against some control runs alone, the claim on divergence does not hold"
    return f"{failing} {some}: {'; '.join(beside)}."


def _earlier_than(one: dict[str, Any], claim: dict[str, Any]) -> str:
    """By how much the frameworks diverge earlier than the control runs of a claim."""
    for limit, event in zip(one["thresholds"], claim["weights"], strict=True):
        if not event["holds"]:
            steps = [step for step in event["twins"] if step is not None]
            earliest = f"at step {min(steps):,}" if steps else "never"
            return (
                f"in {one['precision']}, JAX and PyTorch are {limit:g} apart in a weight at step "
                f"{event['frameworks']:,}; the first of {claim['draws']} "
                f"{CONTROLS[claim['twins']]} is as far from its original {earliest} "
                f"(a factor of {one['factor']:g} is allowed)"
            )
    return (
        f"in {one['precision']}, JAX and PyTorch predict differently more than {one['factor']:g} "
        f"times as early as the earliest of {claim['draws']} {CONTROLS[claim['twins']]}"
    )


def latest_statistics() -> list[dict[str, Any]]:
    """Each model's last experiment: a planned one in place of the one that it was planned from."""
    documents = [evidence("statistics"), sealed("accuracy-verdict")]
    return list({one["model"]: one for d in documents for one in d["statistics"]}.values())


def accuracy() -> str:
    """The deep model's accuracy: its plan, and what came out of it."""
    plan = sealed("accuracy-plan")
    seeds = plan["seeds"]
    return (
        f"Planned: {plan['question']} {plan['test']}, δ = {plan['margin']:.2f} points; "
        f"n = {plan['n']} pairs, for a power of {plan['power']:.3f} at the sd seen before "
        f"({plan['sd']:.3f}); fresh seeds, {seeds[0]} to {seeds[-1]}; judged once. "
        f"`{plan['command']} FOLDER`.\n\n{statistics_of(sealed('accuracy-verdict'))}"
    )


def statistics_of(document: dict[str, Any]) -> str:
    rows, second = [], []
    for one in document["statistics"]:
        t, churn = one["tost"], one["churn"]
        means = [f"{a['mean']:.2f} ± {a['sd']:.2f}" for a in one["accuracy"].values()]
        rows.append(
            [one["model"], str(t["n"]), *means, f"{t['mean']:+.3f}",
             "{:+.3f} to {:+.3f}".format(*t["interval"]), f"{t['sd']:.3f}", f"{t['margin']:.2f}",
             f"{t['p']:.1e}", f"{t['power']:.2f}", f"**{t['verdict']}**"]
        )  # fmt: skip
        mcnemar = one["mcnemar"]
        between = [f"{count} of {t['n'] - 1}" for count in mcnemar["between_seeds"].values()]
        seeds = [f"{share:.2%}" for share in churn["between_seeds"].values()]
        second.append(
            [one["model"], f"{mcnemar['significant']} of {t['n']}", *between,
             f"{churn['between_sides']:.2%}", *seeds]
        )  # fmt: skip
    left, right = document["backends"]
    head = ["model", "n", left, right, "difference", "90 % interval", "sd", "δ", "p", "power",
            "verdict"]  # fmt: skip
    own = [f"between seeds, {name}" for name in (left, right)]
    then = ["model", "McNemar p < 0.05 between backends", *own, "churn between backends", *own]
    return "\n\n".join([table(head, rows), table(then, second), where(document)])


def sharpness() -> str:
    """The smallest error of each kind that each lane finds."""
    document = detection_limits()
    rows = []
    for kind, lanes in document["found"].items():
        cells = []
        for precision in ("float64", "float32"):
            one = lanes[precision]
            none = ["not even twice its value", ""]
            cells += none if one["smallest"] is None else [f"{one['smallest']:.0e}", one["rung"]]
        rows.append([kind, *cells])
    head = ["what is off", "float64 finds", "at", "float32 finds", "at"]
    return f"{table(head, rows)}\n\n{source(document, 'jax', 'torch', 'python')}."


def sections() -> dict[str, str]:
    """What stands between the page's markers, by name."""
    return {
        "bugs": bugs(),
        "counts": counts(),
        "gate": gate("full"),
        "closest": closest("full"),
        "sharpness": sharpness(),
        "horizon": horizon(),
        "statistics": statistics_of(evidence("statistics")),
        "accuracy": accuracy(),
    }


def stamp() -> str:
    """What the figure was drawn from, in its metadata."""
    return f"horizon {digest_of(evidence('horizon'))}"


def draw() -> None:
    with style.themed():
        figure = build.draw(build.HORIZON, evidence("horizon")["horizon"])
        build.save(figure, FIGURE, {"Description": stamp()})


if __name__ == "__main__":
    draw()
    write_page(PAGE, sections())
