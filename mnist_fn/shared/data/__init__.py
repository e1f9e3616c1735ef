"""The examples: where their files lie, how they are read, checked and kept.

Others use `datasets` (Dataset, Split, load, load_for, scale_pixels), `elsewhere` (another test set
for a run), `form` (classes, and how pictures stand) and `sources` (where files and caches are).
"""

OPEN = ("cache", "datasets", "elsewhere", "form", "sources")
