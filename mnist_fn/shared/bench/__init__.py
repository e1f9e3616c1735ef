"""How long it takes: contenders in turn, their ratios, and what a document of them says.

Others use `timing` (Contender, take_turns, spread) and `report`.
"""

OPEN = ("timing", "report")
