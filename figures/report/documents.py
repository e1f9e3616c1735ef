"""What the page says of the documents of `mnist-fn study`, `parity` and `bench`: plain tables.

Each function takes documents as they were read and may meet anything in them; see `tables`.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fn.shared.errors import InputError
from mnist_fn.shared.study.tables import claim_table, honest_table, number_table, without

Document = dict[str, Any]
GOOD = ("inside", "equivalent", "passed", "holds", "met")
BAD = ("outside", "different", "failed", "does not hold", "not met")


@dataclass(frozen=True)
class Table:
    """A table of the page; a cell that is in GOOD or BAD is marked as such."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""


def tables(kind: str, found: dict[Path, Document]) -> list[Table]:
    """The tables of all documents of a kind.

    Raises:
        InputError: a document is not what its command writes.
    """
    made: list[Table] = []
    for file, document in found.items():
        with as_written(kind, file):
            made += _MAKERS[kind](document)
    return made


@contextlib.contextmanager
def as_written(kind: str, file: Path) -> Iterator[None]:
    """Within it, a document that is not what its command writes is an InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{file}: not what mnist-fn {kind} writes ({type(error).__name__}: "
            f"{str(error)[:60]}); make it anew, or take it out of the folder"
        ) from error


def _study(document: Document) -> list[Table]:
    head, rows = without(number_table(document), "experiment")
    plain = [[cell.replace("*", "") for cell in row] for row in rows]
    return [
        Table("Published numbers beside ours", head, plain, document["rule"]),
        Table("Published claims", *without(claim_table(document), "experiment")),
        Table("An honest choice", *honest_table(document), document["protocol"]),
    ]


def _parity(document: Document) -> list[Table]:
    where = f"{' against '.join(document['backends'])}, {document['machine']}"
    made = []
    for ladder in document.get("ladders", ()):
        rows = [_rung(rung) for rung in ladder["rungs"]]
        head = ["rung", "", "largest difference", "bound", "in"]
        made.append(Table(f"Ladder: {_experiment(ladder)}", head, rows, where))
    for one in document.get("horizon", ()):
        rows = [
            [
                track["name"],
                *(_never("step", step) for step in track["first_step_above"]),
                _never("epoch", track["first_epoch_with_another_prediction"]),
            ]
            for track in one["tracks"]
        ]
        said = "; ".join(
            f"the frameworks part no sooner than the {claim['twins']}s, within a factor "
            f"{one['factor']:g}: {'holds' if claim['holds'] else 'does not hold'}"
            for claim in one["claims"]
        )
        limits = [f"a weight is {limit:g} apart" for limit in one["thresholds"]]
        head = ["pair", *limits, "a prediction differs"]
        made.append(Table(f"Horizon: {_experiment(one)}", head, rows, f"{said}. {where}"))
    if found := document.get("statistics", ()):
        rows = [_statistics(one) for one in found]
        head = ["model", "seeds", "difference", "90 % interval", "margin", "verdict"]
        sides = " against ".join(found[0]["accuracy"])
        note = f"Test accuracy in percentage points, TOST over paired seeds, {sides}; {where}"
        made.append(Table("Statistics over seeds", head, rows, note))
    return made


def _experiment(one: dict[str, Any]) -> str:
    return ", ".join(one[part] for part in ("model", "optimizer", "precision"))


def _rung(rung: dict[str, Any]) -> list[str]:
    worst = rung["worst"]
    return [
        rung["rung"],
        "passed" if rung["passed"] else "failed",
        f"{float(worst[worst['measure']]):.1e} {worst['measure']}",
        f"{float(worst['tolerance']):.1e}",
        worst["what"],
    ]


def _never(unit: str, value: int | None) -> str:
    return "never" if value is None else f"{unit} {value:,}"


def _statistics(one: dict[str, Any]) -> list[str]:
    test = one["tost"]
    low, high = test["interval"]
    return [
        f"{one['model']}, {one['optimizer']}",
        str(test["n"]),
        f"{test['mean']:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        f"± {test['margin']:.2f}",
        test["verdict"],
    ]


def _bench(document: Document) -> list[Table]:
    where = f"{document['device']}; {document['machine']}; {document['command']}"
    epochs = sorted(document["epochs"].items(), key=lambda item: item[1]["median"])
    rows = [
        [name, document["what"].get(name, ""), f"{one['median']:.3f} s"] for name, one in epochs
    ]
    goals = [
        [
            goal["name"],
            "" if goal["goal"] is None else f"{goal['sense']} {goal['goal']:g}",
            f"{goal['ratio']['median']:.2f}",
            {True: "met", False: "not met", None: ""}[goal["met"]],
        ]
        for goal in document["goals"]
        if "ratio" in goal
    ]
    return [
        Table("Seconds an epoch", ["contender", "what", "median"], rows, where),
        Table("Ratios", ["what", "goal", "median", "verdict"], goals),
    ]


_MAKERS: dict[str, Callable[[Document], list[Table]]] = {
    "study": _study,
    "parity": _parity,
    "bench": _bench,
}
