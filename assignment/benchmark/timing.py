"""Median times, and the machine they were taken on."""

import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

ENOUGH = 0.5  # seconds of repetitions


def median_seconds(function: Callable) -> float:
    """The median time of a function whose results are awaited, of up to 30 calls after the first."""
    _seconds(function)
    times = []
    while sum(times) < ENOUGH and len(times) < 30:
        times.append(_seconds(function))
    return statistics.median(times)


def side_by_side(functions: dict[str, Callable], rounds: int = 10, calls: int = 3) -> dict[str, float]:
    """The median times of functions by name, taken in turns: whatever else the machine does hits them all alike."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            _seconds(function)  # The others have emptied the caches.
            times[name] += [_seconds(function) for _ in range(calls)]
    return {name: statistics.median(found) for name, found in times.items()}


def _seconds(function):
    start = time.perf_counter()
    tf.nest.map_structure(np.asarray, function())  # Waits for the results.
    return time.perf_counter() - start


class PeakMemory:
    """How far a process grows beyond what it holds now: Linux keeps a high-water mark, which can be set back."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.before = self._read("VmRSS")

    def growth(self) -> int:
        """Bytes."""
        return max(0, self._read("VmHWM") - self.before)

    def _read(self, field):
        return 1024 * int(re.search(rf"{field}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def machine() -> str:
    """What the numbers were measured on, in words."""
    devices = tf.config.list_physical_devices("GPU")
    if devices:
        names = [tf.config.experimental.get_device_details(device).get("device_name", "GPU") for device in devices]
        return f"{len(devices)} GPU ({', '.join(sorted(set(names)))}), TensorFlow {tf.__version__}"
    return f"{len(os.sched_getaffinity(0))} CPU cores, TensorFlow {tf.__version__}"
