"""Run `mnist-fn` under a limit on memory, many times in few imports.

`python limited.py ROOM MODULES` imports the MODULES (comma-separated), then reads JSON lines
{"folder", "arguments"} and forks for each a process that may take ROOM bytes more than it has. It
answers each with {"returncode", "stdout", "stderr", "bytes", "seconds"}: what the command said and
took.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import warnings
from pathlib import Path

HANGS_AFTER = 240  # seconds


def main() -> None:
    room, modules = int(sys.argv[1]), sys.argv[2].split(",")
    for module in ("cli.main", *modules):
        importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(answer(room, **json.loads(line))), flush=True)


def answer(room: int, folder: str, arguments: list[str]) -> dict:
    """Run one command in a process of its own."""
    before = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with warnings.catch_warnings(action="ignore"):  # of threads, which wait for work here
            process = os.fork()
        if process == 0:
            code = 70
            with contextlib.suppress(BaseException):
                code = child(room, folder, arguments, out.fileno(), err.fileno())
            os._exit(code)
        _, status, taken = os.wait4(process, 0)
        for file in (out, err):
            file.seek(0)
        return {
            "returncode": os.waitstatus_to_exitcode(status),
            "stdout": out.read().decode(errors="replace"),
            "stderr": err.read().decode(errors="replace"),
            "bytes": 1024 * taken.ru_maxrss - before,
            "seconds": taken.ru_utime + taken.ru_stime,
        }


def child(room: int, folder: str, arguments: list[str], out: int, err: int) -> int:
    """The command's exit code."""
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
    os.dup2(out, 1)
    os.dup2(err, 2)
    signal.alarm(HANGS_AFTER)
    limit = memory() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.argv[1:] = arguments
    try:
        importlib.import_module("cli.main").main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def memory() -> int:
    """Bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
