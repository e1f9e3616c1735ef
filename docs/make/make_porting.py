"""Write what docs/porting.md has of the ladder itself; make_notebooks.py makes its notebook.

    python docs/make/make_porting.py

The worked example is `FILE`: a CNN, and its port with four mistakes that people make. After each
verdict one line is corrected, as it says. The table of defaults is tests/support/port_defaults.py.
"""

import itertools
import re
import runpy
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from pages import DOCS, read_evidence, table, versions_of, write_page

from mnist_fn.shared import source
from tests.support.port_defaults import DEFAULTS

PAGE = DOCS / "porting.md"

FILE = """import flax.linen as nn
import numpy as np
import optax
import torch

from mnist_fn.parity import FlaxProgram
from torch_ref.parity import TorchProgram


class Reference(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.norm = torch.nn.LayerNorm(32)
        self.inner, self.head = torch.nn.Linear(8 * 7 * 7, 32), torch.nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.conv(x)).flatten(1)
        return self.head(torch.nn.functional.gelu(self.norm(self.inner(x))))


class Port(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3), strides=2, name="conv")(x))
        x = x.reshape(len(x), -1)
        x = nn.LayerNorm(name="norm", epsilon=1e-5)(nn.Dense(32, name="inner")(x))
        return nn.Dense(10, name="head")(nn.gelu(x))


def loss(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


torch.manual_seed(0)
rng = np.random.default_rng(0)
batches = [(rng.normal(size=(16, 1, 14, 14)), rng.integers(0, 10, 16)) for _ in range(4)]
reference = TorchProgram(
    Reference(),
    loss=torch.nn.functional.cross_entropy,
    optimizer=lambda parameters: torch.optim.Adam(parameters, 1e-3, weight_decay=1e-3),
)
port = FlaxProgram(Port(), loss=loss, optimizer=optax.adamw(1e-3, weight_decay=1e-3))
"""
# This project's own two models: tests/parity/test_port_own.py runs it on the embedded digits.
OWN = """import numpy as np
import optax
import torch

from mnist_fn import Config
from mnist_fn.model import MLP
from mnist_fn.parity import FlaxProgram
from mnist_fn.shared.data.datasets import load, scale_pixels
from mnist_fn.shared.streams import batch_order, initial_state
from mnist_fn.training import decay_and_rate, make_direction, penalty
from torch_ref import model as reference_model
from torch_ref.parity import TorchProgram
from torch_ref.train import make_optimizer
from torch_ref.weights import to_state_dict

config, data = Config(hidden=(64, 32), l2=3e-5, precision="float64"), load("mnist")
order = batch_order(config.seed, 1, len(data.train))[: 20 * config.batch_size]
batches = [
    (scale_pixels(data.train.images[batch], "float64"), data.train.labels[batch].astype(np.int64))
    for batch in order.reshape(20, -1)
]
start = initial_state(config, data.pixels, data.classes).params
module = reference_model.MLP(data.pixels, config.hidden, data.classes, torch.float64)
module.load_state_dict(to_state_dict(start))
reference = TorchProgram(
    module,
    loss=torch.nn.functional.cross_entropy,
    optimizer=lambda model: make_optimizer(model, config),  # groups: Adam's weight_decay is 2λ
)
port = FlaxProgram(
    MLP(config.hidden, data.classes, np.float64),
    loss=lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(),
    penalty=lambda params: config.l2 * penalty(params),  # λ Σ W², in the loss
    optimizer=optax.chain(
        make_direction(config).transform, decay_and_rate(config.learning_rate, config.weight_decay)
    ),
)
"""
# what is corrected after each verdict: (the line as it is, as it should be)
MENDED = [
    ('nn.Conv(8, (3, 3), strides=2, name="conv")',
     'nn.Conv(8, (3, 3), strides=2, padding=1, name="conv")'),
    ("x = x.reshape(len(x), -1)", "x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)"),
    ("nn.gelu(x)", "nn.gelu(x, approximate=False)"),
    ("optax.adamw(1e-3, weight_decay=1e-3)",
     "optax.chain(optax.add_decayed_weights(1e-3), optax.adam(1e-3))"),
]  # fmt: skip


def files() -> list[str]:
    """The example as it is before each verdict; the last is right."""
    made = [FILE]
    for wrong, right in MENDED:
        assert made[-1].count(wrong) == 1, wrong
        made.append(made[-1].replace(wrong, right))
    return made


def verdicts() -> list[Any]:
    """The verdict on each."""
    from mnist_fn.parity import check_port

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for text in files():
            path = Path(folder) / "my_port.py"
            path.write_text(text)
            names = runpy.run_path(str(path))
            found.append(check_port(names["reference"], names["port"], names["batches"]))
    return found


def sections(found: list[Any]) -> dict[str, str]:
    """What stands between the page's markers."""
    parts = [f"```python\n{FILE}```\n\n    mnist-fn port my_port.py\n"]
    for i, verdict in enumerate(found):
        parts.append(f"```\n{verdict.text}\n```\n")
        if i < len(MENDED):
            wrong, right = MENDED[i]
            parts.append(f"`{wrong}` becomes `{right}`. Then:\n")
    rows = [[one.topic, one.pytorch, one.jax, one.write, one.rung or "a note"] for one in DEFAULTS]
    defaults = table(["topic", "PyTorch", "JAX, Flax, Optax", "write", "found at"], rows)
    own = f"```python\n{OWN}```"
    return {"example": "\n".join(parts).rstrip(), "defaults": defaults, "own": own,
            "public": public(), "random": drawn()}  # fmt: skip


