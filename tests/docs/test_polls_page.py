"""What the guide to polls and cards shows is run against the platforms that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway_contrib.emulators.testing.platforms import PLATFORMS
from gateway_core import Delivered, Gateway, Poll, open_gateway, parse_config
from gateway_core.testing import FakeChannel, open_network, open_test_gateway

PAGE = Path(__file__).parents[2] / "docs/how-to/send-polls-and-cards.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shown():
    """The functions of the page by name."""
    names = {"Delivered": Delivered, "Gateway": Gateway, "Poll": Poll}
    for code in FENCE.findall(PAGE.read_text()):
        exec(code, names)  # noqa: S102 - the page's own words
    return names


async def test_the_poll_follows_its_text(shown, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, instances=["support"]) as gateway:
        sent = await shown["ask"](gateway, "room")
    assert ["It is **noon**.", "Lunch?"] == channel.texts("room")
    assert [False, True] == [part.fixed for part in sent.ref.parts]


@pytest.mark.parametrize(
    ("channel", "room", "what", "texts"),
    [
        ("discord", "1100000000000000001", "alert", [""]),
        ("slack", "C024BE91L", "report", ["Disk 91 % full"]),
        ("telegram", "7", "meet", ["We meet here:", "52.52, 13.405"]),
    ],
)
async def test_what_one_platform_has_arrives_there(
    shown, channel, room, what, texts, autojump_clock
):
    platform = PLATFORMS[channel]
    emulator = platform.emulator(tokens={platform.token})
    account = {"channel": channel, "token": platform.token}
    account["base_url"] = f"https://platform.example{platform.path}"
    async with open_network() as network:
        network.mount("https://platform.example", emulator.app)
        config = parse_config({"instances": {f"{channel}-bot": account}})
        async with open_gateway(config) as gateway:
            await shown[what](gateway, room)
    messages = emulator.rooms.conversation(room)
    assert texts == [message.text for message in messages]
    if channel == "discord":
        assert "Disk 91 % full" == messages[0].fields["embeds"][0]["title"]
    if channel == "slack":
        assert "Disk 91 % full" == messages[0].fields["text"]
