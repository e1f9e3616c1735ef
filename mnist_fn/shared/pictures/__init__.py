"""Digits out of a photo, a scan or a drawing, each prepared as MNIST's pictures were.

`reading` does all of it. `image_files` reads a file's pixels; `illumination` turns brightness into
ink and `lines` takes printed lines out; `segmentation` finds the digits with `pieces` (connected
ink), `clutter` (what is no digit) and `grouping` (strokes of one digit, reading order);
`preparation` scales and centres each.
"""

OPEN = ("reading", "preparation", "image_files")
