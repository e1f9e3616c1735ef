"""Are two backends the same experiment? The ladder, its levels, twins, the horizon, statistics.

Others use `levels` (what is asked for), `ladder` (climb), `checks` (Pair, Rung), `horizon` and
`statistics`.
"""

OPEN = ("levels", "ladder", "checks", "horizon", "statistics")
