"""Datasets: `formats` reads a file, `meaning` says what is in it, `sources` where sets are found.

Others use `datasets` (Dataset, Split, load, load_for, scale_pixels), `elsewhere` (another test set
for a run), `spec` (classes, and how pictures stand) and `sources` (where files and caches are).
"""

OPEN = ("cache", "datasets", "elsewhere", "sources", "spec")
