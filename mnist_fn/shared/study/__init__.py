"""The study of MNIST: its experiments, what it published, and how ours is judged against that.

Others use `experiments` (which runs), `report` (the document), `tables`, `evidence` (runs in
small), `protocol` (the honest choice) and `claims` (the study's statements).
"""

OPEN = ("experiments", "report", "tables", "evidence", "protocol", "claims")
