"""The examples: where their files lie, how they are read, checked and kept, and a picture made one.

Others use `datasets` (Dataset, Split, load, load_for, scale_pixels), `elsewhere` (another test set
for a run), `form` (classes, and how pictures stand), `sources` (where files and caches are) and
`picture` (an image as MNIST has its digits).
"""

OPEN = ("datasets", "elsewhere", "form", "sources", "picture")
