"""An edit that changes the files of an album, each of which is a message."""

import attrs
import pictures
import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan, Said
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Button, DeliveryError, Edit, File, Invalid, KeyRef, Reason
from gateway_core.testing import MemoryOutbox

KEYBOARD = {"reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}}


def no(words):
    """A refusal."""
    body = {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}
    return Said(status=400, body=body)


def edit(ref, text, files):
    return Edit(instance_id="support", external_room_id="7", target=ref, text=text, files=files)


def picture(side):
    return File(pictures.png(side, side), name=f"{side}.png")


def sides(bot):
    """The pictures that stand, by their width."""
    return [bot.content(message).media.said["width"] for message in bot.messages]


async def album(bot, *given, text="old", **more):
    receipt = await bot.send(text, *given, **more)
    assert ["sendMediaGroup"] == bot.asked
    del bot.asked[:]
    [part] = receipt.ref.parts
    return receipt.ref, part.files


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_file_of_an_album_is_replaced(bot, place):
    ref, files = await album(bot, picture(20), picture(30), picture(40))
    wanted = [*files]
    wanted[place] = picture(9)
    edited = await bot.gateway.edit(ref, "new", files=wanted)
    expected = [20, 30, 40]
    expected[place] = 9
    assert expected == sides(bot)
    assert [("photo", "new"), ("photo", ""), ("photo", "")] == bot.seen
    caption = ["editMessageCaption"] if place else []
    assert [*caption, "editMessageMedia"] == bot.asked
    assert "new" == "".join("new"[slice(*part.span)] for part in edited.parts)
    [part] = edited.ref.parts
    assert ref.parts[0].more == part.more
    assert [i == place for i in range(3)] == [
        before.id != after.id for before, after in zip(files, part.files, strict=True)
    ]
    await bot.gateway.edit(edited.ref, "newer")
    assert ("photo", "newer") == bot.seen[0]
    await bot.gateway.delete(edited.ref)
    assert [] == bot.messages


@pytest.mark.parametrize("kind", ["photo", "document"])
@pytest.mark.parametrize("stay", [(0, 1), (1, 2), (2,), (0,), (2, 0), (2, 1, 0)])
async def test_files_are_removed_from_an_album_or_put_in_another_order(bot, make, kind, stay):
    given = [picture(20), make("video"), picture(40)]
    if kind == "document":
        given = [File(pictures.PDF + b"%" * n, name=f"{n}.pdf") for n in range(3)]
    ref, files = await album(bot, *given)
    names = [file.id for file in files]
    edited = await bot.gateway.edit(ref, "new", files=[files[place] for place in stay])
    assert [names[place] for place in stay] == [bot.content(m).media.id for m in bot.messages]
    [part] = edited.ref.parts
    assert [names[place] for place in stay] == [file.id for file in part.files]
    captioned = 0 if kind == "photo" else len(stay) - 1
    assert [i == captioned for i in range(len(stay))] == [text == "new" for _, text in bot.seen]
    assert len(stay) - 1 == len(part.more)
    await bot.gateway.edit(edited.ref, "newer")
    assert "newer" == bot.seen[captioned][1]
    await bot.gateway.delete(edited.ref)
    assert [] == bot.messages


async def test_an_album_by_its_key_gets_another_file(bot, make):
    _ref, files = await album(bot, "photo", "photo", key="k")
    named = KeyRef(instance_id="support", external_room_id="7", key="k")
    edited = await bot.gateway.edit(named, "new", files=[files[0], make("video")])
    assert [("photo", "new"), ("video", "")] == bot.seen
    assert edited.delivered


async def test_a_file_that_becomes_a_text_of_its_own_leaves_the_others(bot, make):
    """The first message is one of the album, and the document gets a message of its own."""
    ref, files = await album(bot, "photo", "photo")
    edited = await bot.gateway.edit(ref, "new", files=[files[1], make("document")])
    assert [("photo", ""), ("document", "new")] == bot.seen
    assert [(), ()] == [part.more for part in edited.ref.parts]


async def test_an_edit_says_before_what_an_album_cannot_become(bot, make):
    ref, files = await album(bot, "photo", "video")
    for place, wanted in (
        ("files.2", [*files, make("photo")]),
        ("files.0", [make("document"), make("document")]),
        ("files.0", [make("voice")]),
        ("files", ()),
    ):
        with pytest.raises(Invalid) as raised:
            await bot.gateway.edit(ref, "new", files=wanted)
        assert [place] == [problem.place for problem in raised.value.problems]
    assert [] == bot.asked
    assert [("photo", "old"), ("video", "")] == bot.seen


@pytest.mark.parametrize("kinds", [("photo",) * 3, ("document",) * 2, ("document",), ("voice",)])
async def test_what_a_key_names_changes_wholly_or_not_at_all(bot, make, kinds):
    await album(bot, "photo", "video", key="k")
    named = KeyRef(instance_id="support", external_room_id="7", key="k")
    with pytest.raises(DeliveryError) as raised:
        await bot.gateway.edit(named, "new", files=[make(kind) for kind in kinds])
    assert Reason.UNSUPPORTED is raised.value.receipt.verdict.reason
    assert [("photo", "old"), ("video", "")] == bot.seen


async def test_an_album_gets_no_buttons_with_its_files(bot):
    ref, files = await album(bot, "photo", "photo")
    with pytest.raises(Invalid):
        await bot.gateway.edit(ref, "", files=[files[0], picture(9)], extra=KEYBOARD)
    assert [] == bot.asked


@pytest.mark.parametrize("lost", range(4))
async def test_an_edit_that_breaks_off_is_repeated_to_its_end(bot, lost):
    """What was changed is not modified, and what was deleted is gone, when it is asked again."""
    ref, files = await album(bot, *(picture(side) for side in (20, 30, 40, 50)))
    bot.emulator.faults = FaultPlan(script={lost: Fault.RESET_AFTER})
    edited = await bot.gateway.edit(ref, "new", files=[files[1], picture(9)])
    assert (5, [30, 9]) == (edited.attempts, sides(bot))
    assert [("photo", "new"), ("photo", "")] == bot.seen
    assert 1 == len(edited.ref.parts[0].more)


@pytest.mark.parametrize("unread", range(3))
async def test_an_answer_that_nobody_can_read_changes_what_it_says_it_changed(bot, unread):
    ref, files = await album(bot, *(picture(side) for side in (20, 30, 40)))
    bot.emulator.faults = FaultPlan(script={unread: Fault.MALFORMED})
    edited = await bot.gateway.edit(ref, "new", files=[picture(9), files[2]])
    assert (3, [9, 40]) == (edited.attempts, sides(bot))
    assert 1 == len(edited.ref.parts[0].more)
    await bot.gateway.edit(edited.ref, "newer")
    assert [("photo", "newer"), ("photo", "")] == bot.seen


async def test_an_album_that_is_as_wanted_already_is_unchanged(bot):
    """Another process has made the same edit, of which this ref does not know."""
    ref, files = await album(bot, *(picture(side) for side in (20, 30)))
    first = await bot.gateway.edit(ref, "new", files=[files[1], files[0]])
    [part] = first.ref.parts
    again = attrs.evolve(ref, envelope_id="0" * 32, parts=(attrs.evolve(part, files=files),))
    receipt = await bot.gateway.edit(again, "new", files=[files[1], files[0]])
    assert ["unchanged", "unchanged"] == [part.outcome for part in receipt.parts]
    assert [30, 20] == sides(bot)


@pytest.mark.parametrize(
    "words", ["message caption is too long", "can't parse entities: unsupported start tag"]
)
async def test_a_caption_that_is_planned_anew_leaves_the_album_whole(bot, words):
    ref, _ = await album(bot, *(picture(side) for side in (20, 30, 40)))
    bot.emulator.faults = FaultPlan(script={0: no(words)})
    edited = await bot.gateway.edit(ref, "**new**")
    assert (2, ref.parts[0].more) == (edited.attempts, edited.ref.parts[0].more)
    await bot.gateway.delete(edited.ref)
    assert [] == bot.messages


async def test_a_file_without_the_caption_that_is_planned_anew_gets_none(bot):
    ref, files = await album(bot, *(picture(side) for side in (20, 30, 40)))
    bot.emulator.faults = FaultPlan(script={1: no("can't parse entities: unsupported start tag")})
    edited = await bot.gateway.edit(ref, "**new**", files=[files[0], picture(9), files[2]])
    assert (3, [20, 9, 40]) == (edited.attempts, sides(bot))
    assert [("photo", "new"), ("photo", ""), ("photo", "")] == bot.seen


async def test_a_message_that_cannot_be_deleted_any_more_fails_the_edit(bot):
    ref, files = await album(bot, *(picture(side) for side in (20, 30)))
    bot.emulator.faults = FaultPlan(script={1: no("message can't be deleted for everyone")})
    with pytest.raises(DeliveryError, match="can't be deleted"):
        await bot.gateway.edit(ref, "new", files=[files[0]])
    assert [("photo", "new"), ("photo", "")] == bot.seen


async def test_a_refused_file_changes_no_other_and_the_ref_says_what_stands(bot):
    ref, files = await album(bot, *(picture(side) for side in (20, 30, 40)))
    bot.emulator.faults = FaultPlan(script={1: no("PHOTO_INVALID_DIMENSIONS")})
    receipt = await bot.gateway.edit(
        ref, "new", files=[picture(9), picture(10), files[2]], raises=False
    )
    assert ["delivered", "failed", "unchanged"] == [part.outcome for part in receipt.parts]
    assert [9, 30, 40] == sides(bot)
    [part] = receipt.ref.parts
    assert [file.id for file in part.files] == [bot.content(m).media.id for m in bot.messages]
    await bot.gateway.edit(receipt.ref, "back", files=files)
    assert [20, 30, 40] == sides(bot)


@pytest.mark.parametrize("room", ["7", "-7"])
async def test_each_change_of_an_album_has_its_own_place_in_the_limits(
    open_to, instance, autojump_clock, room
):
    """Telegram asks for a second between the messages of a chat, and three in a group."""
    emulator = TelegramEmulator()
    async with open_to(instance.settings.base_url, emulator.app, instance) as gateway:
        given = [picture(side) for side in range(20, 30)]
        sent = await gateway.send("support", room, "old", files=given)
        await trio.sleep(60)
        begun = trio.current_time()
        receipt = await gateway.edit(sent.ref, "new", files=[picture(s) for s in range(30, 40)])
        assert (10, 0) == (receipt.attempts, emulator.counters["rate_limited"])
        assert 40 >= trio.current_time() - begun


@pytest.mark.parametrize("named", ["ref", "key"])
async def test_nothing_changes_if_one_message_of_several_cannot(bot, make, named):
    """The picture could become another, but the album behind it cannot become larger."""
    receipt = await bot.send("old", "photo", "document", "document", key="k")
    key = KeyRef(instance_id="support", external_room_id="7", key="k")
    target = receipt.ref if named == "ref" else key
    error = Invalid if named == "ref" else DeliveryError
    with pytest.raises(error, match=r"files.3.* an edit cannot add a file to an album of 2"):
        await bot.gateway.edit(target, "new", files=[picture(9), *[make("document")] * 3])
    with pytest.raises(error, match=r"files.1.* an edit cannot make a message an album"):
        await bot.gateway.edit(target, "new", files=[picture(9), make("video")])
    assert [("photo", ""), ("document", ""), ("document", "old")] == bot.seen


@pytest.mark.parametrize("named", ["ref", "key"])
async def test_buttons_on_an_album_s_text_move_it_below(bot, named):
    receipt = await bot.send("old", "photo", "photo", key="k")
    key = KeyRef(instance_id="support", external_room_id="7", key="k")
    target = receipt.ref if named == "ref" else key
    await bot.gateway.edit(target, "new", buttons=[Button("Yes", "y")])
    assert [("photo", ""), ("photo", ""), ("text", "new")] == bot.seen
    await bot.gateway.edit(target, "newer", buttons=[Button("No", "n")])
    assert [("photo", ""), ("photo", ""), ("text", "newer")] == bot.seen


@pytest.mark.parametrize("lost", range(5))
async def test_an_edit_that_a_kill_breaks_off_is_finished_by_the_next_run(run, emulator, lost):
    """Its fifth request is the next edit's, which finds the album as the first one left it."""
    outbox = MemoryOutbox()
    with trio.move_on_after(60):
        async with run(outbox) as bot:
            ref, files = await album(bot, *(picture(side) for side in (20, 30, 40, 50)))
            emulator.faults = FaultPlan(script={lost: Fault.NO_ANSWER})
            wanted = (files[1], picture(9))
            await bot.gateway.submit(edit(ref, "new", wanted))
            await bot.gateway.submit(edit(ref, "newer", wanted))
            await trio.sleep_forever()
    async with run(outbox) as bot:
        edited = await bot.gateway.edit(ref, "newest")
    assert [30, 9] == sides(bot)
    assert [("photo", "newest"), ("photo", "")] == bot.seen
    assert 1 == len(edited.ref.parts[0].more)
