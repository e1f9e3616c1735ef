"""What was lost in the long runs behind docs/reliability.md, counted from what each recorded."""

from collections.abc import Callable
from typing import Any

Result = dict[str, Any]  # of a check
KILLS = ("epochs_lost", "wrong_after_kill", "runs_failed", "runs_differing")
# By check. A count that a result has not is a KeyError.
LOST: dict[str, Callable[[Result], int]] = {
    "kills": lambda r: sum(r[name] for name in KILLS),
    "hostile": lambda r: r["handled_wrongly"],
    "parallel": lambda r: r["failed"] + r["differing"],
    "reproducible": lambda r: r["differing"],
    "memory": lambda r: int(r["growth_mb"] >= r["limit_mb"]),
    "peak": lambda r: int(r["peak_mb"] >= r["limit_mb"]),
}
