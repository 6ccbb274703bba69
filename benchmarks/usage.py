"""What processes cost: CPU time and memory, as Linux counts them (elsewhere nothing is measured)."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_BYTES_PER_KIB = 1024


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time so far of each process and all its descendants, those that have ended included."""
    stats = dict(_stats())
    children = defaultdict(list)
    for pid, (parent, _) in stats.items():
        children[parent].append(pid)

    def ticks(pid: int) -> int:
        return stats[pid][1] + sum(ticks(child) for child in children[pid]) if pid in stats else 0

    return {name: ticks(pid) / _TICKS_PER_SECOND for name, pid in pids.items()}


def resident_mb(pid: int) -> float:
    """Memory of one process that is in RAM, in MB of 1,000,000 bytes. 0: unknown."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0.0
    kib = next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
    return kib * _BYTES_PER_KIB / 1e6


def _stats() -> list[tuple[int, tuple[int, int]]]:
    """(pid, (parent, ticks of CPU)) of all processes; ticks include those of children that have ended (proc(5))."""
    found = []
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        found.append((int(stat.parent.name), (int(fields[1]), sum(map(int, fields[11:15])))))
    return found
