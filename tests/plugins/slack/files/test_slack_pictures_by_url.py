"""Pictures by URL on Slack: image blocks beside the text, which Slack fetches."""

import pytest
from pictures import png

from gateway_core import Disposition, File, Invalid

ROOM = "C024BE91L"
URL = "https://example.com/cat.png"
CAT = File(URL, alt="A cat")


def shown(slack):
    """Of each message its text, the types of its blocks, and the names of its files."""
    return [
        (
            message.text,
            [block["type"] for block in message.fields.get("blocks") or ()],
            [file.name for file in message.files],
        )
        for message in slack.rooms.conversation(ROOM)
    ]


def images(slack):
    return [
        (block["image_url"], block["alt_text"])
        for message in slack.rooms.conversation(ROOM)
        for block in message.fields.get("blocks") or ()
        if block["type"] == "image"
    ]


async def test_it_stands_below_its_text_and_stays_there_in_an_edit(slack, gateway, autojump_clock):
    receipt = await gateway.send("support", ROOM, "**A cat**", files=[CAT])
    assert [("A cat", ["rich_text", "image"], ["A cat"])] == shown(slack)
    assert [(URL, "A cat")] == images(slack)
    assert ((0,), (CAT,)) == (receipt.parts[0].files, receipt.ref.parts[0].files)
    edited = await gateway.edit(receipt.ref, "A *grey* cat")
    assert [("A grey cat", ["rich_text", "image"], ["A cat"])] == shown(slack)
    await gateway.delete(edited.ref)
    assert [] == shown(slack)


async def test_a_picture_needs_no_text_and_is_said_by_its_description(
    slack, gateway, autojump_clock
):
    await gateway.send("support", ROOM, "", files=[CAT])
    assert [("", ["image"], ["A cat"])] == shown(slack)
    assert "A cat" == slack.rooms.conversation(ROOM)[0].fields["text"]


async def test_its_description_pings_nobody(slack, gateway, autojump_clock):
    await gateway.send("support", ROOM, "", files=[File(URL, alt="<!channel> & <@U1>")])
    said = slack.rooms.conversation(ROOM)[0].fields["text"]
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" == said


async def test_a_room_by_its_name_gets_one_as_well(slack, gateway, autojump_clock):
    assert (await gateway.send("support", "#general", "A cat", files=[CAT])).delivered


@pytest.mark.parametrize("how", ["plain", "markdown"])
async def test_beside_uploaded_files_and_a_long_text(slack, gateway, how, autojump_clock):
    text, files = "long " * 2000, [File(png(), name="dog.png"), CAT]
    receipt = await gateway.send("support", ROOM, text, files=files, format=how)
    first, own, *rest = shown(slack)
    assert (["dog.png"], ("", ["image"], ["A cat"])) == (first[2], own)
    assert rest
    assert [(0,), (1,)] == [part.files for part in receipt.parts[:2]]


async def test_beside_slack_s_own_markup(slack, gateway, autojump_clock):
    await gateway.send("support", ROOM, "*A cat*", files=[CAT], format="native")
    assert [("*A cat*", [], []), ("", ["image"], ["A cat"])] == shown(slack)


@pytest.mark.parametrize("goes", [True, False])
async def test_one_that_slack_cannot_fetch_is_refused(slack, gateway, goes, autojump_clock):
    slack.break_url(URL)
    how = "send_text" if goes else "fail"
    receipt = await gateway.send(
        "support", ROOM, "**A cat**", files=[CAT], on_file_error=how, raises=False
    )
    assert goes is (receipt.disposition is Disposition.DELIVERED)
    assert ([("A cat", ["rich_text"], [])] if goes else []) == shown(slack)
    assert "downloading image failed" in receipt.verdict.raw


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (File("https://example.com/a.pdf"), "files.0: Slack fetches only pictures"),
        (File("https://example.com/cat", alt="x"), "files.0: Slack fetches only pictures"),
        (File(URL), "files.0.alt: a picture by URL needs a description or a name"),
    ],
)
async def test_what_slack_does_not_fetch(slack, gateway, file, said, autojump_clock):
    with pytest.raises(Invalid) as caught:
        await gateway.send("support", ROOM, "text", files=[file])
    assert said in str(caught.value)
    assert 1 == len(caught.value.problems)


async def test_a_media_type_says_that_it_is_a_picture(slack, gateway, autojump_clock):
    file = File("https://example.com/cat?id=7", name="cat", media_type="image/png")
    await gateway.send("support", ROOM, "text", files=[file])
    assert [("https://example.com/cat?id=7", "cat")] == images(slack)
