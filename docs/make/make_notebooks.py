"""Write the notebooks of the study and of data of one's own, from the cells below.

    python docs/make/make_notebooks.py [NAME...]

Each is executed in an empty folder and kept with its outputs; the tests execute them again.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from pages import DOCS

FOLDER = DOCS / "notebooks"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def say(text: str) -> Any:
    """A cell of text."""
    return nbformat.v4.new_markdown_cell(text)


def do(code: str) -> Any:
    """A cell of code."""
    return nbformat.v4.new_code_cell(code)


STUDY = [
    say("""# The study in ten minutes

What the study found, in small: a shallow network on MNIST overfits, a little L2 holds it, and which
digits it then confuses. MNIST is taken from `MNIST_FN_DATA`, your cache folder or a download. About
ten minutes on two cores; the study itself is `mnist-fn study`, which takes hours:
[docs/study.md](../study.md)."""),
    do("""from mnist_fn import Config, figures, study, sweep, train

DATASET = "mnist"  # "digits" comes with scikit-learn, and takes seconds"""),
    say("""## One run

784 → 512 → 10, λ = 3·10⁻⁵. A run shows itself: its figures after the last epoch, and its best."""),
    do("""run = train(Config(dataset=DATASET, l2=3e-5, epochs=10))
run"""),
    say("""Each figure over the epochs, as a pandas frame (accuracies 0 to 1, losses in nats):"""),
    do(
        """run.to_frame()[["train_loss", "test_loss", "train_accuracy", "test_accuracy"]].tail(3)"""
    ),
    say("""Which digits are taken for which:"""),
    do("""import matplotlib.pyplot as plt

with figures.style.themed():
    _, axes = plt.subplots(figsize=(6, 5))
    figures.confusion.plot([run], ax=axes)"""),
    say("""## What λ does

Every combination of λ and seed, compared over seeds. The folder keeps the runs: the cell once more
reads them, and after an interrupt it goes on. Within ten epochs little has overfitted yet; over the
study's 100 epochs λ = 0 turns up by half."""),
    do("""found = sweep(
    Config(dataset=DATASET, epochs=8), l2=[0, 3e-5, 3e-3], seeds=2, out=f"runs-{DATASET}"
)
found"""),
    do("""with figures.style.themed():
    figures.sweep.plot(found, ax=plt.subplots(figsize=(5, 3))[1])
    figures.curves.plot(found, ax=plt.figure(figsize=(8, 3.4)))"""),
    say("""## The study's numbers compared with ours

`quick=True` is a trial of few epochs, so no number is decided; without it, and with five seeds,
each gets a verdict."""),
    do("""trial = study(quick=True, only="chosen", dataset=DATASET, out=f"runs-{DATASET}-quick")
trial.to_frame().head()"""),
    say("""## The same on PyTorch

The same initial weights and the same batches, so what differs is arithmetic alone: how many of the
test set's predictions after one epoch?"""),
    do("""one_epoch = Config(dataset=DATASET, l2=3e-5, epochs=1)
jax, torch = (train(one_epoch, backend) for backend in ("jax", "torch"))
apart = (jax.evaluation.predictions != torch.evaluation.predictions).sum()
print(f"{apart} of {len(jax.evaluation.predictions):,} predictions differ; test loss "
      f"{jax.final['test_loss']:.6f} and {torch.final['test_loss']:.6f}")"""),
    say("""`mnist-fn parity` proves it rung by rung: [docs/parity.md](../parity.md).
Data of your own: [own-data.ipynb](own-data.ipynb).
A port of your own: [porting.ipynb](porting.ipynb)."""),
]

OWN_DATA = [
    say("""# Data of your own

Any pictures of one size with a label each. Here the set is made in the notebook: scikit-learn's
digits, 8 × 8, of which only the even ones are kept, with names. What forms are read, how files are
called and what is checked: [docs/data.md](../data.md)."""),
    do("""import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
pictures = (digits.images * 255 / 16).astype(np.uint8)  # [1797, 8, 8], light on black
even = digits.target % 2 == 0
pictures, labels = pictures[even], digits.target[even] // 2  # classes 0 to 4
order = np.random.default_rng(0).permutation(len(labels))
train_part, test_part = order[:700], order[700:]"""),
    say("""## As files

Four files, images and labels of train and of test, and a file of the classes' names."""),
    do("""from pathlib import Path

folder = Path("my-data")
folder.mkdir(exist_ok=True)
for name, part in {"train": train_part, "test": test_part}.items():
    np.savez(folder / f"even-{name}-images.npz", pictures[part])
    np.savez(folder / f"even-{name}-labels.npz", labels[part])
_ = (folder / "even-classes.txt").write_text("zero\\ntwo\\nfour\\nsix\\neight\\n")"""),
    say("""## Trained

A validation split is held out of train, so that the choice of λ is an honest one."""),
    do("""from mnist_fn import Config, sweep, train

own = Config(dataset="even", hidden=(64,), epochs=30, batch_size=50, validation=100)
found = sweep(own, l2=[0, 1e-4, 1e-2], seeds=2, data_dir=folder, out="my-runs")
found"""),
    do("""chosen = found.best.config
run = train(chosen, data_dir=folder, out="my-run")
run"""),
    say("""## What it confuses, by name"""),
    do("""import matplotlib.pyplot as plt

from mnist_fn import figures

with figures.style.themed():
    _, axes = plt.subplots(figsize=(5, 4.2))
    figures.confusion.plot([run], ax=axes)"""),
    say("""## What goes wrong is one line

Arguments are named as they are written here; nothing that was there is lost."""),
    do("""from mnist_fn import InputError

for given in ({"batch_size": 5000}, {"dataset": "odd"}):
    try:
        train(own.replace(**given), data_dir=folder)
    except InputError as error:
        print(error)"""),
    say("""## Its curves, and a page to show

`mnist-fn report my-run --data-dir my-data --out report.html`, in a shell, makes a page with the
curves, the mistakes and a pad to draw on, here of 8 × 8 pixels."""),
    do("""with figures.style.themed():
    figures.curves.plot(run, ax=plt.figure(figsize=(8, 3.2)))"""),
]
NOTEBOOKS = {"study": STUDY, "own-data": OWN_DATA}


def notebook(cells: list[Any]) -> Any:
    """The cells as a notebook that was not executed."""
    numbered = [cell | {"id": f"cell-{i}"} for i, cell in enumerate(cells)]
    return nbformat.v4.new_notebook(cells=numbered, metadata=KERNEL)


def path(name: str) -> Path:
    """Where a notebook is kept."""
    return FOLDER / f"{name}.ipynb"


def executed(name: str) -> Any:
    """A notebook after it ran in an empty folder, with what its cells show."""
    os.environ["PYTHONPATH"] = str(DOCS.parent)
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        unexecuted = nbformat.from_dict(notebook(NOTEBOOKS[name]))
        client = NotebookClient(unexecuted, timeout=3600, resources=resources)
        return without_times(client.execute())


def without_times(ran: Any) -> Any:
    """A notebook without when each cell ran."""
    for cell in ran.cells:
        cell.metadata.pop("execution", None)
    ran.metadata.pop("language_info", None)
    return ran


if __name__ == "__main__":
    for name in sys.argv[1:] or NOTEBOOKS:
        text = json.dumps(executed(name), indent=1, ensure_ascii=False)
        path(name).write_text(text + "\n")
