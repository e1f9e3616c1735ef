"""On the path of a test cluster's nodes: states are sent often, so that short runs can be killed
in their middle."""

from mnist_fn.shared.runs import loop

loop.CHECKPOINT_SECONDS = 0.3
