"""Reads the groups that an outbox in a file has between two lives, by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping

import apsw
import attrs


@attrs.frozen(kw_only=True)
class GroupKept:
    """What the file knows of a group.

    retrying  whether failed members are to be made unfinished again
    words     the stored texts, as far as they are still there
    """

    size: int
    taken: int
    paused: bool
    cancelled: bool
    retrying: bool
    counts: Mapping[str, int]
    accepted_at: float
    words: str


def kept_groups(database: apsw.Connection) -> dict[str, GroupKept]:
    """The groups of a file, by their ids."""
    found = {}
    sql = """SELECT seq, id, size, taken, paused, cancelled, CAST(content AS TEXT),
        EXISTS (SELECT 1 FROM turns WHERE grp = groups.seq AND number < 0)
        FROM groups WHERE stored ORDER BY seq"""
    for seq, name, size, taken, paused, cancelled, content, retrying in database.execute(sql):
        sql = "SELECT CAST(members AS TEXT) FROM members WHERE grp = ?"
        members = [text for (text,) in database.execute(sql, (seq,))]
        sql = "SELECT disposition, count FROM counts WHERE grp = ? AND count <> 0"
        found[name] = GroupKept(
            size=size,
            taken=taken,
            paused=bool(paused),
            cancelled=bool(cancelled),
            retrying=bool(retrying),
            counts=dict(database.execute(sql, (seq,))),
            accepted_at=json.loads(content)[2]["accepted_at"],
            words=" ".join([content, *members]),
        )
    return found
