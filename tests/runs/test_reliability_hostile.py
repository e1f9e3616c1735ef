"""Hostile files for every reader, and that this attack can fail; no pickle anywhere."""

import ast
import copy
import importlib
import json
import math
import os
import pkgutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mnist_fn import Config, InputError, load_run, train
from mnist_fn.shared.data.arrays import read_npz
from mnist_fn.shared.runs import checkpoint, folder, loop, trainer
from mnist_fn.shared.runs.header import Header
from mnist_fn.shared.storage import locked, write_atomically
from mnist_fn.shared.streams import MAX_PARAMETERS, blank_state, initial_state
from tests.support.hostile import Hostile
from tests.support.hostile_files import FILES, sealed, zipped
from tests.support.killing import ROOT
from tests.support.tiny_backend import TINY, Tiny

EACH = 150  # the evidence run gives each reader thousands


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.backends, "find", lambda _: Tiny)
        run = train(TINY, "tiny", out=tmp_path_factory.mktemp("good") / "run").path
    return Hostile(run, tmp_path_factory.mktemp("scratch"))


TARGETS = ("IDX reader", "label reader", "NumPy archive reader", "mapping reader",
           "class name reader", "state dict reader", "safetensors reader", "config reader",
           *(f"{name} {kind}" for name in FILES
                                            for kind in ("damaged", "forged")))  # fmt: skip


def test_every_reader_is_attacked(hostile):
    assert sorted(hostile.targets()) == sorted(TARGETS)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_hostile_input_is_refused_or_means_what_it_says(hostile, target):
    counts = hostile.attack(target, EACH)
    assert counts["refused"] > EACH / 2


@pytest.mark.long
@pytest.mark.parametrize("target", [name for name in TARGETS if name.endswith("reader")])
def test_thousands_to_each_reader_of_data(hostile, target):
    hostile.attack(target, 3000)


def unsealed(path, _):
    return json.loads(path.read_bytes())


@pytest.mark.parametrize(
    ("target", "weakened"),
    [
        ("evaluation.json damaged", (folder, "read_sealed", unsealed)),
        ("checkpoint.safetensors forged", (checkpoint, "all_finite", lambda _: True)),
        ("run.json forged", (Header, "is_well_formed", lambda _: True)),
    ],
)  # fmt: skip
def test_the_attack_finds_a_reader_that_is_too_trusting(hostile, target, weakened, monkeypatch):
    monkeypatch.setattr(*weakened)
    with pytest.raises(Exception) as found:
        hostile.attack(target, 4 * EACH, shrink=False)
    assert not isinstance(found.value, InputError)


