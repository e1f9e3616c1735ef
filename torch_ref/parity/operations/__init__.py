"""What may stand in place of a call of a torch function: a module for each operation.

Each entry of `TABLE` is given the call's arguments by name, and yields `causes.search.Form`.
What NumPy can compute by the same lines is written in `causes`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from mnist_fn.shared.parity.causes.search import Form
from torch_ref.parity.operations import (
    activation,
    arithmetic,
    attention,
    axes,
    loss,
    normalization,
    windows,
)

TABLE: dict[str, Callable[[dict[str, Any]], Iterator[Form]]] = {}
for operation in (activation, arithmetic, attention, axes, loss, normalization, windows):
    TABLE |= operation.TABLE
