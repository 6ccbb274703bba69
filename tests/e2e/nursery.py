"""Starts processes of ``stepwell`` in a moment: a process that has imported everything, and forks.

A test that kills dozens of workers would otherwise spend most of its time importing. What runs in the fork is the
command itself, from its entry point on.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PRELOADED = ("api.main", "cli.runs", "cli.servers", "httptools", "uvloop", "uvicorn", "workers.main")
_PR_SET_PDEATHSIG = 1


class Nursery:
    """The parent of all processes that tests start. They die with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._codes: dict[int, int] = {}

    def start(self, *arguments: str, env: Mapping[str, str], log_file: Path) -> int:
        """Start ``stepwell`` with these arguments; its output is added to the log. Returns the process id."""
        return int(self._ask({"arguments": arguments, "env": dict(env), "log_file": str(log_file)}))

    def exit_code(self, pid: int) -> int | None:
        """How the process ended (killed: the signal, negative); None while it runs."""
        if pid not in self._codes:
            code = self._ask({"poll": pid})
            if code is None:
                return None
            self._codes[pid] = code
        return self._codes[pid]

    def close(self) -> None:
        """End the nursery and everything that it has started."""
        self._process.communicate()

    def _ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve() -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        sys.stdout.write(json.dumps(_poll(order["poll"]) if "poll" in order else _start(order)) + "\n")
        sys.stdout.flush()


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _start(order: Mapping[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os._exit(_become(order, parent))
    return pid


def _become(order: Mapping[str, Any], parent: int) -> int:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    os.setsid()
    os.environ.clear()
    os.environ.update(order["env"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log_file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    sys.argv = ["stepwell", *order["arguments"]]
    try:
        importlib.import_module("cli.main").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # nothing may reach the loop that this process was forked from
        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve()
