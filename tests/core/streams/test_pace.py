"""What streams leave to others, and how they share the rest."""

from __future__ import annotations

import itertools

import pytest
import trio
from amounts import amount

from gateway_core.authors import Limit, Part, hookimpl
from gateway_core.testing import FakeChannel, open_test_gateway

LIMITS = {
    "slack": lambda room, operation: (
        [Limit("chat.update", 50, 60, "window")]
        if operation == "edit"
        else [Limit(f"post {room}", 1, 1.0, of="room")]
    ),
    "group": lambda room, _: [
        Limit(f"chat {room}", 1, 1.0, of="room"),
        Limit(f"group {room}", 20, 60, "window", of="room"),
        Limit("bot", 30, 1.0, most=30),
    ],
    "discord": lambda room, operation: [
        Limit(f"{operation} {room}", 5, 5.0, "window", of="room"),
        Limit("global", 49, 1.0, most=50),
    ],
}


class LongParts(FakeChannel):
    """Messages of four thousand characters at the most."""

    @hookimpl
    def chunk(self, envelope):
        text = envelope.text
        return [
            Part(payload={"text": text[at : at + 4000]}, span=(at, min(at + 4000, len(text))))
            for at in range(0, len(text), 4000)
        ]


ANSWERS = [
    ("slack", 40, 2_000),
    ("group", 10, 20_000),
    ("discord", 10, 20_000),
    ("discord", 40, 2_000),
    ("slack", 40, 20_000),
    *((platform, count, 2_000) for platform in LIMITS for count in (1, 10)),
    ("group", 40, 2_000),
]
"""How many at once, and of how many characters."""


@pytest.mark.parametrize(
    ("platform", "count", "length"), ANSWERS[: amount("kinds of answers at once")]
)
async def test_no_final_waits_for_passing_states(autojump_clock, platform, count, length):
    """Answers of unequal length in rooms of their own, beside plain messages in others."""
    channel, late, waited = LongParts(limits=LIMITS[platform], latency=0.1), [], []

    async def answer(number, gateway):
        seconds = 20 + (number * 37) % 70
        async with gateway.stream(("bot", f"room {number}")) as out:
            steps = seconds * 2
            for _ in range(steps):
                out.write("x" * (length // steps))
                await trio.sleep(0.5)
            ended = trio.current_time()
            await out.finish()
            late.append(trio.current_time() - ended)

    async def plain(number, gateway):
        await trio.sleep(number * 3)
        began = trio.current_time()
        await gateway.send("bot", f"other {number}", "hello")
        waited.append(trio.current_time() - began)

    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(answer, number, gateway)
        for number in range(20):
            nursery.start_soon(plain, number, gateway)
    assert max(late) <= (3.0 if platform == "group" else 2.0)
    assert sorted(waited)[18] <= 0.2
    for number in range(count):
        text = "".join(channel.texts(f"room {number}"))
        steps = (20 + (number * 37) % 70) * 2
        assert len(text) == length // steps * steps


SHARING = [(10, 16.0), (1, 1.3), (5, 7.0), (40, 250.0)]
"""How many, and the longest time that one of them waits."""


@pytest.mark.parametrize(("count", "most"), SHARING[: amount("numbers of streams that share")])
async def test_passing_states_share_what_is_left(autojump_clock, count, most):
    """Once each stream shows something, they take turns."""
    channel = FakeChannel(limits=LIMITS["slack"], latency=0.1)
    whole, pause = (1500, 1.0) if count == 40 else (240, 0.25)

    async def answer(number, gateway):
        async with gateway.stream(("bot", f"room {number}")) as out:
            for _ in range(round(whole / pause)):
                out.write("word ")
                await trio.sleep(pause)

    async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(answer, number, gateway)
    edits = [
        [m.at for m in channel.made if m.attempt.operation == "edit" and m.attempt.room == room]
        for room in (f"room {number}" for number in range(count))
    ]
    settled = [[at for at in times if 70 < at < whole] for times in edits]
    gaps = [b - a for times in settled for a, b in itertools.pairwise(times)]
    assert max(gaps) <= most * 1.05
    fair = sum(map(len, settled)) / count
    assert all(0.75 * fair - 1 <= len(times) <= 1.25 * fair + 1 for times in settled)
