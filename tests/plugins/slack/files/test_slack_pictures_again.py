"""Pictures that Slack has: shown again in blocks, and gone with the last that needs them."""

import attrs
import pytest
from pictures import png

from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits
from gateway_core import Button, File, GatewayConfig, Instance, Secret, open_gateway
from gateway_core.authors import Upload
from gateway_core.testing import open_network
from gateway_plugin_slack.files.reuse import Contents
from gateway_plugin_slack.files.uploads import ASKS
from gateway_plugin_slack.settings import Settings

ROOM, OTHER = "C024BE91L", "C0OTHER01"
CAT = File(png(), name="cat.png", alt="A cat")
DOG = File(png(5, 4), name="dog.png")


def shown(slack, room=ROOM):
    """Of each message its text, the names of its files that can be seen, and how it has them."""
    return [
        (
            message.text,
            [file.name for file in message.files if file.digest],
            "files" if message.fields.get("files") else "blocks",
        )
        for message in slack.rooms.conversation(room)
    ]


def uploads(slack):
    return len(slack._world.files._files)


async def sent(gateway, times, text="A cat", files=(CAT,), **given):
    return [await gateway.send("support", ROOM, text, files=files, **given) for _ in range(times)]


@pytest.mark.parametrize("how", ["markdown", "plain", "native"])
async def test_the_third_message_shows_what_the_second_left(slack, gateway, how, autojump_clock):
    receipts = await sent(gateway, 4, "**A cat**" if how == "markdown" else "A cat", format=how)
    names = ["cat.png"]
    assert [("A cat", names, "files")] * 2 + [("A cat", names, "blocks")] * 2 == shown(slack)
    assert 2 == uploads(slack)
    assert ["A cat"] * 4 == [m.files[0].alt for m in slack.rooms.conversation(ROOM)]
    ids = [receipt.ref.parts[0].files[0].id for receipt in receipts]
    assert ["F", "kept:F", "shown:F", "shown:F"] == [name[: name.index("F") + 1] for name in ids]


async def test_a_picture_without_a_text_and_several_with_buttons(slack, gateway, autojump_clock):
    await sent(gateway, 3, "")
    *_, last = slack.rooms.conversation(ROOM)
    assert ("", "A cat") == (last.text, last.fields["text"])
    rows = [[Button("Feed", "feed")]]
    both = [await sent(gateway, 3, "Both", (CAT, DOG), buttons=rows)][0][-1]
    *_, last = slack.rooms.conversation(ROOM)
    assert ("Both", ["cat.png", "dog.png"], "Feed") == (
        last.text.removesuffix("\nFeed"),
        [file.name for file in last.files],
        last.buttons[0][0].text,
    )
    edited = await gateway.edit(both.ref, "Both of them", buttons=())
    *_, last = slack.rooms.conversation(ROOM)
    assert ("Both of them", 2, ()) == (last.text, len(last.files), last.buttons)
    assert 2 == len(edited.ref.parts[0].files)


@pytest.mark.parametrize("how", ["alone", "kept", "shown"])
async def test_a_picture_that_slack_has_is_shown_by_its_id(slack, gateway, how, autojump_clock):
    """By that of a ref as well; it stays when the message goes that only shows it."""
    receipts = dict(zip(("alone", "kept", "shown"), await sent(gateway, 3), strict=True))
    before = uploads(slack)
    cat = File(id=receipts[how].ref.parts[0].files[0].id, alt="The cat")
    forwarded = await gateway.send("support", OTHER, "Look: **a cat**", files=[cat])
    assert [("Look: a cat", ["cat.png"], "blocks")] == shown(slack, OTHER)
    [message] = slack.rooms.conversation(OTHER)
    assert ["The cat"] == [file.alt for file in message.files]
    edited = await gateway.edit(forwarded.ref, "See")
    assert [("See", ["cat.png"], "blocks")] == shown(slack, OTHER)
    await gateway.delete(edited.ref)
    assert [] == shown(slack, OTHER)
    assert [False, False] == [file.deleted for file in slack._world.files._files.values()]
    assert before == uploads(slack)


