"""Computes the demo's outcome, per channel and in total. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_contrib.cli.demo.bounds import Writes, shortest
from gateway_contrib.cli.demo.findings import Findings, examine
from gateway_contrib.cli.demo.load import RoomPlan
from gateway_contrib.cli.demo.platforms import Emulated
from gateway_contrib.cli.demo.tally import ChannelTally
from gateway_core import Disposition


@attrs.frozen(kw_only=True)
class Row:
    """The outcome of one channel, or the total.

    The platform's store gives `lost`, `duplicated` and `late`.

    announced     messages whose receipts say that they may be there twice
    lost          missing texts and edits, without those whose receipt says so
    copied        texts with a part that is there twice; `duplicated` counts each such part
    injected      429s that the demo's faults made
    unforeseen    429s because of the platforms' limits, which pacing should have avoided
    unknown       texts whose receipt says that the gateway cannot know whether they arrived
    strange       messages that belong to no text
    untroubled_s  seconds until the last room without a failed attempt was done
    """

    accepted: int
    delivered: int
    parts: int
    pictures: int
    attempts: int
    rate_limited: int
    lost: int
    duplicated: int
    late: int
    makespan_s: float
    bound_s: float
    announced: int = 0
    copied: int = 0
    injected: int = 0
    unforeseen: int = 0
    unknown: int = 0
    strange: int = 0
    untroubled_s: float = 0.0


SHOWN = tuple(field.name for field in attrs.fields(Row))[:11]
"""The fields of each row that `--json` prints."""

_TIMES = ("makespan_s", "bound_s")
_LONGEST = {*_TIMES, "untroubled_s"}


@attrs.frozen(kw_only=True)
class Report:
    """The outcome of the whole demo."""

    channels: Mapping[str, Row]

    @property
    def total(self) -> Row:
        """All channels together: sums of counts, and the longest of the times."""
        rows = self.channels.values()
        return Row(
            **{
                field.name: (max if field.name in _LONGEST else sum)(
                    getattr(row, field.name) for row in rows
                )
                for field in attrs.fields(Row)
            }
        )

    @property
    def good(self) -> bool:
        """Whether no message was lost, late or strange."""
        total = self.total
        return total.lost == total.late == total.strange == 0

    def json(self) -> dict[str, Any]:
        """The JSON that `--json` prints."""
        rows = {channel: _json(row) for channel, row in self.channels.items()}
        return {"channels": rows, "total": _json(self.total)}


def _json(row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in SHOWN}
    return values | {name: round(values[name], 3) for name in _TIMES}


def row(platform: Emulated, rooms: list[RoomPlan], tally: ChannelTally, *, started: float) -> Row:
    """One channel's outcome: the counts of the run, and the content of its platform's store."""
    findings, writes = Findings(), []
    for plan in rooms:
        conversation = platform.emulator.rooms.conversation(plan.room)
        found = examine(plan, conversation)
        told = min(found.lost, tally.doubted[plan.room])
        findings += attrs.evolve(found, lost=found.lost - told)
        edits = sum(message.edited_at is not None for message in conversation)
        messages = len(conversation) - found.duplicated
        writes.append(Writes(plan.room, messages, edits, found.pictures))
    return Row(
        accepted=tally.accepted,
        delivered=tally.delivered,
        parts=tally.parts,
        attempts=tally.attempts,
        rate_limited=tally.rate_limited,
        makespan_s=tally.last_end - started,
        bound_s=shortest(platform.channel, writes),
        untroubled_s=tally.untroubled_end - started,
        announced=tally.announced,
        injected=sum(n for fault, n in platform.faults.counts.items() if fault == "rate_limited"),
        unknown=tally.endings[Disposition.UNKNOWN],
        unforeseen=sum(platform.emulator.limited.values()),
        **attrs.asdict(findings),
    )
