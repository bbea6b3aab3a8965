"""One program sends a picture to all three channels, and changes it as far as each can."""

import json
from contextlib import aclosing

import pytest
from pictures import png

from gateway_core import DeliveryError, File, MessageRef, Reason

ROOMS = {"telegram": "7", "slack": "C024BE91L", "discord": "1100000000000000001"}
BOLD = {"telegram": '"type": "bold"', "slack": '"bold": true', "discord": "**A cat**"}
CAT, DOG = png(30, 20), png(9, 9)


async def program(gateway, channel, room):
    """The same for each; after each step it says what it did."""
    sent = await gateway.send(
        channel, room, "**A cat**", files=[File(CAT, name="cat.png", alt="A cat")]
    )
    yield "sent", sent.ref
    edited = await gateway.edit(sent.ref, "A *grey* cat")
    yield "edited", edited.ref
    try:
        last = await gateway.edit(edited.ref, "A dog", files=[File(DOG, name="dog.png")])
    except DeliveryError as error:
        yield "refused", error.receipt
        last = edited
    else:
        yield "replaced", last.ref
    await gateway.delete(last.ref)
    yield "deleted", last.ref


async def test_the_same_picture_on_all_three(three):
    pages, told = {}, {}
    for channel, room in ROOMS.items():
        async with aclosing(program(three.gateway, channel, room)) as steps:
            async for step, about in steps:
                told.setdefault(channel, {})[step] = about
                pages.setdefault(step, {})[channel] = await three.page(channel)
                if step == "sent":
                    [message] = three.emulators[channel].rooms.conversation(room)
                    fields = json.dumps(message.fields, default=str).replace("\\", "")
                    assert BOLD[channel] in fields
    [(_, [cat])] = pages["sent"]["telegram"]
    [(_, [dog])] = pages["replaced"]["telegram"]
    shows = {
        "sent": [("A cat", [cat])],
        "edited": [("A grey cat", [cat])],
        "replaced": [("A dog", [dog])],
        "refused": [("A grey cat", [cat])],
        "deleted": [],
    }
    assert {"telegram", "discord"} == set(pages["replaced"])
    assert {"slack"} == set(pages["refused"])
    for step, seen in pages.items():
        assert dict.fromkeys(seen, shows[step]) == seen
    assert cat != dog
    refusal = told["slack"]["refused"].verdict
    assert Reason.UNSUPPORTED is refusal.reason
    assert "a Slack message keeps the files that it was sent with" in refusal.raw
    for channel in ROOMS:
        assert [1, 1] == [len(files(told[channel][step])) for step in ("sent", "edited")]
    assert 0 == three.gateway.statistics().unfinished


def files(ref: MessageRef):
    [part] = ref.parts
    return part.files


@pytest.mark.parametrize("channel", ROOMS)
async def test_a_picture_is_deleted_with_its_message(three, channel):
    """On Slack it would stay in the workspace, where anybody finds it."""
    sent = await three.gateway.send(channel, ROOMS[channel], "", files=[File(CAT, name="cat.png")])
    await three.gateway.delete(sent.ref)
    assert [] == await three.page(channel)
    if channel == "slack":
        [file] = files(sent.ref)
        assert three.emulators["slack"]._world.files.get(file.id).deleted


SHOWN = ("file shown, not only offered for download",)
LOST = {
    "telegram": {"spoiler": (), "as_document": (), "alt": ("alternative text",)},
    "slack": {"spoiler": ("spoiler shown openly",), "as_document": SHOWN, "alt": ()},
    "discord": {"spoiler": (), "as_document": SHOWN, "alt": ()},
}


@pytest.mark.parametrize("look", ["spoiler", "as_document", "alt"])
@pytest.mark.parametrize("channel", LOST)
async def test_what_is_lost_of_a_picture_s_look_is_told(three, channel, look):
    """A picture that was to be hidden stands there for all to see: its sender must know."""
    asked = {look: "a dot" if look == "alt" else True}
    picture = File(png(), name="a.png", **asked)
    receipt = await three.gateway.send(channel, ROOMS[channel], "look", files=[picture])
    assert LOST[channel][look] == receipt.parts[0].degraded