async def test_it_goes_beside_an_upload_and_without_a_text(slack, gateway, autojump_clock):
    [first] = await sent(gateway, 1)
    cat = File(id=first.ref.parts[0].files[0].id)
    both = await gateway.send("support", OTHER, "Both", files=[DOG, cat])
    assert [("Both", ["dog.png", "cat.png"], "files")] == shown(slack, OTHER)
    names = [file.id.rpartition("F0")[0] for file in both.ref.parts[0].files]
    assert ["", "shown:"] == names
    await gateway.delete(both.ref)
    assert [False, True] == [file.deleted for file in slack._world.files._files.values()]
    await gateway.send("support", OTHER, "", files=[cat])
    assert [("", ["cat.png"], "blocks")] == shown(slack, OTHER)


@pytest.mark.parametrize("files", [[], [DOG]], ids=["alone", "beside another"])
async def test_an_id_that_slack_does_not_show_ends_it_unless_the_text_may_go(
    slack, gateway, files, autojump_clock
):
    files = [File(id="F0MISSING"), *files]
    receipt = await gateway.send("support", ROOM, "A cat", files=files, raises=False)
    assert ("bad_request", 1) == (receipt.verdict.reason, receipt.attempts)
    assert "invalid slack file" in receipt.verdict.raw
    await gateway.send("support", ROOM, "A cat", files=files, on_file_error="send_text")
    assert [("A cat", [], "blocks")] == shown(slack)


async def test_what_no_block_shows_is_uploaded_again(slack, gateway, autojump_clock):
    whole = attrs.evolve(CAT, as_document=True)
    for files in ((File(b"1,2", name="numbers.csv"),), (whole,), (CAT, File(b"a", name="a.txt"))):
        before = uploads(slack)
        await sent(gateway, 3, files=files)
        assert 3 * len(files) == uploads(slack) - before
    assert {"files"} == {how for _, _, how in shown(slack)}


async def test_its_text_is_edited_and_its_deletion_leaves_what_others_show(
    slack, gateway, autojump_clock
):
    alone, kept, third, fourth = await sent(gateway, 4)
    edited = await gateway.edit(third.ref, "A *grey* cat")
    assert ("A grey cat", ["cat.png"], "blocks") == shown(slack)[2]
    await gateway.delete(edited.ref)
    await gateway.delete(kept.ref)
    assert [("A cat", ["cat.png"], how) for how in ("files", "blocks")] == shown(slack)
    await gateway.delete(alone.ref)
    assert [True, False] == [file.deleted for file in slack._world.files._files.values()]
    await gateway.delete(fourth.ref)
    assert [] == shown(slack)


async def test_no_edit_takes_a_picture_from_a_message_that_slack_shows_nowhere_anew(
    slack, gateway, autojump_clock
):
    """Its message is gone, so that it is shared nowhere: who shows it already goes on."""
    _, kept, third = await sent(gateway, 3)
    await gateway.delete(kept.ref)
    edited = await gateway.edit(third.ref, "The cat", raises=False)
    assert ("bad_request", 1) == (edited.verdict.reason, edited.attempts)
    assert "invalid slack file" in edited.verdict.raw
    assert ("A cat", ["cat.png"], "blocks") == shown(slack)[-1]


async def test_deletions_of_another_run_leave_what_others_show(slack, autojump_clock):
    """Whoever deletes knows by the ref what others may show, and nothing else."""
    instance = Instance("support", "slack", Settings(token=Secret("xoxb-1")))
    async with open_network() as network:
        network.mount("https://slack.com", slack.app)
        network.mount("https://files.slack.com", slack.app)
        async with open_gateway(GatewayConfig(instances=[instance])) as gateway:
            alone, kept, last = await sent(gateway, 3)
        async with open_gateway(GatewayConfig(instances=[instance])) as gateway:
            await gateway.edit(last.ref, "The cat")
            for receipt in (kept, alone):
                await gateway.delete(receipt.ref)
    assert [("The cat", ["cat.png"], "blocks")] == shown(slack)
    assert [True, False] == [file.deleted for file in slack._world.files._files.values()]


