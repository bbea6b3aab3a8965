"""What the guide to buttons shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway_core import Button, Gateway, MessageRef
from gateway_core.testing import FakeChannel, event, open_test_gateway

PAGE = Path(__file__).parents[2] / "docs/how-to/add-buttons.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shown():
    """The functions of the page by name."""
    names = {
        "Button": Button,
        "FakeChannel": FakeChannel,
        "Gateway": Gateway,
        "MessageRef": MessageRef,
        "ROOM": "room",
        "event": event,
        "open_test_gateway": open_test_gateway,
    }
    for code in FENCE.findall(PAGE.read_text()):
        exec(code, names)  # noqa: S102 - the page's own words
    return names


async def test_who_presses_no_is_answered_and_the_buttons_stay(shown, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, instances=["support-bot"]) as gateway:
        asked = await shown["ask"](gateway)
        await shown["pressed"](gateway, event(pressed="no"), asked)
        assert 1 == len(channel.noticed)
        await shown["pressed"](gateway, event("no press"), asked)
    assert ["Deploy v2.3?", "Fine."] == channel.texts("room")
    assert [["Deploy", "Not now"], ["What changed"]] == [
        [button.text for button in row] for row in channel.pressable["1"]
    ]


async def test_buttons_are_changed_without_the_text_and_go_with_the_next(shown, autojump_clock):
    channel, seen = FakeChannel(), []
    async with open_test_gateway(channel, instances=["support-bot"]) as gateway:
        asked = await shown["ask"](gateway)

        async def look(_attempt):
            seen.append((channel.texts("room"), channel.pressable["1"][0][0].text))

        channel.script = look
        await shown["close"](gateway, asked)
    assert [(["Deploy v2.3?"], "Deploy"), (["Deploy v2.3?"], "Remind me")] == seen
    assert (["Deployed."], {}) == (channel.texts("room"), channel.pressable)


async def test_the_page_s_own_test_passes(shown, autojump_clock):
    await shown["test_a_deployment_is_asked_for"]()
