"""`make gpu-evidence`: each part in its own file, whatever becomes of the others."""

import sys

import evidence_gpu

from mnist_fn.shared.storage import read_sealed


def test_its_parts_fit_into_nine_minutes():
    parts = list(evidence_gpu.parts("gpu", "mnist"))
    assert sum(limit for _, limit, _ in parts) <= 9 * 60
    assert len({name for name, _, _ in parts}) == len(parts) == 8


def test_each_part_is_kept_whatever_becomes_of_the_others(tmp_path, monkeypatch):
    print_ = [sys.executable, "-c", "print('{\"passed\": true}')"]
    fail = [sys.executable, "-c", "import sys; sys.exit('--device gpu: JAX finds none')"]
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    made = [("slow", 1, sleep), ("broken", 60, fail), ("good", 60, print_)]
    monkeypatch.setattr(evidence_gpu, "parts", lambda device, dataset: made)
    evidence_gpu.main(["--out", str(tmp_path / "new")])
    found = {
        name: read_sealed(tmp_path / "new" / f"gpu-{name}.json", evidence_gpu.SCHEMA)
        for name, _, _ in made
    }
    assert found["slow"]["exit"] == "cut off after 1 s"
    assert (found["broken"]["exit"], found["broken"]["said"]) == (
        1, ["--device gpu: JAX finds none"],
    )  # fmt: skip
    assert found["good"]["document"] == {"passed": True}
