"""Makes the texts, orders them, and judges what became of them. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from random import Random

ROOMS = 60
ARRIVALS = ("round_robin", "mixed", "room_by_room")
"""Orders in which all texts are handed over at once."""

LOOPS = ("per_room", "paced")
"""One loop per room that awaits each text before the next, without a pace or with a manual pace."""

FAULTS = ("reset_after", "reset_before", "server_error", "no_answer")
FAULTY = 20
"""How many of the `FAULT_MESSAGES` texts have a first request that fails, in runs with faults."""

MESSAGES = 600
FAULT_MESSAGES = 200

_SENTENCES = (
    "The build passed, and the new version is on its way.",
    "Your order left our warehouse this morning; it should arrive on Thursday.",
    "Reminder: the meeting moved to half past three, same room as always.",
    "Error rate back to normal after the restart. Nothing else to do for now.",
    "Thanks, that answers it!",
)
_NAME = re.compile(r"r(\d+)n(\d+) ")


def texts(rooms: int, messages: int, order: str) -> list[tuple[int, str]]:
    """(room, text) in the order in which the application hands them over."""
    counts = [messages // rooms + (room < messages % rooms) for room in range(rooms)]
    by_room = [(room, number) for room, count in enumerate(counts) for number in range(count)]
    return [
        (room, f"{label(room, number)} {_SENTENCES[(room + number) % len(_SENTENCES)]}")
        for room, number in _ordered(by_room, order)
    ]


def _ordered(by_room: list[tuple[int, int]], order: str) -> list[tuple[int, int]]:
    if order == "room_by_room" or order in LOOPS:
        return by_room
    if order == "round_robin":
        return sorted(by_room, key=lambda item: (item[1], item[0]))
    rooms = [room for room, _ in by_room]
    Random(f"arrival {order}").shuffle(rooms)
    seen: dict[int, int] = {}
    mixed = []
    for room in rooms:
        seen[room] = seen.get(room, -1) + 1
        mixed.append((room, seen[room]))
    return mixed


def label(room: int, number: int) -> str:
    """The beginning of a text of the workload, which names it."""
    return f"r{room}n{number}"


def name_of(text: str) -> tuple[int, int]:
    """(room, number) of a text of the workload, in whatever form the platform stores it."""
    match = _NAME.match(text)
    if match is None:
        raise ValueError(f"not a text of the workload: {text!r}")
    return int(match[1]), int(match[2])


def judged(
    sent: Iterable[str], outcomes: Iterable[str], stored: Iterable[Iterable[str]]
) -> Mapping[str, int]:
    """Compares the platform's messages with the outcomes that the caller got.

    lost         messages that are not there at all
    duplicated   copies beyond the first
    late         messages accepted after a later message of their room
    misreported  reported `failed` though it is there, or `delivered` though it is not; also no
                 answer within the bounded time. `unknown` is no false report
    """
    rooms = [[name_of(text) for text in room] for room in stored]
    there = {name for room in rooms for name in room}
    told = dict(zip(map(name_of, sent), outcomes, strict=True))
    false = {True: ("failed", "none"), False: ("delivered", "none")}
    return {
        "lost": len(told.keys() - there),
        "duplicated": sum(map(len, rooms)) - len(there),
        "late": sum(_late([number for _, number in room]) for room in rooms),
        "misreported": sum(told[name] in false[name in there] for name in told),
    }


def _late(numbers: list[int]) -> int:
    """How many messages' first copies come after a later message."""
    newest, count, seen = -1, 0, set()
    for number in numbers:
        count += number < newest and number not in seen
        seen.add(number)
        newest = max(newest, number)
    return count
