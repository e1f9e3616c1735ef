"""Are two programs the same? The ladder, for anybody's port and for the project's two backends.

`program` says what the ladder asks of a program, `param_map` which parameter is which, `modules`
compares the modules in the order of computation. `ladder` has the rungs and climbs, `bounds`
decides, `result` reports, `recording` keeps a program in a file; `mnist_fn.parity` and
`torch_ref.parity` have the programs of their frameworks. `causes` finds why two programs differ,
from plain tensors of any model. `backends` is what the ladder compares of two backends, `levels`
what a run of it compares; `horizon`, `statistics` and `handed` (horizons at workers) are its other
tests, and `selfcheck`: does a backend compute right here?
"""

OPEN = (
    "bounds",
    "program",
    "determinism",
    "ladder",
    "recording",
    "causes",
    "result",
    "backends",
    "levels",
    "horizon",
    "statistics",
    "handed",
    "selfcheck",
)
