"""Helps to send signals one by one: two signals before a process reacts count as one."""

from __future__ import annotations

from pathlib import Path


def has_heard(pid: int) -> bool:
    """Whether the process's main thread waits again, as it does after it has handled a signal.

    True as well if the system does not say, or if the process has ended.
    """
    try:
        stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] not in "RD"
