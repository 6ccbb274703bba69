"""Named places where a test may kill this process, to prove that nothing is lost there and nothing done twice.

Inert unless ``STEPWELL_FAILPOINTS`` names some: ``point:step@file`` entries, comma-separated. Each kills the process
once, when it first comes by; the file remembers that it did. The starter's points are ``before_start`` and
``after_start``, without a step.
"""

import os
import signal
from pathlib import Path

BEFORE_CALL = "before_call"
"""The ledger is ready, the action has not been called."""

AFTER_CALL = "after_call"
"""The action has been performed, the ledger does not know yet."""

AFTER_LEDGER = "after_ledger"
"""The ledger knows, Temporal does not yet."""


class Failpoints:
    """The failpoints of this process."""

    def __init__(self, spec: str = "") -> None:
        self._files: dict[str, Path] = {}
        for entry in filter(None, spec.split(",")):
            point, _, file = entry.partition("@")
            self._files[point] = Path(file)

    def hit(self, point: str, step: str = "") -> None:
        """Die here if a test asked for it and it has not happened yet."""
        file = self._files.get(f"{point}:{step}")
        if file is not None and not file.exists():
            file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