def test_a_zip_bomb_is_not_swallowed(tmp_path):
    path = tmp_path / "bomb.npz"
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, 9, 9), }".ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00\x76\x00" + header + bytes(200 * 2**20)
    path.write_bytes(zipped(array, "arr_0.npy"))
    del array
    many = tmp_path / "many.npz"
    many.write_bytes(zipped(b"", ".npy", n=30_000))
    for file, said in ((path, "claims 729 bytes of values, it holds more"),
                       (many, "list of members is too long")):  # fmt: skip
        tracemalloc.start()
        with pytest.raises(InputError, match=said):
            read_npz(file, 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * 2**20, file


def test_a_newer_schema_is_refused_by_name(hostile, tmp_path):
    for name, newest in (("run.json", 2), ("evaluation.json", 1)):
        for file in FILES:
            (tmp_path / file).write_bytes(hostile.good[file])
        document = json.loads(hostile.good[name])
        (tmp_path / name).write_text(json.dumps({**document, "schema": newest + 1}))
        message = f"{name}: schema {newest + 1}, this version reads {newest}; use the version"
        with pytest.raises(InputError, match=message):
            load_run(tmp_path)


def test_a_few_digits_cannot_ask_for_much_memory():
    huge = Config(hidden=(65_536,) * 16)
    for draw in (initial_state, blank_state):
        with pytest.raises(InputError, match=rf"at most {MAX_PARAMETERS:,}; use fewer"):
            draw(huge, 784, 10)
    large = blank_state(Config(hidden=(65_536,)), 784, 10)
    kernel = large.params["layer1"]["kernel"]
    assert kernel.base is not None
    assert kernel.strides == (0, 0)  # 51 million zeros in the memory of one


def test_blank_and_initial_states_have_one_shape():
    config = Config(hidden=(5, 4), precision="float64")
    blank, real = blank_state(config, 6, 10), initial_state(config, 6, 10)
    for layer, tensors in real.params.items():
        for kind, tensor in tensors.items():
            same = blank.params[layer][kind]
            assert (same.shape, same.dtype) == (tensor.shape, tensor.dtype)


def test_a_planted_link_is_not_written_through(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".writing-run.json").symlink_to(outside)
    (run / "run.json").symlink_to(outside)
    write_atomically(run / "run.json", b"new")
    assert (run / "run.json").read_text() == "new"
    assert outside.read_text() == "mine"
    (run / ".lock").symlink_to(tmp_path / "made")
    with pytest.raises(InputError, match="can't be written"), locked(run):
        pass
    assert not (tmp_path / "made").exists()


def test_a_pipe_or_a_folder_in_a_files_place_does_not_hang(hostile, tmp_path):
    for make, said in ((os.mkfifo, "not a plain file but a pipe"), (os.mkdir, "a folder, where")):
        run = tmp_path / make.__name__
        run.mkdir()
        for file in FILES[1:]:
            (run / file).write_bytes(hostile.good[file])
        make(run / "run.json")
        with pytest.raises(InputError, match=rf"run\.json: {said}"):
            load_run(run)
        with locked(run), pytest.raises(InputError, match="can't be written"):
            (run / "x").mkdir()  # in the file's place
            write_atomically(run / "x", b"")


def test_an_error_never_carries_an_escape_sequence():
    assert str(InputError("a \x1b[31mred\nfile \udc80")) == r"a \x1b[31mred file \udc80"


UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
PACKAGES = ("mnist_fn", "torch_ref", "cli", "figures")


def unsafe_loads(source: str) -> list[str]:
    """What in a module could run code from a file: pickle and its kin, and loaders that use it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.partition(".")[0] in UNSAFE]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if (node.module or "").partition(".")[0] in UNSAFE else []
        elif isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if call == "torch.load" and given.get("weights_only") != "True":
                found.append("torch.load without weights_only=True")
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{call} with allow_pickle")
            if call in ("eval", "exec", "torch.jit.load"):
                found.append(call)
            if call in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                found.append(call)
    return found


def test_no_module_loads_code_from_a_file():
    modules = [
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages([str(ROOT / package)], package + ".")
    ]
    assert len(modules) > 20
    for name in modules:
        module = importlib.import_module(name)
        assert unsafe_loads(Path(module.__file__).read_text()) == [], name


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from joblib import load", "torch.load(p)", "torch.load(p, weights_only=0)",
     "np.load(p)", "loaded = f(p, allow_pickle=True)", "eval(x)"],
)  # fmt: skip
def test_the_search_for_unsafe_loads_can_find_one(line):
    assert unsafe_loads(line)
    assert not unsafe_loads("torch.load(p, weights_only=True)")
    assert not unsafe_loads("np.load(p, allow_pickle=False)")


class Diverging(Tiny):
    """Goes wrong in epoch 3, in one place."""

    where = "params"

    def train_epoch(self, state, order):
        state, figures = super().train_epoch(state, order)
        if state.step == 9:
            if self.where == "loss":
                object.__setattr__(figures, "loss_sum", float("nan"))
            else:
                # an infinite bias of a class nobody chooses, or a moment: no loss shows it
                bad = -np.inf if self.where == "params" else np.nan
                state = copy.deepcopy(state)
                state.trees()[self.where]["layer1"]["bias"][3] = bad
        return state, figures


@pytest.mark.parametrize("where", ["params", "mu", "nu", "loss"])
def test_what_is_not_finite_stops_the_run_when_it_is_saved(tmp_path, monkeypatch, where):
    """Here after every epoch; a loss that is not finite stops it at once."""
    monkeypatch.setattr(trainer.backends, "find", lambda _: Diverging)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", math.inf)
    monkeypatch.setattr(Diverging, "where", where)
    said = (
        r"in epoch 3 \(steps 7 to 9\): the loss or the weights are no longer finite, "
        r"at learning rate 0.0005: try a smaller .* after epoch 2$"
    )
    with pytest.raises(InputError, match=said):
        train(TINY, "tiny", out=tmp_path / "r")
    directory = folder.RunFolder(tmp_path / "r")
    run = directory.read(directory.read_header())
    assert len(run.rows) == 2
    assert run.state.step == 6


def test_a_model_too_large_is_blamed_on_the_file_that_asks_for_it(hostile, tmp_path):
    for file in FILES:
        (tmp_path / file).write_bytes(hostile.good[file])
    document = json.loads(hostile.good["run.json"])
    document["config"]["hidden"] = [65_536, 65_536]
    (tmp_path / "run.json").write_bytes(sealed(document))
    with pytest.raises(InputError, match=r"run\.json: damaged \(`hidden=\(65536, 65536"):
        load_run(tmp_path)


@pytest.mark.parametrize("field", ["accuracy", "per_class_accuracy", "worst_confusions"])
def test_a_derived_figure_that_disagrees_is_refused(hostile, tmp_path, field):
    for file in FILES:
        (tmp_path / file).write_bytes(hostile.good[file])
    document = json.loads(hostile.good["evaluation.json"])
    document[field] = 1.0 if field == "accuracy" else document[field][1:]
    (tmp_path / "evaluation.json").write_bytes(sealed(document))
    with pytest.raises(InputError, match=r"evaluation\.json: damaged \(its parts disagree\)"):
        load_run(tmp_path)
