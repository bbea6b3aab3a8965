"""Pictures and files on Discord: sent, edited, taken off and deleted, and refused by name."""

import attrs
import pytest
from pictures import png

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan, FaultQueue, Said
from gateway_core import Address, Disposition, File, Instance, Invalid, MessageRef, Secret
from gateway_plugin_discord.settings import DiscordSettings

ROOM = "1100000000000000001"


@pytest.fixture
def emulator():
    return DiscordEmulator()


@pytest.fixture
async def gateway(open_to, emulator, autojump_clock):
    instance = Instance("support", "discord", DiscordSettings(token=Secret("a.b.c")))
    async with open_to("https://discord.com", emulator.app, instance) as opened:
        yield opened


def shown(emulator):
    """What stands in the room: text, and name, description and bytes of each file."""
    return [
        (message.text, [(file.name, file.alt) for file in message.files])
        for message in emulator.rooms.conversation(ROOM)
    ]


async def test_a_picture_with_a_bold_text(gateway, emulator):
    picture = File(png(), name="cat.png", alt="A cat")
    receipt = await gateway.send("support", ROOM, "**A cat**", files=[picture])
    assert [("A cat", [("cat.png", "A cat")])] == shown(emulator)
    [message] = emulator.rooms.conversation(ROOM)
    assert png() == emulator.files.get(message.files[0].digest)
    [part] = receipt.ref.parts
    assert part.files[0].id.isdigit()


async def test_the_text_changes_and_the_picture_stays(gateway, emulator):
    receipt = await gateway.send("support", ROOM, "A cat", files=[File(png(), name="cat.png")])
    await gateway.edit(receipt.ref, "A *grey* cat")
    assert [("A grey cat", [("cat.png", "")])] == shown(emulator)


async def test_attachments_of_an_earlier_edit_take_no_file_off(gateway, emulator):
    sent = await gateway.send("support", ROOM, "A cat")
    extra = {"attachments": []}
    edited = await gateway.edit(sent.ref, "No cat", extra=extra)
    edited = await gateway.edit(edited.ref, "A cat", files=[File(png(), name="cat.png")])
    await gateway.edit(edited.ref, "A grey cat")
    assert [("A grey cat", [("cat.png", "")])] == shown(emulator)


async def test_a_picture_is_replaced_another_added_and_all_taken_off(gateway, emulator):
    sent = await gateway.send("support", ROOM, "A cat", files=[File(png(), name="cat.png")])
    other = await gateway.edit(sent.ref, "A dog", files=[File(png(9), name="dog.png")])
    assert [("A dog", [("dog.png", "")])] == shown(emulator)
    both = [*other.ref.parts[0].files, File(b"1,2", name="numbers.csv")]
    more = await gateway.edit(other.ref, "A dog", files=both)
    assert [("A dog", [("dog.png", ""), ("numbers.csv", "")])] == shown(emulator)
    await gateway.edit(more.ref, "Nothing", files=())
    assert [("Nothing", [])] == shown(emulator)


async def test_a_replaced_picture_stays_in_its_place(gateway, emulator):
    files = [File(png(n), name=f"{n}.png") for n in (7, 8, 9)]
    sent = await gateway.send("support", ROOM, "Cats", files=files)
    [first, _, last] = sent.ref.parts[0].files
    new = [File(png(n), name=f"{n}.png") for n in (10, 11)]
    edited = await gateway.edit(sent.ref, "Cats", files=[new[0], first, new[1], last])
    expected = [("10.png", ""), ("7.png", ""), ("11.png", ""), ("9.png", "")]
    assert [("Cats", expected)] == shown(emulator)
    again = await gateway.edit(edited.ref, "Dogs")
    assert [("Dogs", expected)] == shown(emulator)
    assert [name for name, _ in expected] == [file.name for file in again.ref.parts[0].files]


