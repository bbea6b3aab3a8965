"""Measures time, CPU and memory of a client's own process."""

from __future__ import annotations

import resource
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")


class Meter:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self) -> dict[str, float]:
        """Seconds and CPU seconds so far, and the program's peak memory."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "peak_rss_mb": _peak_kb() / 1024,
        }


def _peak_kb() -> int:
    """The program's own peak; Linux's `ru_maxrss` begins with the peak of the parent process."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(fields["VmHWM"].split()[0])
