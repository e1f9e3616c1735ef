"""A thread of its own for a backend's arithmetic: denormals are flushed there alone, and float32 is
float32 while it computes. Nothing of either is left in the caller's process.

Flushing is a state of each thread. OpenMP makes a team of threads for the thread that first asks
for one; they take its state over, keep it, and end with it. So a thread that flushes before it
computes anything has a team that flushes, whatever ran in the process before, and nobody else's
arithmetic changes.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


class _FullFloat32:
    """Products in float32 while any thread is in here; after the last, the caller's setting again.

    TF32 and bfloat16 are allowed or not for the whole process, not for a thread. So it is the first
    that comes in who keeps what was set, and the last who puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = _setting()
                torch.set_float32_matmul_precision("highest")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before()


def _setting() -> Callable[[], None]:
    """What puts back the precision of float32 products that is set now.

    It has an old name for all and, from PyTorch 2.9 on, one for each library; the old one raises
    where only the new were set.
    """
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:
        old = "highest"
    libraries = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    new = []
    for library in libraries:
        if hasattr(library, "fp32_precision"):
            new.append((library, library.fp32_precision))

    def put_back() -> None:
        torch.set_float32_matmul_precision(old)
        for library, precision in new:
            library.fp32_precision = precision

    return put_back


_full_float32 = _FullFloat32()


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
        with _full_float32:
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
