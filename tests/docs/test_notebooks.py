"""The notebooks are what their script makes, and run; a kernel's interrupt saves the run."""

import re

import make_notebooks
import nbformat
import pytest
from nbclient import NotebookClient

from figures.report import build
from figures.report.contents import read_contents
from mnist_fn import load_run, resume


def executed(notebook, folder):
    """The notebook after it ran in an empty folder, and what each cell of code shows."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=900, resources=resources).execute()
    return [outputs(cell) for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cell) -> str:
    return "\n".join(
        output.get("text") or "\n".join(map(str, output.get("data", {}).values()))
        for output in cell.outputs
    )


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The kernel runs in an empty folder and has this checkout all the same."""
    monkeypatch.setenv("PYTHONPATH", str(make_notebooks.DOCS.parent))


def test_the_ports_notebook_is_the_pages_example():
    written = make_notebooks.notebook("porting").cells
    kept = nbformat.read(make_notebooks.path("porting"), 4).cells
    assert [(cell.cell_type, cell.source) for cell in kept] == [
        (cell["cell_type"], cell["source"]) for cell in written
    ]
    names = {path.stem for path in make_notebooks.FOLDER.glob("*.ipynb")}
    assert names == set(make_notebooks.NAMES)


@pytest.mark.parametrize(("name", "pictures"), [("study", 3), ("own-data", 2), ("porting", 0)])
def test_a_notebook_is_kept_with_what_its_cells_show(name, pictures):
    """Executed to its end, without an error, its pictures small."""
    path = make_notebooks.path(name)
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    every = [output for cell in cells for output in cell.outputs]
    assert not [output for output in every if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in every) == pictures
    assert path.stat().st_size < 400_000
    assert "/tmp/" not in path.read_text()


@pytest.mark.long
@pytest.mark.mnist
def test_the_studys_notebook_on_mnist(tmp_path, mnist_dir, monkeypatch):
    monkeypatch.setenv("MNIST_FN_DATA", str(mnist_dir))
    notebook = nbformat.read(make_notebooks.path("study"), 4)
    said = executed(notebook, tmp_path)
    assert re.search(r"<td>9[78]\.\d\d%</td>", said[1])
    assert "epoch 10/10" in said[1]  # the live line, as it was at the end
    assert "best λ for shallow at learning rate 0.0005" in said[4]
    pictures = [out for cell in notebook.cells for out in cell.get("outputs", ())
                if "image/png" in out.get("data", {})]  # fmt: skip
    assert len(pictures) == 3
    assert "not decided" in said[6]
    apart = int(re.search(r"(\d+) of 10,000 predictions differ", said[7])[1])
    assert apart < 50  # measured in float32 after an epoch: 2


@pytest.mark.long
def test_the_notebook_of_own_data(tmp_path):
    notebook = nbformat.read(make_notebooks.path("own-data"), 4)
    said = executed(notebook, tmp_path)
    assert "best λ for 64" in said[2]
    assert load_run(tmp_path / "my-run").data_spec.names == ("zero", "two", "four", "six", "eight")
    assert "batch_size=5000" in said[-2]
    assert 'choose one with `dataset="even"`' in said[-2]
    assert "image/png" in notebook.cells[-1].outputs[0].data
    # and the advice of its last words holds for its own run
    page = build.build(read_contents([tmp_path / "my-run"]), "", tmp_path / "my-data")
    assert '<canvas id="seen" width="8" height="8"' in page
    assert len(page) > 100_000


@pytest.mark.long
def test_the_notebook_of_a_port(tmp_path):
    said = executed(nbformat.read(make_notebooks.path("porting"), 4), tmp_path)
    verdicts = [text for text in said if re.search("differs from|computes what", text)]
    assert len(verdicts) == 5
    assert "gelu by tanh" in verdicts[2]
    assert verdicts[-1].startswith("Flax computes what PyTorch does")


LONG = """
from mnist_fn import Config, train

train(Config(dataset="digits", hidden=(8,), epochs=1_000_000), out="r", device="cpu")
"""


@pytest.mark.long
def test_a_kernels_interrupt_ends_after_the_epoch_with_the_run_saved(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LONG)])
    resources = {"metadata": {"path": str(tmp_path)}}
    # at the timeout nbclient interrupts the kernel as a notebook's button does
    client = NotebookClient(notebook, timeout=25, interrupt_on_timeout=True, resources=resources)
    with pytest.raises(Exception, match="Interrupted"):
        client.execute()
    (cell,) = notebook.cells
    error = next(output for output in cell.outputs if output.output_type == "error")
    assert error.ename == "Interrupted"
    (line,) = error.traceback  # and no more than that
    done = int(re.match(r"Interrupted: stopped after epoch (\d+) of 1000000; ", line)[1])
    assert line.endswith("go on with: `resume('r')`")
    assert f"epoch {done}/1000000" in outputs(cell)
    more = resume(tmp_path / "r", epochs=done + 1, device="cpu", progress=False)
    assert len(more.rows) == done + 1
