"""What a person sees: what was asked for on stdout; progress and notices on stderr."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from cli.output import print_json
from mnist_fn.shared.errors import InputError, Message, in_shell, printable

if TYPE_CHECKING:
    from mnist_fn.shared.evaluation import Evaluation
    from mnist_fn.shared.runs.run import Run


class _Printable:
    """Anything that rich draws, its text escaped: a file's or a folder's name may steer a
    terminal.
    """

    def __init__(self, drawn: Any) -> None:
        self._drawn = drawn

    def __rich_console__(self, to: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in to.render(self._drawn, options):
            text = segment.text if segment.control else printable(segment.text)
            yield Segment(text, segment.style, segment.control)

    def __rich_measure__(self, to: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(to, options, self._drawn)


class _Screen(Console):
    """Shows a message in the command line's terms, and text as it is: it may look like markup.

    A sentence is broken between words on a terminal, and is one line in a log.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """See Console. With `soft_wrap` a line is as long as it is."""
        shown = list(map(_escaped, objects))
        if not options.get("soft_wrap"):
            are_strings = all(isinstance(text, str) for text in shown)
            if not self.is_terminal:
                are_texts = all(isinstance(text, Text) for text in objects)
                options["soft_wrap"] = are_strings or are_texts
            elif are_strings:
                options["soft_wrap"] = True
                shown = [wrapped(str(text), self.width) for text in shown]
        super().print(*shown, **options)


def wrapped(text: str, width: int) -> str:
    """A text with its lines broken between words, but not before a % nor within a long path.

    A line with a command stays whole: it is to be copied.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width or "mnist-fn " in line:
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line.replace(" %", NO_BREAK + "%"),
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines).replace(NO_BREAK, " ")


def _escaped(drawn: Any) -> "str | _Printable":
    if isinstance(drawn, Message | InputError):
        return in_shell(drawn)
    return printable(drawn) if isinstance(drawn, str) else _Printable(drawn)


class _Answer(_Screen):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # `main` knows what becomes of it; rich would exit with 1


console = _Screen(stderr=True)


def answer(json: bool = False) -> Console:
    """Where what was asked for is shown: stdout, or stderr where --json has stdout for itself."""
    return console if json else _Answer()


def show(text: str, document: Any, json: bool) -> None:
    """Show what a command did in words, and as a document if --json asks for it."""
    answer(json).print(text, soft_wrap=True)  # paths are to be copied
    if json:
        print_json(document)


def new_table(*names: str, flush_left: Sequence[str] = ()) -> Table:
    """A table without lines; columns are flush right but for those in `flush_left`."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in flush_left else "right")
    return table


NO_BREAK = "\u00a0"  # a space that no line ends at
NARROWEST = 14  # columns that a folded name still has
WIDE = 20  # classes: a matrix of more is wider than a screen


def show_run(run: "Run", to: Console) -> None:
    """The end of a training: final and best figures, the worst mistakes, where it is."""
    loss, accuracy = run.best["test_loss"], run.best["test_accuracy"]
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right"):
        table.add_column(justify=justify)
    table.add_row("", "loss", "accuracy")
    for name in ("train", "test"):
        values = run.final[f"{name}_loss"], run.final[f"{name}_accuracy"]
        table.add_row(f"final {name}", f"{values[0]:.5f}", f"{values[1]:.2%}")
    table.add_row("best test", f"{loss['value']:.5f}", f"{accuracy['value']:.2%}")
    table.add_row("at epoch", f"{loss['epoch']}", f"{accuracy['epoch']}")
    print_table(table, to)
    show_confusions(run.evaluation, to, run.data_spec.names)
    if run.path is not None:
        to.print(Text(f"run: {run.path}"), soft_wrap=True)  # to be copied


def show_confusions(evaluation: "Evaluation", to: Console, names: Sequence[str] = ()) -> None:
    """The most frequent mistakes on one line, as many as a terminal has room for."""
    title = "most confused, true → read: "
    worst = [confusion.named(names) for confusion in evaluation.worst_confusions()]
    while to.is_terminal and len(worst) > 1 and len(title + ", ".join(worst)) > to.width:
        worst.pop()
    to.print(title + (", ".join(worst) or "none"), soft_wrap=True)


def show_matrix(evaluation: "Evaluation", names: Sequence[str], to: Console) -> None:
    """The confusion matrix with each class's accuracy; rows are true classes. One of many classes
    is wider than any screen: then the three worst mistakes of each.
    """
    matrix, per_class = evaluation.confusion_matrix, evaluation.per_class_accuracy
    many = len(matrix) > WIDE
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    headers = ["examples", "right"] if many else [f"→{name}" for name in names]
    for header in ("true", *headers):
        table.add_column(Text(header), justify="right")
    table.add_column("accuracy", justify="right")
    if many:
        table.add_column("read as")
    for label, row in enumerate(matrix):
        name = Text(names[label])
        share = "–" if math.isnan(per_class[label]) else f"{per_class[label]:.2%}"
        if many:
            mistakes: list[str] = []
            for i in (-row).argsort(kind="stable"):
                if i != label and row[i]:
                    mistakes.append(f"{names[i]} {row[i]}")
            worst = Text(", ".join(mistakes[:3]))
            table.add_row(name, str(row.sum()), str(row[label]), share, worst)
            continue
        cells: list[Text] = []
        for column, count in enumerate(row):
            style = "bold" if column == label else "red" if count else "dim"
            cells.append(Text(str(count), style=style))
        table.add_row(name, *cells, share)
    print_table(table, to)


def print_table(table: Table, to: Console, leave_out: Sequence[str] = ()) -> None:
    """Print a table at its natural width: rich would cut numbers to fit a narrow terminal.

    There the columns of the headers in `leave_out` are left out, as many as it takes, and a column
    with overflow "fold" goes on in the next line.
    """
    needed = _natural_width(table, to)
    for header in leave_out:
        if to.is_terminal and needed > to.width:
            columns, table.columns = table.columns, []
            for column in columns:
                if column.header != header:
                    # a column pads by its place: with the old one the last would be cut
                    table.columns.append(replace(column, _index=len(table.columns)))
            needed = _natural_width(table, to)
    for column in table.columns:
        if to.is_terminal and column.overflow == "fold" and needed > to.width:
            longest = max(to.measure(cell).maximum for cell in column.cells)
            # rich gives its name's edge, which has none, a padding
            other_columns = needed - longest + 1
            column.max_width = max(to.width - other_columns, NARROWEST)
            needed = _natural_width(table, to)
    type(to)(stderr=to.stderr, width=max(needed, to.width)).print(table)


def _natural_width(table: Table, to: Console) -> int:
    return to.measure(table, options=to.options.update(max_width=2000)).maximum
