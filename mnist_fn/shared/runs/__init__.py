"""A run: trained, kept on disk so that nothing is lost, read back; many beside each other.

Others use `trainer` (train, resume, load_run), `sweep` and `chains` (many), `run` (Run, Watch),
`records`, `header` and `metrics` (what a folder holds), `library` (the runs that are there),
`comparison` (what a sweep says), `folders` (what runs' folders are called), `opening`
(check_same_data) and `checkpoint` (weights_digest).
`swept` is a sweep as it is asked for, `many` trains for whoever asks; `progress`, `stopping`,
`card` and `frames`: what a person sees of it, how it is stopped, how a notebook shows it.
Runs at workers: `staff` (as asked for), `cluster` (workers on Ray), `joining` (Ray, which it alone
imports), `crew` (the driver), `mailbox` (a worker).
"""

OPEN = (
    "computed",
    "listing",
    "trainer",
    "sweep",
    "chains",
    "run",
    "records",
    "header",
    "metrics",
    "library",
    "comparison",
    "folders",
    "opening",
    "checkpoint",
    "cluster",
    "crew",
    "mailbox",
    "staff",
    "swept",
    "many",
    "progress",
    "progress_workers",
    "stopping",
    "card",
    "frames",
)
