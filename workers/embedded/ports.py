"""TCP ports that are free on this machine."""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from domain.errors import Unavailable

LOOPBACK = "127.0.0.1"

_TRIES = 100


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is not busy
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Any free port."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def reserved_port(preferred: int) -> Iterator[int]:
    """``preferred``, or the next free port above it, kept from this user's other stacks until the end.

    A server takes its time to listen: without the reservation, two stacks that start at once would agree on a port.
    """
    directory = Path(tempfile.gettempdir()) / f"stepwell-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    for port in range(preferred, min(preferred + _TRIES, 65536)):
        with (directory / str(port)).open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_free(port):
                yield port
                return
    raise Unavailable(f"the ports from {preferred} to {preferred + _TRIES - 1} are all busy")
