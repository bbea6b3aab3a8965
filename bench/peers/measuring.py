"""Time, CPU and memory of a client's own process."""

from __future__ import annotations

import resource
import time


class Meter:
    """Counts from its making."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self) -> dict[str, float]:
        """Seconds and CPU seconds so far, and the most memory that the process ever had."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
