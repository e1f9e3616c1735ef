"""Why a published confusion is outside: docs/evidence/reasons.json.

    python docs/make/evidence_reasons.py [--seeds 30]

Two reasons that our runs cannot answer: the notebook drew its own weights and batches, where ours
are shared draws, and it may have stopped an epoch before or after. So the chosen model is trained
by a plain PyTorch loop with PyTorch's own draws, and the confusions that the study names are
counted after each epoch around the last. About a minute for two seeds on one core.
"""

import argparse

import numpy as np
import torch
from pages import EVIDENCE, write_evidence
from torch import nn

from mnist_fn.shared.config import Config
from mnist_fn.shared.data.datasets import Dataset, load, scale_pixels
from mnist_fn.shared.evaluation import confusion_matrix
from mnist_fn.shared.study.experiments import experiments
from mnist_fn.shared.study.published import CONFUSIONS

AROUND = 5  # epochs before and after the one at which the study stopped


def counted(config: Config, dataset: Dataset, seed: int) -> dict[int, np.ndarray]:
    """The confusion matrix after each epoch around the config's last, by epoch."""
    torch.manual_seed(seed)
    (width,) = config.hidden
    model = nn.Sequential(
        nn.Linear(dataset.pixels, width), nn.ReLU(), nn.Linear(width, dataset.classes)
    )
    adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    images = torch.from_numpy(scale_pixels(dataset.train.images, "float32"))
    labels = torch.from_numpy(dataset.train.labels.astype(np.int64))
    pixels = torch.from_numpy(scale_pixels(dataset.test.images, "float32"))
    found = {}
    for epoch in range(1, config.epochs + AROUND + 1):
        for batch in torch.randperm(len(labels)).split(config.batch_size):
            adam.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            adam.step()
        if epoch >= config.epochs - AROUND:
            with torch.inference_mode():
                predicted = model(pixels).argmax(1).numpy()
            found[epoch] = confusion_matrix(dataset.test.labels, predicted, dataset.classes)
    return found


def main(seeds: int) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as torch_ref does: they slow an epoch down
    (config,) = experiments(Config())["chosen"].configs
    dataset = load(config.dataset)
    runs = []
    for seed in range(seeds):
        runs.append(counted(config, dataset, seed))
        print(f"seed {seed}", flush=True)
    counts = {  # of each confusion: a row a seed, a column an epoch
        f"{true} → {read}": [[int(matrix[true, read]) for matrix in run.values()] for run in runs]
        for true, read in CONFUSIONS
    }
    write_evidence(
        EVIDENCE / "reasons.json",
        f"python docs/make/evidence_reasons.py --seeds {seeds}",
        config=config.to_dict(),
        epochs=list(runs[0]),
        examples=np.bincount(dataset.test.labels).tolist(),
        counts=counts,
        threads=torch.get_num_threads(),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    main(parser.parse_args().seeds)
