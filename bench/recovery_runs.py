"""A case of `bench.recovery` in a world, and what it came to beside the world without trouble."""

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
"""The time that a case may lose: the larger of a share of the ideal, and so many seconds."""

Opened: TypeAlias = Callable[[str, Trouble], AbstractAsyncContextManager[tuple[World, Gateway]]]
"""Opens a platform and a gateway with one account on it, and lets the trouble begin."""


@attrs.frozen(kw_only=True)
class Found:
    """What a run came to.

    seconds    until the last message of a room that is counted had ended
    refused    429s, of whatever origin, that the gateway's requests met
    judged     what the platform holds beside what the receipts say
    announced  receipts that say that there may be a copy
    arrivals   when each message of ours was stored
    """

    seconds: float
    refused: int
    judged: Mapping[str, int]
    announced: int
    arrivals: Sequence[float]


async def run(case: Case, trouble: Trouble, opened: Opened) -> Found:
    """The messages of the case, and what became of them."""
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
    """One case beside its ideal."""
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
