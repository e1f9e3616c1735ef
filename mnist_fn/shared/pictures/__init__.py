"""Digits out of a photo, a scan or a drawing, each prepared as MNIST's pictures were.

`illumination` turns brightness into ink, `lines` takes printed lines out, `segmentation` finds the
digits, `preparation` reads an image file and scales each digit. `mnist-fn predict` uses them.
"""

OPEN = ("preparation",)
