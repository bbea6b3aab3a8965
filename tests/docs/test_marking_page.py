"""What the guide to reactions and pins shows is run."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway_core import Gateway, MessageRef, PartRef
from gateway_core.testing import FakeChannel, event, open_test_gateway

PAGE = Path(__file__).parents[2] / "docs/how-to/react-and-pin.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shown():
    """The functions of the page by name."""
    names = {
        "Awaitable": Awaitable,
        "Callable": Callable,
        "FakeChannel": FakeChannel,
        "Gateway": Gateway,
        "MessageRef": MessageRef,
        "PartRef": PartRef,
        "ROOM": "room",
        "open_test_gateway": open_test_gateway,
    }
    for code in FENCE.findall(PAGE.read_text()):
        exec(code, names)  # noqa: S102 - the page's own words
    return names


async def test_the_work_is_marked_as_it_goes_on(shown, autojump_clock):
    channel, seen = FakeChannel(), []

    async def run():
        seen.extend(list(marks) for marks in channel.reactions.values())
        return "Deployed v2.3"

    async with open_test_gateway(channel, instances=["support-bot"]) as gateway:
        await shown["work"](gateway, run)
    assert [["👀"]] == seen
    assert {("room", "1"): ["👍"]} == channel.reactions
    assert (["Deployed v2.3"], ["1"]) == (channel.texts("room"), channel.pins["room"])


async def test_what_came_in_twice_is_marked_once(shown, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, instances=["support-bot"]) as gateway:
        for _ in range(2):
            await shown["seen"](gateway, event(id="7", thread="t"))
        await shown["seen"](gateway, event(asked="command"))  # there is no message
    assert {("room", "7"): ["👀"]} == channel.reactions
    assert ["t"] == [made.attempt.thread for made in channel.made]


async def test_the_page_s_own_test_passes(shown, autojump_clock):
    await shown["test_a_message_is_marked"]()
