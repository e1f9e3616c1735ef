"""`mnist-fn parity` on a terminal: a row a rung as it ends, reasons where they are wanted."""

import numpy as np
import pytest
from rich.console import Console

from cli import proving
from mnist_fn.shared.parity import levels
from mnist_fn.shared.parity.ladder import BACKEND_RUNGS
from mnist_fn.shared.parity.result import Check, Difference, Rung

REASON = "sums in another order"
WHAT = "logits right beyond doubt: step: params/layer1/kernel[19, 1]"


def rung(name, difference=1.1e-16):
    entry = Difference("a", (0,), 1.0, 1.0, difference, difference, 1.0)
    return Rung(name, [Check(WHAT, entry, 5e-14, "relative", REASON)])


def shown(capsys, *arguments):
    screen = Console(force_terminal=True, width=80, color_system=None, highlight=False)
    proving._show_rung(screen, *arguments)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", BACKEND_RUNGS)
def test_a_rung_is_a_row_within_80_columns(capsys, name):
    lines = shown(capsys, rung(name))
    assert lines[0].startswith(f"ok   {name}")
    # a column of its own for each figure, at one place on every rung
    assert lines[0].index("1.1e-16 relative") == 5 + len("stress states") + 1
    assert lines[0].index("bound 5.0e-14") == lines[0].index("1.1e-16") + 17
    assert max(map(len, lines)) <= 80
    assert REASON not in "".join(lines)


def test_reasons_stand_under_verbose_and_where_a_rung_fails(capsys):
    assert shown(capsys, rung("loss"), True)[-1].strip() == REASON
    failed = shown(capsys, rung("loss", 1e-3))
    assert failed[0].startswith("FAIL loss")
    assert "1.0e-03 absolute" in failed[-2]
    assert failed[-1].strip() == REASON


def test_what_is_climbed_now_is_named_on_stderr(capsys, monkeypatch):
    """On a terminal, where nothing else would be seen for as long as a rung takes."""
    named = []

    def climb_all(_, __, on_ladder, on_rung):
        on_ladder({"model": "linear"})
        for name in BACKEND_RUNGS[:-1]:
            on_rung(rung(name))
        on_rung(rung(BACKEND_RUNGS[-1], np.inf))
        return []

    monkeypatch.setattr(levels, "climb_all", climb_all)
    screen = Console(stderr=True, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(proving, "console", screen)
    start = screen.status
    monkeypatch.setattr(screen, "status", lambda text: Named(start(text), named))
    answer = Console(width=80, color_system=None)
    proving._climb(None, None, answer, False)
    assert named == [*BACKEND_RUNGS, "looking for the cause"]
    captured = capsys.readouterr()
    assert captured.out.count("bound 5.0e-14") == len(BACKEND_RUNGS)
    assert BACKEND_RUNGS[0] in captured.err


class Named:
    """A status that keeps what it was given to name."""

    def __init__(self, status, named):
        self.status, self.named = status, named

    def __enter__(self):
        self.status.start()
        return self

    def __exit__(self, *_):
        self.status.stop()

    def __getattr__(self, name):
        return getattr(self.status, name)

    def update(self, text):
        self.named.append(text)
        self.status.update(text)
