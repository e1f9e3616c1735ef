"""Run `mnist-fn` under a limit on memory that begins after its imports.

`python limited.py ROOM MODULES RESULT ARGUMENTS...`: ROOM bytes more than the process has once
the MODULES (comma-separated) are imported. RESULT is a file for what it took, as JSON.
"""

import atexit
import importlib
import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    room, modules, result, *arguments = sys.argv[1:]
    for module in ["cli.main", *filter(None, modules.split(","))]:
        importlib.import_module(module)
    limit = memory() + int(room)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    def note() -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        taken = {"bytes": 1024 * (peak - before), "seconds": time.process_time() - began}
        Path(result).write_text(json.dumps(taken))

    atexit.register(note)
    sys.argv[1:] = arguments
    importlib.import_module("cli.main").main()


def memory() -> int:
    """Bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
