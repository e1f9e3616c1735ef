"""Write the notebooks: the study, your own data, a port of your own.

    python docs/make/make_notebooks.py [NAME...]

Each is executed in an empty folder and kept with its outputs; the tests execute them again.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import make_porting
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

This notebook shows the study's findings in small: a shallow network on MNIST overfits,
a little L2 prevents it, and the network confuses some digits more than others. MNIST
comes from `MNIST_FN_DATA`, your cache folder or a download. The notebook takes some ten
minutes on two cores. The study itself is `mnist-fn study`, which takes hours:
[docs/study.md](../study.md)."""),
    do("""from mnist_fn import Config, figures, study, sweep, train

DATASET = "mnist"  # "digits" comes with scikit-learn, and takes seconds"""),
    say("""## One run

This trains 784 → 512 → 10 with λ = 3·10⁻⁵. A notebook shows a run by its figures after
the last epoch, and by its best ones."""),
    do("""run = train(Config(dataset=DATASET, l2=3e-5, epochs=10))
run"""),
    say(
        """The metrics of each epoch as a pandas frame (accuracies from 0 to 1, losses in nats):"""
    ),
    do(
        """run.to_frame()[["train_loss", "test_loss", "train_accuracy", "test_accuracy"]].tail(3)"""
    ),
    say("""Which digits the network confuses:"""),
    do("""import matplotlib.pyplot as plt

with figures.style.themed():
    _, axes = plt.subplots(figsize=(6, 5))
    figures.confusion.plot([run], ax=axes)"""),
    say("""## What λ does

A sweep trains every combination of λ and seed, and compares the λ over seeds. The
folder keeps the runs, so the same cell reads them the next time, and resumes after an
interrupt. Within ten epochs little overfits. Over the study's 100 epochs the test loss
with λ = 0 rises by more than half."""),
    do("""found = sweep(
    Config(dataset=DATASET, epochs=8), l2=[0, 3e-5, 3e-3], seeds=2, out=f"runs-{DATASET}"
)
found"""),
    do("""with figures.style.themed():
    figures.sweep.plot(found, ax=plt.subplots(figsize=(5, 3))[1])
    figures.curves.plot(found, ax=plt.figure(figsize=(8, 3.4)))"""),
    say("""## The study's numbers compared with ours

`quick=True` is a trial of few epochs, so it decides no number. The whole study gives
each number a verdict."""),
    do("""trial = study(quick=True, only="chosen", dataset=DATASET, out=f"runs-{DATASET}-quick")
trial.to_frame().head()"""),
    say("""## The same on PyTorch

Both backends start from the same weights and train on the same batches, so only their
arithmetic differs. How many of the test set's predictions differ after one epoch?"""),
    do("""one_epoch = Config(dataset=DATASET, l2=3e-5, epochs=1)
jax, torch = (train(one_epoch, backend) for backend in ("jax", "torch"))
apart = (jax.evaluation.predictions != torch.evaluation.predictions).sum()
print(f"{apart} of {len(jax.evaluation.predictions):,} predictions differ; test loss "
      f"{jax.final['test_loss']:.6f} and {torch.final['test_loss']:.6f}")"""),
    say("""`mnist-fn parity` checks it rung by rung: [docs/parity.md](../parity.md).
Your own data: [own-data.ipynb](own-data.ipynb).
A port of your own: [porting.ipynb](porting.ipynb)."""),
]

OWN_DATA = [
    say("""# Your own data

You can train on any pictures of one size with a label each. This notebook makes its own
set: the even digits among scikit-learn's 8 × 8 digits, with names.
[docs/data.md](../data.md) says which forms and file names are read, and what is
checked."""),
    do("""import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
pictures = (digits.images * 255 / 16).astype(np.uint8)  # [1797, 8, 8], light on black
even = digits.target % 2 == 0
pictures, labels = pictures[even], digits.target[even] // 2  # classes 0 to 4
order = np.random.default_rng(0).permutation(len(labels))
train_part, test_part = order[:700], order[700:]"""),
    say("""## As files

A set is four files, images and labels of train and of test. A fifth file has the names
of the classes."""),
    do("""from pathlib import Path

folder = Path("my-data")
folder.mkdir(exist_ok=True)
for name, part in {"train": train_part, "test": test_part}.items():
    np.savez(folder / f"even-{name}-images.npz", pictures[part])
    np.savez(folder / f"even-{name}-labels.npz", labels[part])
_ = (folder / "even-classes.txt").write_text("zero\\ntwo\\nfour\\nsix\\neight\\n")"""),
    say("""## Train

A validation split is held out of train, so λ is not chosen on the test set."""),
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

Messages name the arguments as Python has them. Runs that exist are kept."""),
    do("""from mnist_fn import InputError

for given in ({"batch_size": 5000}, {"dataset": "odd"}):
    try:
        train(own.replace(**given), data_dir=folder)
    except InputError as error:
        print(error)"""),
    say("""## Its curves, and a page to show

In a shell, `mnist-fn report my-run --data-dir my-data --out report.html` makes a page
with the curves, the mistakes and a field to draw on, here of 8 × 8 pixels."""),
    do("""with figures.style.themed():
    figures.curves.plot(run, ax=plt.figure(figsize=(8, 3.2)))"""),
]
NOTEBOOKS = {"study": STUDY, "own-data": OWN_DATA, "porting": make_porting.cells()}


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
