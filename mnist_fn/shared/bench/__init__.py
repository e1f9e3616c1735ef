"""How long an epoch takes: contenders in turn, their ratios, and what a document of them says.

Others use `contenders`, `timing`, `report` and `quiet`.
"""

OPEN = ("contenders", "timing", "report", "quiet")