async def test_a_picture_that_stays_is_hidden_and_described(gateway, emulator):
    """And shown again; an id alone leaves the other picture as it is."""
    other = File(png(9), name="dog.png", alt="A dog", spoiler=True)
    sent = await gateway.send("support", ROOM, "", files=[File(png(), name="cat.png"), other])
    looks = []
    for look in ({"spoiler": True, "alt": "A cat"}, {"spoiler": False, "alt": ""}):
        cat, dog = sent.ref.parts[0].files
        files = [attrs.evolve(cat, **look), File(id=dog.id, name="x")]
        sent = await gateway.edit(sent.ref, "", files=files)
        [message] = emulator.rooms.conversation(ROOM)
        looks.append([(file.spoiler, file.alt) for file in message.files])
        assert looks[-1] == [(file.spoiler, file.alt) for file in sent.ref.parts[0].files]
    dog = (True, "A dog")
    assert [[(True, "A cat"), dog], [(False, ""), dog]] == looks


async def test_an_attachment_of_a_message_that_an_event_named_keeps_its_look(gateway, emulator):
    cat = File(png(), name="cat.png", alt="A cat", spoiler=True)
    sent = await gateway.send("support", ROOM, "", files=[cat])
    [part] = sent.ref.parts
    there = MessageRef.at("support", Address(external_room_id=ROOM, message_id=part.message_id))
    for text, look in (("one", {}), ("two", {"alt": "A grey cat"})):
        await gateway.edit(there, text, files=[File(id=part.files[0].id, name="x", **look)])
        [message] = emulator.rooms.conversation(ROOM)
        [file] = message.files
        assert (True, look.get("alt", "A cat")) == (file.spoiler, file.alt)


@pytest.fixture
async def lossy(open_to, autojump_clock):
    """A gateway, its emulator, and a function that makes an edit whose outcome nobody knows."""
    faults = FaultQueue()
    emulator = DiscordEmulator(faults=faults)
    instance = Instance("support", "discord", DiscordSettings(token=Secret("a.b.c")))
    async with open_to("https://discord.com", emulator.app, instance) as opened:

        async def lose(fault, ref, text, files):
            faults.add(fault, times=100)
            lost = await opened.edit(ref, text, files=files, ttl=5, raises=False)
            faults.clear()
            assert "unknown" == lost.parts[0].outcome
            return lost.ref

        yield opened, emulator, lose


async def test_a_text_changes_beside_files_of_which_nobody_knows(lossy):
    """By the newest ref, and by an old one after the gateway has forgotten the message."""
    gateway, emulator, lose = lossy
    sent = await gateway.send("support", ROOM, "A cat", files=[File(png(), name="cat.png")])
    dog = File(png(9), name="dog.png")
    lost = await lose(Fault.RESET_AFTER, sent.ref, "A dog", [dog])
    for ref in (lost, attrs.evolve(sent.ref, envelope_id="0" * 30)):
        await gateway.edit(ref, "A grey dog")
        assert [("A grey dog", [("dog.png", "")])] == shown(emulator)


async def test_a_change_of_files_in_doubt_is_made_when_it_is_repeated(lossy):
    gateway, emulator, lose = lossy
    both = [File(png(n), name=f"{n}.png") for n in (7, 8)]
    sent = await gateway.send("support", ROOM, "Cats", files=both)
    first, second = sent.ref.parts[0].files
    for files in ([second, first], [first], [File(png(9), name="9.png")]):
        await lose(Fault.RESET_BEFORE, sent.ref, "New", files)
        await gateway.edit(sent.ref, "New", files=files)
        assert [("New", [(file.name, "") for file in files])] == shown(emulator)


async def test_files_need_no_text_and_go_with_the_message(gateway, emulator):
    files = [File(b"x" * n, name=f"{n}.txt") for n in range(1, 11)]
    receipt = await gateway.send("support", ROOM, "", files=files)
    [(text, names)] = shown(emulator)
    assert ("", [f"{n}.txt" for n in range(1, 11)]) == (text, [name for name, _ in names])
    await gateway.delete(receipt.ref)
    assert [] == shown(emulator)


