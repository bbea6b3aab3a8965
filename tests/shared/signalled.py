"""Signals to another process, one by one: two that it has not looked at between are one to it."""

from __future__ import annotations

from pathlib import Path


def has_heard(pid: int) -> bool:
    """Whether its main thread waits again, as it does once it has acted on a signal.

    Where the system does not tell, and of a process that has ended, it is taken to.
    """
    try:
        stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] not in "RD"