def public() -> str:
    """The tables of public pairs."""
    judged = read_evidence("ports-public")
    named = versions_of(judged, "transformers", "torch", "jax", "optax")
    models = []
    for pair in judged["models"]:
        size, seconds = f"{pair['parameters']:,}", f"{pair['cpu_seconds']:.0f}"
        models.append([pair["pair"], size, pair["lines"], seconds, _verdict(pair)])
    rules = [[rule["pair"], _verdict(rule)] for rule in judged["optimizers"] + judged["losses"]]
    return "\n\n".join([
        f"`{judged['command']}` ({named}; {judged['machine']}; source "
        f"{judged['versions'][source.EVERYTHING]}; {judged['steps']} steps of each model, "
        f"{judged['rule_steps']} of each rule and loss):",
        table(["pair", "parameters", "lines of the entry", "CPU s", "verdict"], models),
        table(["torch and optax", "verdict"], rules),
    ])  # fmt: skip


def _verdict(judged: dict[str, Any]) -> str:
    """A verdict in a cell: passes, or where they differ and why."""
    if judged["passed"]:
        return "passes"
    said = judged["cause"] or "no cause named"
    return f"differs at {judged['rung']}: {said.replace('|', '¦')}"


def drawn() -> str:
    """What became of ports drawn at random, model by model."""
    judged = read_evidence("ports-random")
    right, wrong, counts = judged["right"], judged["wrong"], judged["counts"]
    rows = []
    for model in dict.fromkeys(case["model"] for case in right):
        ours = [case for case in right if case["model"] == model]
        theirs = [case for case in wrong if case["model"] == model]
        counted = [sum(case[key] for case in theirs) for key in ("found", "named", "named_wrong")]
        refused = sum(not case["passed"] for case in ours)
        rows.append([model, len(ours), refused, len(theirs), *counted])
    share = counts["named"] / counts["wrong"]
    different = len({(case["model"], case["line"], case["text"]) for case in wrong})
    kinds = len({case["change"] for case in wrong})
    head = ["model", "right", "refused", "wrong", "found", "named", "named wrong"]
    return "\n\n".join([
        f"`{judged['command']}`: {counts['right']} right ports of {counts['seeds']} seeds, "
        f"{counts['refused']} refused; {counts['wrong']} wrong ones ({different} different changes "
        f"of {kinds} kinds), {counts['found']} found, {counts['named']} named ({share:.0%}), "
        f"{counts['named_wrong']} named wrong ({judged['steps']} steps; {judged['machine']}; "
        f"{versions_of(judged, 'jax', 'optax', 'torch', 'python')}; source "
        f"{judged['versions'][source.EVERYTHING]}). That source may be older than the present one.",
        table(head, rows),
    ])  # fmt: skip


def without_rounding(text: str) -> str:
    """The text with figures of rounding, which another processor has otherwise, left out."""
    text = re.sub(r"\d(\.\d+)?e-1[0-9]|(?<![\d.])0e\+00", "tiny", text)
    # which of many that are all rounding comes nearest to its bound
    text = re.sub(r"(ok    .*? allowed), .*?; (\d+ compared)", r"\1; \2", text)
    text = re.sub(r" \(next best: .*\)", "", text)
    return re.sub(r"-?\d+\.\d{3,}", "number", text)


def cells() -> list[Any]:
    """The example as cells: the file, a verdict, and each line corrected in turn."""
    v4 = nbformat.v4
    judged = "verdict = check_port(reference, port, batches)\nprint(verdict.text)"
    made = [
        v4.new_markdown_cell(
            "# From a wrong port to a right one\n\nA CNN in PyTorch and its port to Flax, with "
            "four mistakes that people make. Each verdict names the first mistake, and the next "
            "cell corrects it. [docs/porting.md](../porting.md) explains how to read a verdict."
        ),
        v4.new_code_cell(FILE),
        v4.new_code_cell(f"from mnist_fn.parity import check_port\n\n{judged}"),
    ]
    texts = files()
    for before, after in itertools.pairwise(texts):
        line, again = _changed(before, after)
        made.append(v4.new_markdown_cell(f"Corrected as the verdict says: `{line}`."))
        made.append(v4.new_code_cell(f"{again}\n{judged}"))
    made.append(v4.new_code_cell("verdict.assert_passed()"))
    return made


def _changed(before: str, after: str) -> tuple[str, str]:
    """(the line that changed, the class or statement to run again)."""
    old, new = before.splitlines(), after.splitlines()
    (line,) = (b for a, b in zip(old, new, strict=True) if a != b)
    side = next(text for text in reversed(new) if text.startswith("port = "))
    start, end = new.index("class Port(nn.Module):"), new.index("def loss(logits, labels):")
    model = "\n".join(new[start:end]).rstrip() + "\n\n\n"
    return line.strip(), ("" if line == side else model) + side


if __name__ == "__main__":
    write_page(PAGE, sections(verdicts()))
