"""Weights from elsewhere made runs, under every name that people have; hostile files refused."""

import io
import itertools
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from torch import nn

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import scale_pixels
from mnist_fn.shared.errors import InputError
from mnist_fn.shared.exchange.from_safetensors import read_tensors
from mnist_fn.shared.exchange.importing import import_run
from mnist_fn.shared.exchange.layers import mlp_of
from mnist_fn.shared.exchange.scaling import Scaling, folded, read_scaling
from mnist_fn.shared.runs import folder
from mnist_fn.shared.runs.trainer import evaluate_run, load_run, resume, train
from torch_ref.exchange import read_pt


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    """Two hidden layers of one width: their shapes alone leave a choice."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def renamed(model: nn.Module, *names: str) -> dict[str, torch.Tensor]:
    state = list(model.state_dict().values())
    kinds = ("weight", "bias")
    return {f"{names[i // 2]}.{kinds[i % 2]}": tensor for i, tensor in enumerate(state)}


def checkpoints(model: nn.Module) -> dict[str, object]:
    """The same weights as people keep them."""
    plain, fc = model.state_dict(), renamed(model, "fc1", "fc2", "fc3")
    optimizer = torch.optim.Adam(model.parameters())
    return {
        "nn.Sequential": plain,
        "fc": fc,
        "in another order": dict(reversed(fc.items())),
        "DDP": {f"module.{name}": tensor for name, tensor in plain.items()},
        "compiled": {f"_orig_mod.{name}": tensor for name, tensor in fc.items()},
        "both": {f"_orig_mod.module.net.{name}": tensor for name, tensor in plain.items()},
        "in model": {"model": fc, "optimizer": optimizer.state_dict(), "epoch": 7, "loss": 0.1},
        "in state_dict": {"state_dict": plain, "optim": optimizer.state_dict()},
        "deeper": {"checkpoint": {"net": {f"module.{k}": v for k, v in fc.items()}}, "args": {}},
        "parameters": {name: nn.Parameter(tensor) for name, tensor in fc.items()},
    }


KINDS = (
    "nn.Sequential", "fc", "in another order", "DDP", "compiled", "both", "in model",
    "in state_dict", "deeper", "parameters",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_gives_the_same_network(model, tmp_path, kind):
    assert set(checkpoints(model)) == set(KINDS)
    torch.save(checkpoints(model)[kind], tmp_path / "x.pt")
    tree = mlp_of(read_pt(tmp_path / "x.pt").tensors, 64, 10, "x.pt")
    assert list(tree) == ["layer1", "layer2", "layer3"]
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for tensors, layer in zip(tree.values(), linear, strict=True):
        assert np.array_equal(tensors["kernel"], layer.weight.detach().numpy().T)
        assert np.array_equal(tensors["bias"], layer.bias.detach().numpy())


def arrays(*shapes: tuple[int, ...], names: str = "abc", kind: str = "weight", bias: bool = True):
    made = {}
    for name, (out, inputs) in zip(names, shapes, strict=True):
        made[f"{name}.{kind}"] = np.full((out, inputs), 0.5, np.float32)
        if bias:
            made[f"{name}.bias"] = np.zeros(max(0, out), np.float32)
    return made


def test_order_and_transposition_come_from_the_shapes():
    tree = mlp_of(arrays((10, 5), (7, 64), (5, 7)), 64, 10, "x")
    assert [layer["kernel"].shape for layer in tree.values()] == [(64, 7), (7, 5), (5, 10)]
    flax = mlp_of(arrays((64, 10), names="a", kind="kernel", bias=False), 64, 10, "x")
    assert flax["layer1"]["kernel"].shape == (64, 10)
    assert not flax["layer1"]["bias"].any()


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (arrays((32, 64), (32, 32), (32, 32), (10, 32), names="abcd"), "more than one order"),
        (arrays((10, 65), names="a"), "do not lead from 64 pixels to 10 classes: a.weight"),
        (arrays((47, 64), names="a"), "do not lead from 64 pixels to 10 classes"),
        ({"conv.weight": np.zeros((8, 1, 3, 3), np.float32)}, "is no weight or bias of a linear"),
        ({**arrays((10, 64), names="a"), "bn.running_mean": np.zeros(9)}, "bn.running_mean"),
        ({"a.bias": np.zeros(10)}, "has a bias and no weight"),
        ({}, "0 layers"),
    ],
)
def test_what_is_no_mlp_or_ambiguous_is_refused(tensors, said):
    with pytest.raises(InputError, match=said):
        mlp_of(tensors, 64, 10, "x.pt")


def test_scaling_is_folded_exactly():
    rng = np.random.default_rng(0)
    tree = {"layer1": {"kernel": rng.normal(size=(64, 10)), "bias": rng.normal(size=10)}}
    pixels = rng.random((50, 64))
    scaling = read_scaling("mean-std")
    there = (pixels - 0.1307) / 0.3081 @ tree["layer1"]["kernel"] + tree["layer1"]["bias"]
    new = folded(tree, scaling)["layer1"]
    # float64's rounding of sums of 64 products of up to 10
    assert np.abs(pixels @ new["kernel"] + new["bias"] - there).max() < 1e-12
    assert folded(tree, read_scaling("0-1")) is tree
    assert read_scaling("0.5,0.5") == Scaling(0.5, 0.5)
    for bad in (None, "", "0-255", "1", "0.5,0", "nan,1", "0.5,-1"):
        with pytest.raises(InputError, match="--pixels"):
            read_scaling(bad)


def imported(in_process, model, tmp_path, *more):
    torch.save({"model": model.state_dict()}, tmp_path / "elsewhere.pt")
    done = in_process("import", "elsewhere.pt", "--out", "run", "--dataset", "digits", *more)
    assert done.returncode == 0, done.stderr
    assert "Adam's moments at 0" in done.stderr
    return tmp_path / "run"


def test_a_kill_before_the_checkpoint_leaves_no_run(model, tmp_path, monkeypatch):
    """Its run.json alone resumed from random weights, and said that they were imported."""

    def killed(*_):
        raise KeyboardInterrupt

    torch.save(model.state_dict(), tmp_path / "x.pt")
    source, scaling = read_pt(tmp_path / "x.pt"), read_scaling("0-1")
    monkeypatch.setattr(folder, "write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        import_run(source, tmp_path / "r", scaling, dataset="digits", backend="torch", device="cpu")
    assert not (tmp_path / "r" / "run.json").exists()


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_an_imported_run_is_a_run(in_process, model, tmp_path, digits, backend):
    run = imported(in_process, model, tmp_path, "--pixels", "0.5,0.25", "--backend", backend)
    images = scale_pixels(digits.test.images, "float32")
    with torch.no_grad():
        there = model(torch.from_numpy((images - 0.5) / 0.25)).numpy().argmax(axis=1)
    loaded = load_run(run)
    assert loaded.evaluation.predictions.tolist() == there.tolist()
    assert evaluate_run(run, backend="jax")[1].accuracy == loaded.evaluation.accuracy
    assert loaded.state.step == 0
    assert not any(
        moment.any() for layer in loaded.state.slots["mu"].values() for moment in layer.values()
    )
    longer = resume(run, epochs=3, backend=backend)
    assert [row["epoch"] for row in longer.rows] == [1, 2, 3]
    assert longer.rows[0] == loaded.rows[0]
    assert longer.final["train_loss"] < loaded.final["train_loss"]
    assert longer.state.step == 2 * -(-len(digits.train) // 200)
    done = in_process("report", "run", "--out", "new/report.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / "report.html").exists()


def test_a_round_trip_is_exact(in_process, model, tmp_path):
    run = imported(in_process, model, tmp_path, "--pixels", "0-1")
    done = in_process("export", "run", "--to", "torch")
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    for mine, theirs in zip(state.values(), model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    save_file({k: v.numpy() for k, v in state.items()}, tmp_path / "again.safetensors")
    more = ("--dataset", "digits", "--pixels", "0-1", "--json")
    done = in_process("import", "again.safetensors", *more)
    assert done.returncode == 0, done.stderr
    again = load_run(tmp_path / "runs" / "again")
    assert again.evaluation.predictions.tolist() == load_run(run).evaluation.predictions.tolist()


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch /tmp/mnist-fn-was-executed",))


def zipped(compress: bool) -> bytes:
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("x/data.pkl", b"\0" * 10_000_000)
    return file.getvalue()


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(Bomb()), "not a file of torch.save"),
        (saved({"model": Bomb()}), "without running code"),
        (saved(nn.Linear(64, 10)),
         r"without running code \(Unsupported global: GLOBAL torch.nn.modules.linear.Linear\)"),
        (zipped(True), "its content is compressed"),
        (zipped(False), "without running code"),
        (b"", "an empty file"),
        (saved({"a.weight": torch.zeros(1).expand(40_000, 40_000)}), "1,600,000,000 numbers; at"),
        (saved({"a": {"w.weight": torch.zeros(2, 2)}, "ema": {"w.weight": torch.zeros(2, 2)}}),
         "one state dict is expected, there are a, ema"),
        (saved({"epoch": 3}), "there are none"),
        (saved({"w.weight": torch.zeros(2, 2, dtype=torch.int64)}), "no plain tensor"),
        (saved({"w.weight": torch.zeros(2, 2).to_sparse()}), "no plain tensor"),
    ],
    # some have the time or an address in them: xdist's processes must agree on the tests' names
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)  # fmt: skip
def test_a_hostile_file_is_refused_and_not_executed(tmp_path, content, said):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_pt(path)
    assert not Path("/tmp/mnist-fn-was-executed").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nan.safetensors", "--out", "r"], "--pixels: say how pixels were scaled"),
        (["keras.h5", "--pixels", "0-1"], "an HDF5 file, as Keras writes it"),
        (["empty.pt", "--pixels", "0-1"], "an empty file"),
        (["empty.safetensors", "--pixels", "0-1"], "an empty file"),
        (["script.pt", "--pixels", "0-1"], "TorchScript, which is a program"),
        (["x.pt", "--pixels", "0-1"], "x.pt: no such file"),
        (["nan.safetensors", "--pixels", "0-1"], "nan.safetensors: a weight is not finite"),
        (["int.safetensors", "--pixels", "0-1"], "holds no floating-point numbers"),
        (["cut.safetensors", "--pixels", "0-1"], "not readable as safetensors"),
    ],
)
def test_bad_input_leaves_nothing_behind(in_process, tmp_path, arguments, said):
    weights = np.full((10, 64), np.nan, np.float32)
    save_file({"a.weight": weights}, tmp_path / "nan.safetensors")
    save_file({"a.weight": np.ones((10, 64), np.int32)}, tmp_path / "int.safetensors")
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty.pt").touch()
    (tmp_path / "empty.safetensors").touch()
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:  # as torch.jit.save has it
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl", "version"):
            archive.writestr(f"script/{name}", b"")
    whole = (tmp_path / "nan.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:50])
    done = in_process("import", *arguments, "--dataset", "digits")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "r").exists()


NAMES = {
    "in and out by number": ("hidden1", "hidden2", "hidden3", "output"),
    "Keras": ("dense", "dense_1", "dense_2", "dense_3"),
    "fc": ("fc_in", "fc1", "fc2", "fc_out"),
    "torchvision": ("features.0", "features.2", "features.4", "classifier.0"),
    "only the file says": ("alpha", "beta", "gamma", "delta"),
}


@pytest.mark.parametrize("names", NAMES)
def test_names_or_the_files_order_say_the_order(tmp_path, names):
    torch.manual_seed(1)
    widths = (64, 16, 16, 16, 10)
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    state = renamed(nn.Sequential(*layers), *NAMES[names])
    expected = [layer.weight.detach().numpy().T for layer in layers]

    def order(source) -> bool:
        tree = mlp_of(source.tensors, 64, 10, "x", ordered=source.ordered)
        return all(
            np.array_equal(tree[f"layer{i}"]["kernel"], kernel)
            for i, kernel in enumerate(expected, start=1)
        )

    torch.save(state, tmp_path / "x.pt")
    assert order(read_pt(tmp_path / "x.pt"))
    save_torch(state, tmp_path / "x.safetensors")
    if names == "only the file says":  # safetensors has an order of its own
        with pytest.raises(InputError, match="their names don't say which"):
            order(read_tensors(tmp_path / "x.safetensors"))
    else:
        assert order(read_tensors(tmp_path / "x.safetensors"))
        torch.save(dict(reversed(state.items())), tmp_path / "x.pt")
        assert order(read_pt(tmp_path / "x.pt"))


def test_the_content_tells_what_a_file_is(in_process, model, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(model)
    lightning = {"epoch": 3, "pytorch-lightning_version": "2.4.0", "loops": {}, "callbacks": {},
                 "state_dict": renamed(model, "model.1", "model.3", "model.5"),
                 "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()],
                 "hyper_parameters": {"width": 32}}  # fmt: skip
    for name, content in {"last.ckpt": lightning, "pytorch_model.bin": model.state_dict(),
                          "averaged": averaged.state_dict()}.items():  # fmt: skip
        torch.save(content, tmp_path / name)
        more = ("--dataset", "digits", "--pixels", "0-1", "--out", f"runs/{name}")
        done = in_process("import", name, *more)
        assert done.returncode == 0, done.stderr
        assert "read as ReLU between layers" in done.stderr
        assert "far below what such a model has" in done.stderr  # untrained as it is


def test_a_good_model_raises_no_doubt(in_process, tmp_path, run_of_digits):
    done = in_process("export", str(run_of_digits), "--to", "torch", "--out", "good.pt")
    assert done.returncode == 0, done.stderr
    done = in_process("import", "good.pt", "--dataset", "digits", "--pixels", "0-1")
    assert done.returncode == 0, done.stderr
    assert "read as ReLU between layers" in done.stderr
    assert "far below" not in done.stderr


@pytest.fixture(scope="module")
def run_of_digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "run"
    config = Config(dataset="digits", hidden=(32,), epochs=10, batch_size=50, learning_rate=2e-3)
    train(config, out=folder)
    return folder


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_narrow_weights_are_widened_exactly_and_it_is_said(in_process, tmp_path, kind, suffix):
    values = torch.arange(640).reshape(10, 64) / 7 * torch.logspace(-4, 2, 64)
    there = {"a.weight": values.to(kind), "a.bias": torch.tensor([-0.0, 1e-7] * 5).to(kind)}
    file = tmp_path / f"narrow{suffix}"
    (torch.save if suffix == ".pt" else save_torch)(there, file)
    done = in_process("import", file.name, "--dataset", "digits", "--pixels", "0-1")
    assert done.returncode == 0, done.stderr
    assert f"its {str(kind).removeprefix('torch.')} weights are float32 now, exactly" in done.stderr
    layer = load_run(tmp_path / "runs" / "narrow").weights["layer1"]
    assert layer["kernel"].dtype == np.float32
    assert torch.equal(torch.from_numpy(layer["kernel"].T.copy()).to(kind), there["a.weight"])
    assert torch.equal(torch.from_numpy(layer["kernel"].T.copy()), there["a.weight"].float())
    assert layer["bias"].tobytes() == there["a.bias"].float().numpy().tobytes()


def test_a_run_that_is_there_is_kept(in_process, model, tmp_path):
    imported(in_process, model, tmp_path, "--pixels", "0-1")
    more = ("--out", "run", "--dataset", "digits", "--pixels", "0-1")
    done = in_process("import", "elsewhere.pt", *more)
    assert done.returncode == 2
    assert "run: holds a run already" in done.stderr
