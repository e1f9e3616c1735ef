"""A thread of its own for a backend's arithmetic, so that denormals are flushed there alone.

Flushing is a state of each thread. OpenMP makes a team of threads for the thread that first asks
for one; they take its state over, keep it, and end with it. So a thread that flushes before it
computes anything has a team that flushes, whatever ran in the process before, and nobody else's
arithmetic changes.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


class ComputingThread:
    """One thread that ends with this object. What is called in it may not call `run` itself."""

    def __init__(self) -> None:
        # Under L2 the weights of dead pixels decay into denormals, which are slow; XLA on the CPU
        # flushes them to zero, so here too.
        self._pool = ThreadPoolExecutor(
            1, "torch-ref", initializer=torch.set_flush_denormal, initargs=(True,)
        )
        self._abandoned = False
        self.threads: int = self.run(torch.get_num_threads)  # that compute, this one among them

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the thread and wait for what it returns or raises."""
        try:
            return self._pool.submit(self._call, function, arguments).result()
        except BaseException:
            self._abandoned = True  # if it was Ctrl-C, nobody waits for the rest
            raise

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self._abandoned = False
        return function(*arguments)

    def while_awaited(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, until the waiting caller is interrupted: then none is begun any more."""
        for batch in batches:
            if self._abandoned:
                return
            yield batch


def in_its_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that computes in its object's `computing` thread."""

    @functools.wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        return self.computing.run(method, self, *arguments)

    return call
