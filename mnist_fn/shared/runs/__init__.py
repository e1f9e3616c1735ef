"""A run: trained, kept on disk so that nothing is lost, read back.

`run` (a run as a value), `folder` (its files), `store` (the runs in a folder), `trainer` (single
runs), `loop` (what trains them), `header`, `checkpoint` and `metrics` (what the files hold),
`environment` (what computed it), `callbacks` (how a caller follows and stops runs), `progress` and
`notebook` (how a person sees them). Many runs are in `sweeps`.
"""

OPEN = (
    "callbacks",
    "checkpoint",
    "environment",
    "folder",
    "header",
    "loop",
    "metrics",
    "notebook",
    "prediction",
    "progress",
    "run",
    "store",
    "trainer",
)
