"""Pictures and files on Slack: shared some time after they were taken, and refused by name."""

import math

import pytest
from pictures import png

from gateway_contrib.emulators.slack import SlackEmulator
from gateway_core import (
    Disposition,
    File,
    GatewayConfig,
    Instance,
    Invalid,
    Reason,
    Secret,
    open_gateway,
)
from gateway_core.testing import open_network
from gateway_plugin_slack.settings import Settings

ROOM = "C024BE91L"
CAT = File(png(), name="cat.png", alt="A cat")


@pytest.fixture
def slack():
    return SlackEmulator()


@pytest.fixture
async def gateway(slack, autojump_clock):
    instance = Instance("support", "slack", Settings(token=Secret("xoxb-1")))
    async with open_network() as network:
        network.mount("https://slack.com", slack.app)
        network.mount("https://files.slack.com", slack.app)
        async with open_gateway(GatewayConfig(instances=[instance])) as opened:
            yield opened


def seen(slack):
    """What stands in the room: text, thread, and the files' names."""
    return [
        (message.text, message.thread, [file.name for file in message.files])
        for message in slack.rooms.conversation(ROOM)
    ]


async def test_a_picture_with_a_bold_text(slack, gateway):
    receipt = await gateway.send("support", ROOM, "**A cat**", files=[CAT])
    assert [("A cat", None, ["cat.png"])] == seen(slack)
    [message] = slack.rooms.conversation(ROOM)
    assert "A cat" == message.files[0].alt
    [part] = receipt.ref.parts
    assert part.message_id.endswith(message.id)
    assert part.files[0].id.startswith("F")


async def test_its_text_is_edited_and_it_is_deleted(slack, gateway):
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    edited = await gateway.edit(receipt.ref, "A *grey* cat")
    assert [("A grey cat", None, ["cat.png"])] == seen(slack)
    await gateway.delete(edited.ref)
    assert [] == seen(slack)


async def test_its_files_stay_what_they_are(slack, gateway):
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    for files in ((), (File(b"1,2", name="numbers.csv"),)):
        edited = await gateway.edit(receipt.ref, "A dog", files=files, raises=False)
        assert Disposition.REJECTED is edited.disposition
        assert Reason.UNSUPPORTED is edited.verdict.reason
    assert [("A cat", None, ["cat.png"])] == seen(slack)


async def test_several_files_without_a_text_answer_in_a_thread(slack, gateway):
    question = await gateway.send("support", ROOM, "question")
    asked = question.ref.parts[0].message_id
    files = [File(b"1", name="1.txt"), File(b"2", name="2.txt")]
    await gateway.send("support", ROOM, "", files=files, reply_to=asked)
    _, answer = seen(slack)
    assert ("", ["1.txt", "2.txt"]) == (answer[0], answer[2])
    assert asked.endswith(answer[1])


async def test_bytes_go_nowhere_but_to_slack(slack, gateway):
    """Whatever stands between may have changed the address that it was given."""
    slack.files_url = "https://elsewhere.example"
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], ttl=5, raises=False)
    assert "no address that leads to Slack" in receipt.verdict.raw
    assert "no" == receipt.verdict.dispatched
    assert not receipt.possible_duplicate
    assert [] == seen(slack)


async def test_what_is_shared_nowhere_is_an_outcome_of_its_own(slack, gateway):
    slack.share_after(math.inf)
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], raises=False)
    assert Reason.OUTCOME_UNKNOWN is receipt.verdict.reason
    assert "shared them nowhere within 60 s" in receipt.verdict.raw
    assert 1 == receipt.attempts


@pytest.mark.parametrize(
    ("room", "files", "said"),
    [
        (ROOM, [File(b"x", name=f"{n}") for n in range(11)], "files: has 11 files, at most 10"),
        (ROOM, [File("https://example.com/cat.png")], "files.0: Slack fetches pictures of blocks"),
        (ROOM, [File(id="F1")], "files.0.id: a file that Slack has is not sent again"),
        (ROOM, [File(b"x", name="x", alt="a" * 1001)], "files.0.alt: has 1001 characters"),
        ("#general", [CAT], "external_room_id: files are sent to a conversation's id"),
    ],
)
async def test_what_slack_does_not_take(slack, gateway, room, files, said):
    with pytest.raises(Invalid) as caught:
        await gateway.send("support", room, "text", files=files)
    assert said in str(caught.value)
