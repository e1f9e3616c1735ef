"""Python in the README and docs/python.md runs as it stands, but for shorter trainings; so does
docs/exchange.md's model of PyTorch, on the README's run."""

import re

import numpy as np
import pytest
from pages import DOCS

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHORTER = {"epochs=20": "epochs=1", "epochs=5": "epochs=1", "epochs=3": "epochs=1"}


def run_all(page: str, names: dict | None = None, words: str = "") -> dict:
    """Run a page's blocks that contain `words`, one after another; return the names they define."""
    names = {} if names is None else names
    for code in BLOCK.findall((DOCS.parent / page).read_text()):
        if words not in code:
            continue
        for long, short in SHORTER.items():
            code = code.replace(long, short)
        exec(compile(code, page, "exec"), names)
    return names


@pytest.mark.long
@pytest.mark.mnist
def test_the_readmes_python(tmp_path, monkeypatch, mnist, mnist_dir):
    """Weights in a plain PyTorch model: pixels / 255 are its inputs, and no others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_FN_DATA", str(mnist_dir))
    names = run_all("docs/exchange.md", run_all("README.md"), "to_state_dict")
    torch, model, run = names["torch"], names["model"], names["run"]
    x = mnist.test.images.reshape(-1, 784).astype(np.float32) / 255

    def accuracy(inputs):
        with torch.no_grad():
            return float(
                (model(torch.from_numpy(inputs)).argmax(1).numpy() == mnist.test.labels).mean()
            )

    assert accuracy(x) == pytest.approx(run.final["test_accuracy"], abs=2e-4)
    assert accuracy((x - np.float32(0.1307)) / np.float32(0.3081)) < accuracy(x) - 0.01
    assert len(names["comparison"]) == 4


@pytest.mark.long
def test_the_python_pages_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_all("docs/python.md")
    assert len(names["losses"]) == 1
    assert "confusion" in names["figures"].PLOTS
    assert names["cosine"].schedule == "cosine"
    assert names["warmed_up"].warmup == 50
    # the loop's first epoch is that of train
    run = names["train"](names["config"], progress=False)
    assert run.config.epochs == 1
    for layer, tensors in run.weights.items():
        for name, tensor in tensors.items():
            ours = np.asarray(names["state"].params[layer][name])
            np.testing.assert_allclose(ours, tensor, atol=1e-6)
    assert float(names["accuracy"]) == pytest.approx(run.final["test_accuracy"])
