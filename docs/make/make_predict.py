"""Write docs/predict.md's tables from docs/evidence/pictures.json, and its picture from a run.

mnist-fn train --epochs 10 --out /tmp/reader
python docs/make/evidence_pictures.py /tmp/reader --n 40
python docs/make/make_predict.py
"""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pages import DOCS, EVIDENCE, PICTURES, renew
from PIL import Image, ImageOps

from mnist_fn.shared.data import datasets
from mnist_fn.shared.pictures.preparation import panels
from mnist_fn.shared.pictures.reading import read_picture
from tests.support.picture_kinds import KINDS

PAGE, PICTURE = DOCS / "predict.md", PICTURES / "predict-seen.png"
SHOWN = ("shadow from a side", "dark lines across", "frame", "pencil", "three digits, ruled")
HEIGHT = 200


def document() -> dict[str, Any]:
    return json.loads((EVIDENCE / "pictures.json").read_text())


def kinds(found: dict[str, Any]) -> str:
    """How many photos of each kind are read, and in how many the digits are counted right."""
    lines = ["| photo | n | read right | counted right |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {one['n']} | {one['right'] / one['n']:.1%} | {one['counted'] / one['n']:.1%} |"
        for kind, one in found["kinds"].items()
    ]
    full = [one for one in found["kinds"].values() if not one["empty"]]
    n, right, counted = (sum(one[key] for one in full) for key in ("n", "right", "counted"))
    lines.append(f"| all with a digit | {n} | {right / n:.1%} | {counted / n:.1%} |")
    return "\n".join(lines) + (
        "\n\nA photo is right if all its digits are, and no other; without one, if it is refused. "
        f"The model alone has {found['test_accuracy']:.1%} on the test digits themselves. "
        f"`{found['run']}`, `{found['command']}`; {found['machine']}, "
        f"Python {found['versions']['python']}, jax {found['versions']['jax']}."
    )


def unsure(found: dict[str, Any]) -> str:
    """What falls below each limit."""
    one = found["unsure"]
    names = list(one["n"])
    lines = [
        "| below | " + " | ".join(f"{name} (n = {one['n'][name]})" for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for limit, shares in one["below"].items():
        marked = f"**{limit}**" if float(limit) == one["limit"] else limit
        lines.append(f"| {marked} | " + " | ".join(f"{shares[name]:.0%}" for name in names) + " |")
    return "\n".join(lines)


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


def page() -> str:
    found = document()
    return renew(PAGE.read_text(), {"kinds": kinds(found), "unsure": unsure(found)})


if __name__ == "__main__":
    draw()
    PAGE.write_text(page())
