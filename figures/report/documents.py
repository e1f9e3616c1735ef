"""What the page shows of the documents of `mnist-fn study`, `parity` and `bench`: plain tables.

Each function takes documents as they were read and may meet anything in them; see `tables`.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from mnist_fn.shared.bench import report as bench
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.parity.horizon import claims_in_words
from mnist_fn.shared.parity.horizon import table as horizon_table
from mnist_fn.shared.parity.statistics import table as statistics_table
from mnist_fn.shared.study.tables import claim_table, honest_table, number_table, without

Document = dict[str, Any]
GOOD = ("inside", "equivalent", "passed", "holds")
BAD = ("outside", "different", "failed", "does not hold")
_EMPHASIS = re.compile(r"(\*{1,2})(\S(?:[^*]*\S)?)\1")


class Cell(NamedTuple):
    """A table's cell; `mark` is "good" or "bad" for a verdict that is one, else empty."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class DocumentTable:
    """A table of the page, and the notes below it."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    notes: list[Markup]


def tables(kind: str, documents: dict[Path, Document]) -> list[DocumentTable]:
    """The tables of all documents of a kind, their verdicts first.

    Raises:
        InputError: a document is not what its command writes.
    """
    of_all: list[DocumentTable] = []
    for file, document in documents.items():
        with as_written(kind, file):
            of_all += _MAKERS[kind](document)
    return of_all


@contextlib.contextmanager
def as_written(kind: str, file: Path) -> Iterator[None]:
    """Within it, a document that is not what its command writes is an InputError."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{file}: not what mnist-fn {kind} writes ({type(error).__name__}: "
            f"{str(error)[:60]}); make it again, or take it out of the folder"
        ) from error


def _table(
    title: str, head: list[str], rows: list[list[str]], *notes: str, backends: Sequence[str] = ()
) -> DocumentTable:
    """A table with its verdicts marked, and moved beside its first column: on a narrow screen the
    columns further right are out of sight. Of several `backends` each has a verdict.
    """
    verdicts = [i for i, name in enumerate(head) if name == "verdict"]
    names = list(head)
    if len(backends) > 1:
        for i, backend in zip(verdicts, backends, strict=True):
            names[i] = f"{backend}: verdict"
    order = sorted(range(len(head)), key=lambda i: (i > 0, i not in verdicts))
    cells: list[list[Cell]] = []
    for row in rows:
        cells.append([_cell(row[i]) for i in order])
    return DocumentTable(
        title, [names[i] for i in order], cells, [*map(emphasized, filter(None, notes))]
    )


def _cell(text: str) -> Cell:
    plain = text.replace("*", "")
    verdict = plain.partition(":")[0]
    if verdict in GOOD:
        return Cell(plain, "good")
    if verdict in BAD or plain.startswith("outside "):
        return Cell(plain, "bad")
    return Cell(plain)


def emphasized(text: str) -> Markup:
    """A line of Markdown whose only markup is emphasis, as HTML."""
    return Markup(_EMPHASIS.sub(r"<em>\2</em>", str(escape(text))))  # noqa: S704 - it is escaped


def _study(document: Document) -> list[DocumentTable]:
    with_runs: list[Document] = []
    for number in document["numbers"]:
        if any(ours["n"] for ours in number["ours"].values()):
            with_runs.append(number)
    left_out = len(document["numbers"]) - len(with_runs)
    without_runs = f"{left_out} published numbers have no runs yet." if left_out else ""
    numbers = without(number_table({**document, "numbers": with_runs}), "experiment")
    claims = without(claim_table(document), "experiment")
    notes = (without_runs, document["rule"])
    backends = list(document["backends"])
    return [
        _table("Published numbers compared with ours", *numbers, *notes, backends=backends),
        _table("Published claims", *claims, backends=backends),
        _table("An honest choice", *honest_table(document), document["protocol"]),
    ]


def _parity(document: Document) -> list[DocumentTable]:
    source = f"{' against '.join(document['backends'])}, {document['machine']}"
    of_document: list[DocumentTable] = []
    for ladder in document.get("ladders", ()):
        rows = list(map(_rung, ladder["rungs"]))
        head = ["rung", "verdict", "largest difference", "bound", "in"]
        of_document.append(_table(f"Ladder: {_experiment(ladder)}", head, rows, source))
    for horizon in document.get("horizon", ()):
        claims = [f"the frameworks diverge {text}" for text in claims_in_words(horizon)]
        title, note = f"Horizon: {_experiment(horizon)}", f"{'; '.join(claims)}. {source}"
        of_document.append(_table(title, *horizon_table(horizon), note))
    if equivalence := document.get("statistics", ()):
        sides = " against ".join(equivalence[0]["accuracy"])
        note = f"Test accuracy in percentage points, TOST over paired seeds, {sides}; {source}"
        of_document.append(_table("Statistics over seeds", *statistics_table(equivalence), note))
    return of_document


def _experiment(document: dict[str, Any]) -> str:
    return ", ".join(itemgetter("model", "optimizer", "precision")(document))


def _rung(rung: dict[str, Any]) -> list[str]:
    worst = rung["worst"]
    return [
        rung["rung"],
        "passed" if rung["passed"] else "failed",
        f"{float(worst[worst['measure']]):.1e} {worst['measure']}",
        f"{float(worst['tolerance']):.1e}",
        worst["what"],
    ]


def _bench(document: Document) -> list[DocumentTable]:
    source = f"{document['device']}; {document['machine']}; {document['command']}"
    ratios = bench.ratios(document["rounds"], document.get("cpu_rounds", document["rounds"]))
    return [
        _table("Seconds an epoch", *bench.epoch_table(document), source),
        _table("Ratios, round by round", *bench.ratio_table(ratios)),
    ]


_MAKERS: dict[str, Callable[[Document], list[DocumentTable]]] = {
    "study": _study,
    "parity": _parity,
    "bench": _bench,
}
