"""The command as it is, except that it checkpoints after every epoch and says on stdout, a letter
each time, which phase it enters: what `killing.py` aims at.

    python -m tests.support.marked train --dataset digits --out run
"""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.main import main
from mnist_fn.shared.runs import folder, loop, trainer

PHASES = {"l": "load", "c": "compile", "t": "train", "w": "write", "e": "evaluate"}


def marked(letter: str, function: Callable) -> Callable:
    def call(*args: Any, **more: Any) -> Any:
        os.write(1, letter.encode())
        if os.environ.get("MARKED_WAIT") == letter:  # for a signal that must find us here
            time.sleep(60)
        return function(*args, **more)

    return call


def find(name: str) -> Callable:
    make = found(name)

    def make_marked(*args: Any) -> Any:
        computer = make(*args)
        computer.train_epoch = marked("t", computer.train_epoch)
        computer.logits = marked("e", computer.logits)
        return computer

    return marked("c", make_marked)


if __name__ == "__main__":
    # a shell may have us ignore Ctrl-C, as it does for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found, trainer.backends.find = trainer.backends.find, find
    trainer.load_for = marked("l", trainer.load_for)
    loop.CHECKPOINT_SECONDS = 0.0
    loop.SAVING_SHARE = math.inf
    for name in ("write_atomically", "write_checkpoint", "write_sealed"):  # each file of a run
        setattr(folder, name, marked("w", getattr(folder, name)))
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the result; the pipe is the marks'
    main()
