"""How long it takes: contenders in turn, their ratios, and what a document of them says.

Others use `timing` (Contender, take_turns, spread), `report` and `quiet`.
"""

OPEN = ("timing", "report", "quiet")