async def test_the_bytes_go_again_where_slack_does_not_show_the_picture(
    slack, gateway, autojump_clock
):
    _, kept, _ = await sent(gateway, 3)
    await gateway.call("support", ROOM, "files.delete", {"file": kept.ref.parts[0].files[0].id[5:]})
    [receipt] = await sent(gateway, 1, "**A cat**")
    assert ("A cat", ["cat.png"], "files") == shown(slack)[-1]
    assert ((), 2) == (receipt.degradations, receipt.attempts)
    await sent(gateway, 1)
    assert ("A cat", ["cat.png"], "blocks") == shown(slack)[-1]


async def test_many_that_were_to_show_what_is_gone_keep_to_the_limits_of_uploads(autojump_clock):
    """They had the tokens of messages without files."""
    slack = SlackEmulator(limits=SlackLimits(tiers={ASKS: (5, 60.0)}))
    settings = Settings(token=Secret("xoxb-1"), tier_4=5)
    rooms = [f"C0ROOM{number:03d}" for number in range(40)]
    async with open_network() as network:
        network.mount("https://slack.com", slack.app)
        network.mount("https://files.slack.com", slack.app)
        config = GatewayConfig(instances=[Instance("support", "slack", settings)])
        async with open_gateway(config) as gateway:
            _, kept, _ = await sent(gateway, 3)
            gone = kept.ref.parts[0].files[0].id.removeprefix("kept:")
            await gateway.call("support", ROOM, "files.delete", {"file": gone})
            job = await gateway.broadcast("support", rooms, "A cat", files=[CAT])
            await job.wait()
    assert 0 == slack.counters["rate_limited"]
    ways = [how for room in rooms for _, names, how in shown(slack, room) if names]
    assert (40, True) == (len(ways), 0 < ways.count("files") < 20)


def test_what_is_refused_twice_is_left_for_nobody_for_an_hour():
    """Slack may never show it; of one that is gone several messages hear at once."""
    contents = Contents()
    bytes_alone = [Upload(file=File(name="cat.png", digest="d"), open=png)]
    assert [False, True, False] == [contents.keeps(bytes_alone, 10.0) for _ in range(3)]
    for _ in range(2):
        contents.refused([attrs.evolve(bytes_alone[0], known="shown:F1")], 20.0)
    assert [True, False] == [contents.keeps(bytes_alone, 20.0) for _ in range(2)]
    contents.refused([attrs.evolve(bytes_alone[0], known="kept:F2")], 30.0)
    assert [False, True] == [contents.keeps(bytes_alone, now) for now in (3_629.0, 3_630.0)]


@pytest.mark.parametrize("reuses", [True, False])
async def test_a_broadcast_is_bound_by_what_its_messages_draw_on(reuses, autojump_clock):
    """Of forty rooms, all but the first ones draw on the limit of posts, and on no other's."""
    slack = SlackEmulator(limits=SlackLimits(tiers={ASKS: (5, 60.0)}))
    settings = Settings(token=Secret("xoxb-1"), tier_4=5, reuse_pictures=reuses)
    rooms = [f"C0ROOM{number:03d}" for number in range(40)]
    async with open_network() as network:
        network.mount("https://slack.com", slack.app)
        network.mount("https://files.slack.com", slack.app)
        config = GatewayConfig(instances=[Instance("support", "slack", settings)])
        async with open_gateway(config) as gateway:
            job = await gateway.broadcast("support", rooms, "A cat", files=[CAT])
            await job.wait()
    times = [slack.rooms.conversation(room)[0].stored_at for room in rooms]
    assert 0 == slack.counters["rate_limited"]
    assert (5 if reuses else 40) == uploads(slack)
    taken = max(times) - min(times)
    assert taken < 90 if reuses else taken > 400
