"""What became of it all: per channel and in total. Pure."""

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
    """One channel's outcome, or the total; `lost`, `duplicated` and `late` by the platform's store.

    announced     messages that may be there twice by their receipts' own words
    lost          of those that are not there, the ones whose receipt does not say that
    copied        texts of which something is: of one in several messages, several may be
    injected      the 429s that the demo's faults made
    unforeseen    the 429s that the platforms' limits gave, which pacing should have avoided
    unknown       texts of which the gateway cannot know whether they arrived, and says so
    strange       messages that nobody wanted to send
    untroubled_s  when the last room was done in which no attempt failed
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
"""What `--json` tells of each."""

_TIMES = ("makespan_s", "bound_s")
_LONGEST = {*_TIMES, "untroubled_s"}


@attrs.frozen(kw_only=True)
class Report:
    """The whole outcome."""

    channels: Mapping[str, Row]

    @property
    def total(self) -> Row:
        """All channels: sums, and of the times the longest."""
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
        """Nothing lost, nothing late, nothing that nobody sent."""
        total = self.total
        return total.lost == total.late == total.strange == 0

    def json(self) -> dict[str, Any]:
        """What `--json` prints."""
        rows = {channel: _json(row) for channel, row in self.channels.items()}
        return {"channels": rows, "total": _json(self.total)}


def _json(row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in SHOWN}
    return values | {name: round(values[name], 3) for name in _TIMES}


def row(platform: Emulated, rooms: list[RoomPlan], tally: ChannelTally, *, started: float) -> Row:
    """One channel's outcome: the counts of the run, and what its platform has in store."""
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
