"""Datasets: `formats` reads files, `meaning` says what is in them, `files` where sets are found.

Others use `datasets` (Dataset, Split, load, load_for, load_test, scale_pixels), `spec` (classes,
and how pictures stand), `files` (where sets are found) and `cache` (what the user's cache holds).
"""

OPEN = ("cache", "datasets", "files", "spec")
