"""The study of MNIST: its experiments, what it published, and how ours is judged against that.

Others use `experiments` (which runs), `report` (the document), `tables`, `protocol` (the honest
choice), `claims` (the study's statements) and `running` (all of it, as it is asked for).
"""

OPEN = ("experiments", "report", "tables", "protocol", "claims", "running")