async def test_a_long_text_begins_with_its_files(gateway, emulator):
    text = " ".join(["word"] * 1000)
    receipt = await gateway.send("support", ROOM, text, files=[File(b"x", name="x.txt")])
    assert [["x.txt"], [], []] == [[name for name, _ in files] for _, files in shown(emulator)]
    assert [(0,), (), ()] == [part.files for part in receipt.parts]
    await gateway.edit(receipt.ref, "short")
    assert [("short", [("x.txt", "")])] == shown(emulator)


async def test_a_spoiler_is_named_so(gateway, emulator):
    await gateway.send("support", ROOM, "", files=[File(png(), name="end.png", spoiler=True)])
    assert [("", [("SPOILER_end.png", "")])] == shown(emulator)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([File(b"x", name=f"{n}") for n in range(11)], "files: has 11 files, at most 10"),
        ([File("https://example.com/cat.png")], "files.0: Discord fetches no URL"),
        ([File(id="1")], "files.0.id: an attachment's id is valid in its own message only"),
        ([File(b"x", name="x", alt="a" * 1025)], "files.0.alt: has 1025 characters, at most 1024"),
        ([File(b"x" * 2001, name="x")], r"files.0: 'x' has 2001 bytes, Discord takes at most 2000"),
    ],
)
async def test_what_discord_does_not_take(open_to, emulator, autojump_clock, files, said):
    settings = DiscordSettings(token=Secret("a.b.c"), max_file_size=2000)
    instance = Instance("support", "discord", settings)
    async with open_to("https://discord.com", emulator.app, instance) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.send("support", ROOM, "text", files=files)
    assert said in str(caught.value)
    assert [] == shown(emulator)


async def test_what_discord_finds_too_large_ends_so(open_to, autojump_clock):
    emulator = DiscordEmulator(limits=DiscordLimits(file_bytes=1000))
    settings = DiscordSettings(token=Secret("a.b.c"))
    instance = Instance("support", "discord", settings)
    async with open_to("https://discord.com", emulator.app, instance) as gateway:
        receipt = await gateway.send(
            "support",
            ROOM,
            "text",
            files=[File(bytes(1001), name="x")],
            raises=False,
        )
    assert (Disposition.REJECTED, "too_long") == (receipt.disposition, receipt.verdict.reason)
    assert "40005" in receipt.verdict.raw


INVALID = {"code": 50035, "message": "Invalid Form Body"}


@pytest.mark.parametrize(
    ("status", "body", "goes"),
    [
        (413, {"code": 40005, "message": "Request entity too large"}, True),
        (413, None, True),
        (400, {"code": 50045, "message": "File uploaded exceeds the maximum size"}, True),
        (400, {"code": 50046, "message": "Invalid file uploaded"}, True),
        (403, {"code": 50013, "message": "Missing Permissions"}, True),
        (400, {**INVALID, "errors": {"attachments": {"_errors": [{"code": "X"}]}}}, True),
        (400, {**INVALID, "errors": {"embeds": {"_errors": [{"code": "X"}]}}}, False),
        (404, {"code": 10003, "message": "Unknown Channel"}, False),
        (403, {"code": 50001, "message": "Missing Access"}, False),
    ],
)
async def test_the_text_of_a_refused_file_goes_alone_if_so_wanted(
    open_to, autojump_clock, status, body, goes
):
    said = Said(status=status, body=b"<html>Too large</html>" if body is None else body)
    emulator = DiscordEmulator(faults=FaultPlan(script={0: said}))
    instance = Instance("support", "discord", DiscordSettings(token=Secret("a.b.c")))
    async with open_to("https://discord.com", emulator.app, instance) as gateway:
        receipt = await gateway.send(
            "support",
            ROOM,
            "**text**",
            files=[File(b"x", name="x")],
            on_file_error="send_text",
            raises=False,
        )
    assert ([("text", [])] if goes else []) == shown(emulator)
    assert ((f"files refused: {receipt.verdict.raw}",) if goes else ()) == receipt.degradations
