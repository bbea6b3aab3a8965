"""Names one file for each of several processes; each process takes the first free file.

If a process ends and leaves unfinished envelopes, the next process that takes its file goes on with
them.
"""

from __future__ import annotations

from pathlib import Path

PLACE = "{slot}"
"""Stands in the file's name for the slot's number, from 0 on."""


def fault_of(path: Path | str, slots: int | None) -> str | None:
    """Why the path and the slots do not fit together; None: they fit."""
    if slots is not None and PLACE not in Path(path).name:
        return f"needs {PLACE} in the name of the file, such as outbox-{PLACE}.db"
    if slots is None and PLACE in Path(path).name:
        return f"must say how many slots there are, since the name of the file has {PLACE}"
    return None


def paths_of(path: Path, slots: int | None) -> tuple[Path, ...]:
    """The files of all slots, or the one file. Raises ValueError if the two do not fit together."""
    if (fault := fault_of(path, slots)) is not None:
        raise ValueError(f"slots {fault}")
    if slots is None:
        return (path,)
    return tuple(path.with_name(path.name.replace(PLACE, str(n))) for n in range(slots))
