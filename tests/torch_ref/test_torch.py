"""The PyTorch reference: the same data, the same state, the same experiment."""

import numpy as np
import pytest
import torch

from mnist_fn import Config, InputError, resume, train
from mnist_fn.shared import backend as backends
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.state import named_tensors
from mnist_fn.shared.streams import batch_order, initial_state
from torch_ref.model import MLP
from torch_ref.weights import from_state_dict, to_state_dict


@pytest.mark.mnist
@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_are_to_tensors_bit_for_bit(mnist, mnist_dir, tmp_path, split):
    """The data rung: torchvision's own MNIST, read from the same files, through ToTensor."""
    import gzip

    from torchvision import datasets, transforms

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in mnist_dir.iterdir():
        content = file.read_bytes()
        zipped = file.suffix == ".gz"
        (raw / file.name.removesuffix(".gz")).write_bytes(
            gzip.decompress(content) if zipped else content
        )
    theirs = datasets.MNIST(tmp_path, train=split == "train", download=False)
    ours = getattr(mnist, split)
    assert np.array_equal(theirs.data.numpy(), ours.images)
    assert np.array_equal(theirs.targets.numpy(), ours.labels)
    to_tensor = transforms.ToTensor()
    scaled = scale_pixels(ours.images[:500], "float32")
    for i in range(500):
        assert np.array_equal(to_tensor(theirs[i][0]).numpy().ravel(), scaled[i])


def test_load_and_dump_are_inverse_bit_for_bit(small):
    config = Config(dataset="digits", hidden=(16, 8))
    backend = backends.find("torch")(config, small, "cpu")
    start = initial_state(config, small.pixels, small.classes)
    state, _ = backend.train_epoch(backend.load(start), batch_order(0, 1, len(small.train)))
    once = backend.dump(state)
    again = backend.dump(backend.load(once))
    assert once.step == again.step == 2
    for kind, tree in once.trees().items():
        others = dict(named_tensors(again.trees()[kind]))
        for name, tensor in named_tensors(tree):
            assert np.array_equal(tensor, others[name]), f"{kind}/{name}"


def test_a_state_dict_takes_the_weights_along(small):
    params = initial_state(Config(hidden=(16,)), small.pixels, small.classes).params
    state = to_state_dict(params)
    assert list(state) == ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
    assert state["layer1.weight"].shape == (16, 64)  # [out, in]
    model = MLP(64, (16,), 10, torch.float32)
    model.load_state_dict(state)
    for name, tensor in named_tensors(from_state_dict(model.state_dict())):
        assert np.array_equal(tensor, dict(named_tensors(params))[name])
    with pytest.raises(InputError, match=r"expected layer1\.weight"):
        from_state_dict({"fc1.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"expected layer1\.weight"):
        from_state_dict({**state, "layer1.running_mean": torch.zeros(16)})


@pytest.mark.parametrize(("first", "second"), [("jax", "torch"), ("torch", "jax")])
def test_a_run_goes_on_with_the_other_backend(tmp_path, first, second):
    """In float64 as if one backend had trained it all: 80 steps, each rounding at most some ulps
    of the weights, so 1e-12 leaves a thousandfold margin."""
    config = Config(
        dataset="digits", hidden=(16,), l2=3e-5, epochs=10, precision="float64",
        learning_rate=5e-3,
    )  # fmt: skip
    whole = train(config, first)
    train(config.replace(epochs=5), first, out=tmp_path / "r")
    mixed = resume(tmp_path / "r", epochs=10, backend=second)
    assert mixed.backend == second
    for kind, tree in whole.state.trees().items():
        others = dict(named_tensors(mixed.state.trees()[kind]))
        for name, tensor in named_tensors(tree):
            assert np.abs(tensor - others[name]).max() <= 1e-12, f"{kind}/{name}"
    assert np.array_equal(whole.evaluation.predictions, mixed.evaluation.predictions)


def test_precisions_it_lacks_are_refused(small):
    with pytest.raises(InputError, match="must be float32 or float64"):
        backends.find("torch")(Config(dataset="digits", precision="bf16"), small, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there(small):
    with pytest.raises(InputError, match="PyTorch finds no CUDA GPU"):
        backends.find("torch")(Config(dataset="digits"), small, "gpu")


def test_flushed_denormals_do_not_leak_into_the_callers_process(small):
    config = Config(dataset="digits", hidden=(16,))
    backend = backends.find("torch")(config, small, "cpu")
    start = initial_state(config, small.pixels, small.classes)
    backend.train_epoch(backend.load(start), batch_order(0, 1, len(small.train)))
    assert np.float32(1e-40) * np.float32(0.5) > 0
