"""Runs a case of `bench.recovery`, and compares it with the same case without trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import attrs
import trio

from bench.peers.tables import Row
from bench.peers.workload import judged, texts
from bench.recovery_cases import Case, Trouble, World
from bench.worlds import message
from gateway_core import Gateway

SHARE, SECONDS = 0.1, 2.0
"""A case may lose a share of the ideal time, or so many seconds, whichever is more."""

Opened: TypeAlias = Callable[[str, Trouble], AbstractAsyncContextManager[tuple[World, Gateway]]]
"""Opens a platform and a gateway with one account on it, and lets the trouble begin."""


@attrs.frozen(kw_only=True)
class Found:
    """The figures of a run.

    seconds    seconds until the last message of a counted room had ended
    refused    how many 429s the gateway's requests got, whatever their cause
    judged     the platform's messages compared with the receipts
    announced  receipts that say that there may be a copy
    arrivals   when each of the gateway's messages was stored
    """

    seconds: float
    refused: int
    judged: Mapping[str, int]
    announced: int
    arrivals: Sequence[float]


async def run(case: Case, trouble: Trouble, opened: Opened) -> Found:
    """Send the messages of the case; returns the figures of the run."""
    async with opened(case.channel, trouble) as (there, gateway):
        for number in range(case.before):
            await gateway.send("bot", there.platform.room_id(0), f"before {number}")
        begun, last = trio.current_time(), 0.0
        handed = texts(case.rooms, case.messages, "round_robin")
        outcomes: dict[int, str] = {}
        counted = [number for number, (room, _) in enumerate(handed) if room >= case.slow]
        left = set(counted)

        async def wait(number: int, room: int, ticket: Any) -> None:
            nonlocal last
            outcomes[number] = str((await ticket.receipt()).disposition)
            if room >= case.slow:
                last = max(last, trio.current_time() - begun)
                left.discard(number)
            if not left:
                waiting.cancel_scope.cancel()

        async with trio.open_nursery() as waiting:
            for number, (room, text) in enumerate(handed):
                ticket = await gateway.submit(message(there.platform, room, text))
                waiting.start_soon(wait, number, room, ticket)
        announced = gateway.statistics().instances[0].possible_duplicates
    rooms = [there.platform.room_id(room) for room in range(case.slow, case.rooms)]
    held = [[m.text for m in there.emulator.rooms.all(room)] for room in rooms]
    told = ["delivered" if outcomes[n] == "delivered" else "failed" for n in counted]
    found = judged([handed[n][1] for n in counted], told, held)
    return Found(
        seconds=last,
        refused=there.refused,
        judged=found,
        announced=announced,
        arrivals=there.arrivals(),
    )


def beside(name: str, case: Case, without: Found, found: Found) -> Row:
    """The row of one case, compared with its ideal."""
    ideal = without.seconds + case.took
    lost, judgement = found.seconds - ideal, found.judged
    wrong = judgement["lost"] + judgement["late"] + judgement["misreported"]
    unannounced = max(0, judgement["duplicated"] - found.announced)
    return {
        "case": name.removesuffix(case.channel).rstrip(", "),
        "channel": case.channel,
        "ideal_s": round(ideal, 2),
        "took_s": round(found.seconds, 2),
        "lost_s": round(lost, 2),
        "refused": found.refused,
        "copies": judgement["duplicated"],
        "announced": found.announced,
        "lost": judgement["lost"],
        "late": judgement["late"],
        "holds": lost <= max(SHARE * ideal, SECONDS) and not (wrong or unannounced),
    }
