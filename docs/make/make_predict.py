"""Write docs/predict.md's tables from docs/evidence/pictures.json, and its picture from a run.

mnist-fn train --backend jax --l2 3e-5 --out /tmp/reader
python docs/make/evidence_pictures.py /tmp/reader --n 20
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


def kinds(evidence: dict[str, Any]) -> str:
    """The table of what was read, by kind."""
    lines = [
        "| picture | n | read right | digits read right | wrong, not marked | refused |",
        "|---|---|---|---|---|---|",
    ]
    for name, kind in evidence["kinds"].items():
        digits = f"{kind['digits_right']} of {kind['digits']}" if kind["digits"] else ""
        lines.append(
            f"| {name} | {kind['n']} | {kind['right']} | {digits} | {kind['wrong_and_sure']} "
            f"| {kind['refused']} |"
        )
    full = [kind for kind in evidence["kinds"].values() if not kind["empty"]]
    total = {key: sum(kind[key] for kind in full) for key in full[0] if key != "empty"}
    n, digits = total["n"], total["digits"]
    lines.append(
        f"| all with a digit | {n} | {total['right'] / n:.1%} "
        f"| {total['digits_right'] / digits:.1%} of {digits} "
        f"| {total['wrong_and_sure'] / n:.1%} | {total['refused'] / n:.1%} |"
    )
    return "\n".join(lines) + (
        "\n\nThe model alone reads "
        f"{evidence['test_accuracy']:.1%} of MNIST's test digits. "
        f"`{evidence['run']}`, `{evidence['command']}`; {evidence['machine']}, "
        f"Python {evidence['versions']['python']}, jax {evidence['versions']['jax']}."
    )


def unsure(evidence: dict[str, Any]) -> str:
    """The table of what falls below each limit."""
    unsure = evidence["unsure"]
    names = list(unsure["n"])
    header = " | ".join(f"{name} (n = {unsure['n'][name]})" for name in names)
    lines = [f"| below | {header} |", "|---" * (len(names) + 1) + "|"]
    for limit, shares in unsure["below"].items():
        marked = f"**{limit}**" if float(limit) == unsure["limit"] else limit
        cells = " | ".join(f"{shares[name]:.0%}" for name in names)
        lines.append(f"| {marked} | {cells} |")
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
    evidence = document()
    return renew(PAGE.read_text(), {"kinds": kinds(evidence), "unsure": unsure(evidence)})


if __name__ == "__main__":
    draw()
    PAGE.write_text(page())
