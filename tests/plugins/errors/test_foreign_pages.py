"""Somebody between answers for a while: every message arrives afterwards, and once."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from gateway_contrib.emulators.faults import FOREIGN_PAGES, Said
from gateway_core import Disposition

ROOMS = {
    "telegram": [str(700 + number) for number in range(20)],
    "slack": [f"C024BE9{number:02}" for number in range(20)],
    "discord": [str(1_100_000_000_000_000_000 + number) for number in range(20)],
}
SHOWN = 3.0
"""Seconds for which the page stands there."""
PORTALS = [
    Said(body=body)
    for body in (
        b"<!DOCTYPE html><html><title>Sign in to the network</title></html>",
        b'{"login": "required", "url": "https://portal.example/sign-in"}',
        b'{"code": 20, "message": "sign in first"}',
        b'{"status": "ok", "result": "accepted"}',
        b'{"Redirect": {"to": "https://portal.example"}}',
    )
]
"""What says yes with 200 and is not the platform's: pages, and JSON objects of other shapes."""


@attrs.frozen
class Between:
    """Says the same to every request until a time; from then on it lets them through."""

    app: Any
    page: Said
    until: float

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        shown = trio.current_time() < self.until
        await (self.page.response() if shown else self.app)(scope, receive, send)


async def sent_to(world: Any, rooms: list[str], page: Said) -> list[Any]:
    """The receipts of a message to each room, sent while the page is shown."""
    world.front.app = Between(world.front.app, page, trio.current_time() + SHOWN)
    receipts = []

    async def send(room: str) -> None:
        receipts.append(await gateway.send("bot", room, f"to {room}", raises=False))

    async with world.opened() as gateway, trio.open_nursery() as nursery:
        for room in rooms:
            nursery.start_soon(send, room)
    return receipts


@pytest.mark.parametrize("page", FOREIGN_PAGES, ids=lambda page: f"{page.status} {page.body!r:.30}")
async def test_a_page_of_somebody_elses_ends_no_message(world, page, autojump_clock):
    rooms = ROOMS[world.name]
    receipts = await sent_to(world, rooms, page)
    assert [Disposition.DELIVERED] * len(rooms) == [receipt.disposition for receipt in receipts]
    assert not any(receipt.possible_duplicate for receipt in receipts)
    stored = [[m.text for m in world.emulator.rooms.conversation(room)] for room in rooms]
    assert [[f"to {room}"] for room in rooms] == stored


@pytest.mark.parametrize("portal", PORTALS, ids=lambda said: f"{said.body!r:.30}")
async def test_a_page_in_place_of_a_yes_is_not_taken_for_one(world, portal, autojump_clock):
    """A portal that says 200 to everybody proves nothing, so the copy that may be is announced."""
    (receipt,) = await sent_to(world, [world.room], portal)
    assert Disposition.DELIVERED == receipt.disposition
    assert receipt.possible_duplicate is (world.name != "discord")  # its nonce makes no copy
    assert [f"to {world.room}"] == world.texts()
