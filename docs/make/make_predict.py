"""Write docs/predict.md's tables from docs/evidence/pictures.json, and its picture from a run.

mnist-fn train --backend jax --l2 3e-5 --out /tmp/reader
python docs/make/evidence_pictures.py /tmp/reader --n 20
python docs/make/make_predict.py
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pages import DOCS, PICTURES, read_evidence, table, write_page
from PIL import Image, ImageOps

from mnist_fn.shared.data import datasets
from mnist_fn.shared.pictures.preparation import panels
from mnist_fn.shared.pictures.reading import read_picture
from tests.support.picture_kinds import KINDS

PAGE, PICTURE = DOCS / "predict.md", PICTURES / "predict-seen.png"
SHOWN = ("shadow from a side", "dark lines across", "frame", "pencil", "three digits, ruled")
HEIGHT = 200


def kinds(evidence: dict[str, Any]) -> str:
    """The table of what was read, by kind."""
    head = ["picture", "n", "read right", "digits read right", "wrong, not marked", "refused"]
    rows: list[list[object]] = []
    for name, kind in evidence["kinds"].items():
        digits = f"{kind['digits_right']} of {kind['digits']}" if kind["digits"] else ""
        counts = [kind[key] for key in ("wrong_and_sure", "refused")]
        rows.append([name, kind["n"], kind["right"], digits, *counts])
    full = [kind for kind in evidence["kinds"].values() if not kind["empty"]]
    total = {key: sum(kind[key] for kind in full) for key in full[0] if key != "empty"}
    n, digits = total["n"], total["digits"]
    shares = [f"{total[key] / n:.1%}" for key in ("right", "wrong_and_sure", "refused")]
    shares.insert(1, f"{total['digits_right'] / digits:.1%} of {digits}")
    rows.append(["all with a digit", n, *shares])
    return table(head, rows) + (
        "\n\nThe model alone reads "
        f"{evidence['test_accuracy']:.1%} of MNIST's test digits. "
        f"`{evidence['run']}`, `{evidence['command']}`; {evidence['machine']}, "
        f"Python {evidence['versions']['python']}, jax {evidence['versions']['jax']}."
    )


def unsure(evidence: dict[str, Any]) -> str:
    """The table of what falls below each limit."""
    unsure = evidence["unsure"]
    head = ["below", *(f"{name} (n = {n})" for name, n in unsure["n"].items())]
    rows = []
    for limit, shares in unsure["below"].items():
        marked = f"**{limit}**" if float(limit) == unsure["limit"] else limit
        rows.append([marked, *(f"{shares[name]:.0%}" for name in unsure["n"])])
    return table(head, rows)


def draw() -> None:
    """Photos, and under each what the network sees."""
    test = datasets.load("mnist").test
    labelled = list(zip(test.images, test.labels.tolist(), strict=True))
    columns = []
    for number, kind in enumerate(SHOWN):
        photo = KINDS[kind](np.random.default_rng((8, number)), labelled)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"photo{photo.suffix}"
            file.write_bytes(photo.content)
            seen = Image.open(io.BytesIO(panels(read_picture(file).pictures, 4)))
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(photo.content))).convert("L")
        image = image.resize((round(image.width * HEIGHT / image.height), HEIGHT))
        width = max(image.width, seen.width)
        column = Image.new("L", (width + 12, HEIGHT + 12 + seen.height), 255)
        column.paste(image, ((width - image.width) // 2, 0))
        column.paste(seen, ((width - seen.width) // 2, HEIGHT + 12))
        columns.append(np.asarray(column))
    Image.fromarray(np.hstack(columns)[:, :-12]).save(PICTURE, optimize=True)


def sections() -> dict[str, str]:
    """What stands between the page's markers, by name."""
    evidence = read_evidence("pictures")
    return {"kinds": kinds(evidence), "unsure": unsure(evidence)}


if __name__ == "__main__":
    draw()
    write_page(PAGE, sections())
