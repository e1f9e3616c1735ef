"""Float32 is float32 while PyTorch computes a run, and the caller's setting is left as it was."""

import threading

import pytest
import torch

from mnist_fn import Callbacks, Config, train
from torch_ref.computing import ComputingThread

CONFIG = Config(dataset="digits", hidden=(8,), epochs=2)
LIBRARIES = (
    {"cuda": torch.backends.cuda.matmul, "mkldnn": torch.backends.mkldnn.matmul}
    if hasattr(torch.backends.mkldnn, "matmul")  # from PyTorch 2.9 on
    else {}
)


def settings():
    """All that says how float32 products are computed in this process."""
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:  # only the libraries' own were set
        old = None
    return old, {name: one.fp32_precision for name, one in LIBRARIES.items()}


def by_old_name(precision):
    torch.set_float32_matmul_precision(precision)


def by_new_names(precision):
    for one in LIBRARIES.values():
        one.fp32_precision = precision


@pytest.fixture(params=[(by_old_name, "high"), (by_old_name, "medium"), (by_new_names, "tf32"),
                        (by_new_names, "none")], ids=lambda way: way[1])  # fmt: skip
def callers(request):
    """The caller allows TF32 or bfloat16, by PyTorch's old setting or by its new ones."""
    how, precision = request.param
    how(precision)
    yield settings()
    torch.set_float32_matmul_precision("highest")


def test_a_run_leaves_the_callers_setting(callers):
    train(CONFIG, "torch", device="cpu")
    assert settings() == callers


def test_a_run_that_ends_early_leaves_it_too(callers, monkeypatch):
    stopped = train(CONFIG, "torch", device="cpu", callbacks=Callbacks(should_stop=lambda: True))
    assert stopped.rows == []
    assert settings() == callers
    monkeypatch.setattr("torch_ref.backend.train_epoch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(CONFIG, "torch", device="cpu")
    assert settings() == callers


def test_while_it_computes_float32_is_float32(callers):
    old, libraries = ComputingThread().run(settings)
    assert old == "highest"
    assert not {"tf32", "bf16"} & set(libraries.values())


def test_of_two_at_once_the_last_puts_it_back(callers):
    first, second = ComputingThread(), ComputingThread()
    inside, may_end, seen = threading.Event(), threading.Event(), []

    def long():
        inside.set()
        may_end.wait(60)
        seen.append(settings()[0])

    other = threading.Thread(target=second.run, args=(long,))
    other.start()
    inside.wait(60)
    first.run(lambda: None)  # comes later and ends before
    may_end.set()
    other.join(60)
    assert seen == ["highest"]
    assert settings() == callers
