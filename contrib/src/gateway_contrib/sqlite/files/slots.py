"""One file for each of several processes, of which each takes the first that is free.

What a process left unfinished that ended, whoever takes its file next goes on with.
"""

from __future__ import annotations

from pathlib import Path

PLACE = "{slot}"
"""Stands in the file's name for the slot's number, from 0 on."""


def fault_of(path: Path | str, slots: int | None) -> str | None:
    """Why these two do not go together; None: they do."""
    if slots is not None and PLACE not in Path(path).name:
        return f"needs {PLACE} in the name of the file, such as outbox-{PLACE}.db"
    if slots is None and PLACE in Path(path).name:
        return f"must say how many slots there are, since the name of the file has {PLACE}"
    return None


def paths_of(path: Path, slots: int | None) -> tuple[Path, ...]:
    """The files of all slots, or the one file. Raises ValueError where they do not go together."""
    if (fault := fault_of(path, slots)) is not None:
        raise ValueError(f"slots {fault}")
    if slots is None:
        return (path,)
    return tuple(path.with_name(path.name.replace(PLACE, str(n))) for n in range(slots))
