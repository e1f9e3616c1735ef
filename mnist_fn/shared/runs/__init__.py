"""A run: trained, kept on disk so that nothing is lost, read back.

`run` (a run as a value; how a caller follows one), `folder` (its files), `store` (the runs in a
folder), `trainer` (single runs), `opening` and `loop` (what trains them), `header`, `checkpoint`
and `metrics` (what the files hold), `environment` (what computed it), `progress`, `stopping` and
`notebook` (how a person follows, stops and sees it). Many runs are in `sweeps`.
"""

OPEN = (
    "checkpoint",
    "environment",
    "folder",
    "header",
    "loop",
    "metrics",
    "notebook",
    "opening",
    "progress",
    "run",
    "stopping",
    "store",
    "trainer",
)
