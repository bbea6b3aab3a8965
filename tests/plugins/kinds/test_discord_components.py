"""Edits of a message that consists of components alone (Components V2), which takes no text."""

import pytest

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_core import Disposition, Instance, Invalid, KeyRef, Reason, Secret
from gateway_plugin_discord.settings import DiscordSettings

ROOM = "1100000000000000001"
KEY = KeyRef(instance_id="support", external_room_id=ROOM, key="k")
WORDS = "text: Discord takes none with Components V2 (flag 1 << 15): put it into a component"


def components(words):
    return {"flags": 1 << 15, "components": [{"type": 10, "content": words}]}


@pytest.fixture
def emulator():
    return DiscordEmulator()


@pytest.fixture
async def gateway(open_to, emulator, autojump_clock):
    instance = Instance("support", "discord", DiscordSettings(token=Secret("a.b.c")))
    async with open_to("https://discord.com", emulator.app, instance) as opened:
        yield opened


@pytest.fixture
async def sent(gateway):
    return await gateway.send("support", ROOM, "", extra=components("old"), key="k")


def shown(emulator):
    """The texts of the components, and the text beside them."""
    return [
        ([one["content"] for one in message.fields["components"]], message.text)
        for message in emulator.rooms.conversation(ROOM)
    ]


@pytest.mark.parametrize("extra", [None, {}])
async def test_a_text_is_refused_before_it_is_accepted(gateway, emulator, sent, extra):
    with pytest.raises(Invalid, match="Components V2") as caught:
        await gateway.edit(sent.ref, "new", extra=extra)
    assert [WORDS] == [f"{one.place}: {one.text}" for one in caught.value.problems]
    assert [(["old"], "")] == shown(emulator)


@pytest.mark.parametrize("text", ["new", "word " * 500])
async def test_a_text_for_a_message_by_its_key_ends_rejected(gateway, emulator, sent, text):
    """If the text makes two parts, Discord itself refuses the first."""
    receipt = await gateway.edit(KEY, text, raises=False)
    assert (Disposition.REJECTED, Reason.UNSUPPORTED) == (
        receipt.disposition,
        receipt.verdict.reason,
    )
    assert text != "new" or receipt.verdict.raw == WORDS
    assert [(["old"], "")] == shown(emulator)


@pytest.mark.parametrize("by", ["ref", "key"])
async def test_it_gets_other_components(gateway, emulator, sent, by):
    target = sent.ref if by == "ref" else KEY
    assert (await gateway.edit(target, "", extra=components("new"))).delivered
    assert [(["new"], "")] == shown(emulator)
