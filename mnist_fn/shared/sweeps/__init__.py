"""Many runs: trained together, by workers or here, and compared.

`request` (what is asked for), `sweep` (train and compare), `comparison` (which condition is best),
`runner` (trains every run once), `workers` (Ray, which it alone imports).
"""

OPEN = ("comparison", "request", "runner", "sweep", "workers")
