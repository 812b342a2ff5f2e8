"""Says beforehand that something will not fit in memory, instead of being killed half-way."""

import math
import re
from pathlib import Path

MACHINE = Path("/proc/meminfo")
# A container's limit and what is in use, by the second and the first kind of Linux control groups.
CONTAINERS = [
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
]


def available():
    """The bytes of main memory that are free or would be if asked for; infinity where the system does not tell."""
    return min([1024 * _number(MACHINE, r"^MemAvailable:\s*(\d+)"), *(_left(*names) for names in CONTAINERS)])


def _left(folder, limit, used):
    # Files that were read lately count as used, and give way when memory is asked for.
    yielding = _number(folder / "memory.stat", r"^inactive_file (\d+)", otherwise=0)
    return _number(folder / limit) - _number(folder / used, otherwise=0) + yielding


def _number(path, pattern=r"^(\d+)", otherwise=math.inf):
    try:
        found = re.search(pattern, path.read_text(), re.MULTILINE)
    except OSError:
        return otherwise
    return int(found[1]) if found else otherwise


def require(needed, what, remedy="use smaller images"):
    """Raises ValueError unless `needed` bytes are free for `what`."""
    free = available()
    if needed > free:
        raise ValueError(f"{what} needs about {_words(needed)} of memory and {_words(free)} are free: {remedy}")


def _words(number):
    return f"{number / 1e9:.{0 if number > 1e10 else 1}f} GB"
