"""Refuses what will not fit in memory before it starts, with the size that would fit."""

from __future__ import annotations

import math
import re
from pathlib import Path

MACHINE = Path("/proc/meminfo")
# A container's limit and its present use, in the second and in the first version of Linux control groups.
CONTAINERS = [
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
]


def available() -> float:
    """The bytes of main memory that can be had now; infinity where the system does not tell."""
    free = [1024 * _number(MACHINE, r"^MemAvailable:\s*(\d+)")]
    for folder, limit, used in CONTAINERS:
        # Files that were read count as used memory, but the system gives that part back on demand.
        cached = _number(folder / "memory.stat", r"^inactive_file (\d+)", otherwise=0)
        free.append(_number(folder / limit) - _number(folder / used, otherwise=0) + cached)
    return min(free)


def _number(path, pattern=r"^(\d+)", otherwise=math.inf):
    try:
        found = re.search(pattern, path.read_text(), re.MULTILINE)
    except OSError:
        return otherwise
    return int(found[1]) if found else otherwise


def require(needed: float, what: str, remedy: str = "use smaller images", size: tuple = (), power: int = 3) -> None:
    """Raises ValueError unless `needed` bytes are free for `what`.

    The error names the images that would fit, where a (height, width) is given; `needed` grows as this
    power of their sides.
    """
    free = available()
    if needed > free:
        if size:
            height, width = (max(1, int(n * (free / needed) ** (1 / power))) for n in size)
            remedy += f" (about {height} × {width} pixels would fit)"
        raise ValueError(f"{what} needs about {_words(needed)} of memory and {_words(free)} are free: {remedy}")


def _words(number):
    return f"{number / 1e9:.{0 if number > 1e10 else 1}f} GB"
