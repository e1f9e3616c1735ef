"""Many runs: trained together, by workers or here, and compared.

`request` (what is asked for), `sweep` (train and compare), `comparison` (which condition is best),
`chains` (a study's runs, of which shorter ones are beginnings of longer ones), `runner` (trains
every run of a request once), `workers` (Ray, which it alone imports).
"""

OPEN = ("chains", "comparison", "request", "runner", "sweep", "workers")
