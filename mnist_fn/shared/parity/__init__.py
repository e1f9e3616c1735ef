"""Are two backends the same experiment? The ladder, its levels, twins, the horizon, statistics.

Others use `levels` (what is asked for), `ladder` (climb), `checks` (Pair, Rung), `horizon`,
`statistics`, `handed` (horizons at workers), and `causes`: why two programs part, for plain tensors
of any model (`causes.update.explain_update(rule, grads, before, after)` and its like; see that
package). `porting` is the same ladder for anyone's model; its doors are `mnist_fn.porting` and
`torch_ref.porting`. `selfcheck`: does
a backend compute right here?
"""

OPEN = (
    "levels",
    "ladder",
    "checks",
    "horizon",
    "statistics",
    "handed",
    "causes",
    "porting",
    "selfcheck",
)
