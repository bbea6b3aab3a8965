"""Files go with a message, are read as it is accepted, and stay until it has ended."""

import os
from fractions import Fraction
from io import FileIO

import attrs
import pytest
import trio

from gateway_core import (
    Address,
    Disposition,
    File,
    GatewayClosed,
    Invalid,
    MessageRef,
    UnknownInstance,
)
from gateway_core.authors import ErrorClass, Reason, Send, Verdict, hookimpl
from gateway_core.files.held import PIECE, Allowance
from gateway_core.files.spool import Spool
from gateway_core.testing import FakeChannel, MemoryOutbox, failing, open_test_gateway

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000003000000020802000000121674f1"
    "0000000c49444154789c6360a03a0000004400010f2e8a8b0000000049454e44ae426082"
)


@pytest.fixture(params=["memory", "outbox"])
async def opened(request, autojump_clock):
    channel = FakeChannel()
    outbox = MemoryOutbox() if request.param == "outbox" else None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        yield gateway, channel, outbox


@pytest.mark.parametrize("sides", ['width="10" height="10.6"', 'width="1e400" height="2"', ""])
async def test_a_drawing_goes_whatever_its_sides(opened, sides):
    gateway, _, _ = opened
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {sides}/>'.encode()
    receipt = await gateway.send("bot", "room", "a logo", files=[File(drawing, name="logo.svg")])
    [part] = receipt.ref.parts
    [file] = part.files
    assert ((10, 11) if "10.6" in sides else (0, 0)) == (file.width, file.height)


async def test_a_pipe_that_takes_the_place_of_a_file_holds_nobody_up(opened, tmp_path, monkeypatch):
    gateway, _, _ = opened
    path, pipe = tmp_path / "cat.png", tmp_path / "pipe"
    path.write_bytes(PNG)
    os.mkfifo(pipe)
    seen = path.stat()
    monkeypatch.setattr("gateway_core.files.looking.os.stat", lambda _: seen)
    with pytest.raises(Invalid, match="pipe' is not a regular file any more"):
        await gateway.send("bot", "room", "a cat", files=[File(pipe)])


async def test_a_picture_goes_with_its_text(opened, tmp_path):
    gateway, channel, _ = opened
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    receipt = await gateway.send("bot", "room", "a cat", files=[File(path, alt="a cat")])
    [part] = receipt.parts
    assert (0,) == part.files
    [ref] = receipt.ref.parts
    [file] = ref.files
    assert ("cat.png", "image/png", len(PNG), 3, 2) == (
        file.name,
        file.media_type,
        file.size,
        file.width,
        file.height,
    )
    assert None is file.source
    assert {"file-1": PNG} == channel.contents
    assert ("file-1",) == channel.files[ref.message_id]
    assert ["a cat"] == channel.texts("room")


async def test_a_file_needs_no_text(opened):
    gateway, channel, _ = opened
    await gateway.send("bot", "room", "", files=(File(b"x,y", name="a.csv"),))
    assert [b"x,y"] == list(channel.contents.values())


async def test_a_path_is_read_at_acceptance(opened, tmp_path):
    gateway, channel, _ = opened
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    channel.latency = 5
    first = await gateway.enqueue("bot", "room", "first")
    ticket = await gateway.enqueue("bot", "room", "", files=[File(path)])
    path.write_bytes(b"something else")
    path.unlink()
    await first.receipt()
    receipt = await ticket.receipt()
    assert receipt.delivered
    assert [PNG] == list(channel.contents.values())


async def test_the_same_bytes_are_uploaded_once(opened):
    gateway, channel, _ = opened
    for _ in range(2):
        await gateway.send("bot", "room", "", files=[File(b"same", name="a.bin")])
    assert ["file-1"] == list(channel.contents)
    assert [("file-1",), ("file-1",)] == list(channel.files.values())


async def test_the_same_bytes_by_another_name_are_another_file(opened):
    """People see the name by which the platform took the file."""
    gateway, channel, _ = opened
    for name in ("june.pdf", "july.pdf", "june.pdf"):
        await gateway.send("bot", "room", "", files=[File(b"one", name=name)])
    assert [None, None, "file-1"] == [made.attempt.files[0].known for made in channel.made]


async def test_an_edit_keeps_the_files_changes_them_and_takes_them_off(opened):
    gateway, channel, _ = opened
    receipt = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
    name = receipt.ref.parts[0].message_id
    kept = await gateway.edit(receipt.ref, "new")
    assert (["new"], ("file-1",)) == (channel.texts("room"), channel.files[name])
    assert channel.made[-1].attempt.files[0].held
    both = (*kept.ref.parts[0].files, File(b"two", name="2"))
    more = await gateway.edit(kept.ref, "new", files=both)
    assert ("file-1", "file-2") == channel.files[name]
    assert ["file-1", "file-2"] == [file.id for file in more.ref.parts[0].files]
    await gateway.edit(more.ref, "new", files=())
    assert () == channel.files[name]


async def test_an_edit_hides_and_describes_a_file_that_stays(opened):
    """Handed in as the ref has it, in another look; a bare id keeps the look."""
    gateway, channel, _ = opened
    sent = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
    [file] = sent.ref.parts[0].files
    hidden = attrs.evolve(file, spoiler=True, alt="a chart")
    bare = File(id=file.id, name="x")
    ref = sent.ref
    for text, asked, held, after in (
        ("1", hidden, False, hidden),
        ("2", bare, True, hidden),
        ("3", attrs.evolve(bare, alt="a pie"), False, attrs.evolve(hidden, alt="a pie")),
        ("4", file, False, file),
    ):
        ref = (await gateway.edit(ref, text, files=[asked])).ref
        [upload] = channel.made[-1].attempt.files
        assert (held, after) == (upload.held, upload.file)
        assert (after,) == ref.parts[0].files
    assert {"file-1": b"one"} == channel.contents


async def test_an_edit_takes_off_files_that_nobody_knows(opened):
    """Of a message that an event named; one that the gateway made is known to have none."""
    gateway, channel, _ = opened
    sent = await gateway.send("bot", "room", "old")
    named = Address(external_room_id="room", message_id=sent.ref.parts[0].message_id)
    there = MessageRef.at("bot", named)
    edits = [(there, None), (there, ()), (sent.ref, None), (sent.ref, ())]
    for number, (ref, files) in enumerate(edits):
        await gateway.edit(ref, f"new {number}", files=files)
    made = [made.attempt for made in channel.made[1:]]
    assert [False, True, False, False] == [attempt.loses_files for attempt in made]


async def test_an_edit_by_a_ticket_finds_the_files(opened):
    gateway, channel, _ = opened
    channel.latency = 1
    ticket = await gateway.enqueue("bot", "room", "old", files=[File(b"one", name="1")])
    edited = await gateway.edit(ticket, "new")
    assert ("file-1",) == channel.files[edited.ref.parts[0].message_id]


async def test_the_same_text_and_files_change_nothing(opened):
    gateway, channel, _ = opened
    receipt = await gateway.send("bot", "room", "text", files=[File(b"one", name="1")])
    edited = await gateway.edit(receipt.ref, "text")
    assert ["unchanged"] == [part.outcome for part in edited.parts]
    assert 1 == len(channel.made)


async def test_a_refused_formatting_is_planned_anew_with_the_files(opened):
    gateway, channel, _ = opened
    verdict = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_FORMAT, transform="plain"
    )
    channel.script = failing(verdict)
    receipt = await gateway.send("bot", "room", "*x*", files=[File(b"one", name="1")])
    assert ("plain",) == receipt.transforms
    assert [b"one"] == list(channel.contents.values())
    assert (0,) == receipt.parts[0].files


@pytest.mark.parametrize("large", [False, True])
async def test_bytes_are_gone_once_nobody_needs_them(opened, large):
    gateway, _, outbox = opened
    content = b"x" * (1_000_000 if large else 10)
    await gateway.send("bot", "room", "", files=[File(content, name="x")])
    assert 0 == held_by(gateway, outbox)


async def test_bytes_of_what_is_not_accepted_are_gone(opened):
    gateway, _, outbox = opened
    file = File(b"one", name="1")
    await gateway.send("bot", "room", "a", key="k", files=[file])
    again = await gateway.send("bot", "room", "a", key="k", files=[file])
    assert again.replayed
    with pytest.raises(Exception, match="k"):
        await gateway.send("bot", "room", "a", key="k", files=[File(b"two", name="1")])
    assert 0 == held_by(gateway, outbox)


def held_by(gateway, outbox):
    if outbox is None:
        return len(gateway._parts.files.spool)
    return len(outbox._bytes._contents)


async def test_what_was_given_up_can_be_handed_in_again_while_its_bytes_are_there(autojump_clock):
    channel = FakeChannel(latency=10)
    async with open_test_gateway(channel) as gateway:
        await gateway.enqueue("bot", "room", "first")
        ticket = await gateway.enqueue("bot", "room", "", files=[File(b"one", name="1")])
        again = await gateway.submit(ticket._delivery.envelope)
        await ticket.receipt()
        assert (await again.receipt()).delivered
        with pytest.raises(Invalid, match=r"files\.0: the bytes of '1' are not stored any more"):
            await gateway.submit(ticket._delivery.envelope)


@pytest.mark.parametrize("stored", ["memory", "outbox"])
async def test_the_time_to_live_counts_while_bytes_are_stored(stored, autojump_clock):
    """Also where the key has to be looked up, or a slot waited for."""
    outbox = Slow() if stored == "outbox" else None
    files = [File(b"one", name="1")]
    async with open_test_gateway(FakeChannel(latency=60), outbox=outbox) as gateway:
        await gateway.enqueue("bot", "room", "first")
        begun = trio.current_time()
        late = await gateway.send("bot", "room", "a", key="k", ttl=5, files=files, raises=False)
        assert (Disposition.EXPIRED, 5) == (late.disposition, round(trio.current_time() - begun))


@pytest.mark.parametrize("what", ["instance", "gateway"])
@pytest.mark.parametrize("stored", ["memory", "outbox"])
async def test_what_goes_while_bytes_are_stored_takes_nothing(
    what, stored, autojump_clock, monkeypatch
):
    if stored == "memory":
        monkeypatch.setattr(Spool, "store_bytes", slowly(Spool.store_bytes))
    outbox = Slow() if stored == "outbox" else None
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(refused, gateway)
        await trio.sleep(1)
        if what == "instance":
            await gateway.remove_instance("bot")
        else:
            await gateway.drain()
        await trio.sleep(5)
        assert 0 == held_by(gateway, outbox)
    assert [] == channel.made


async def refused(gateway):
    with pytest.raises((GatewayClosed, UnknownInstance)):
        await gateway.send("bot", "room", "a", files=[File(b"one", name="1")])


def slowly(real):
    async def store_bytes(self, digest, content):
        await trio.sleep(3)
        await real(self, digest, content)

    return store_bytes


class Slow(MemoryOutbox):
    """It takes its time to store bytes."""

    async def store_bytes(self, digest, content):
        await trio.sleep(3)
        await super().store_bytes(digest, content)


async def test_what_a_kill_left_is_sent_with_its_bytes(autojump_clock):
    outbox = MemoryOutbox()
    down = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE)
    channel = FakeChannel(script=failing(down, times=10_000))
    with trio.move_on_after(5):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            ticket = await gateway.enqueue("bot", "room", "a", files=[File(b"one", name="1")])
            await ticket.receipt()
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(60)
    assert ({"file-1": b"one"}, ["a"]) == (channel.contents, channel.texts("room"))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (File("no/such/file.png"), "files.0: 'no/such/file.png' cannot be read: No such file"),
        (File("."), "files.0: '.' is a folder"),
        (File("/dev/null"), "not a regular file"),
        (File(b"", name="x"), "files.0: is empty"),
        (File(b"x"), "files.0.name: bytes need a name"),
        (File(), "must have a path, bytes, a URL, or the platform's id"),
        (File(b"x", name="a/b"), "files.0.name: must be a name alone"),
        (File(b"x", name="a\nb"), "files.0.name: must be a name alone"),
        (File(b"x", name="cat\u202egnp.exe"), "files.0.name: must be a name alone"),
        (File(b"x", name="a\u2028b"), "files.0.name: must be a name alone"),
        (File(b"x", name="a\x85b"), "files.0.name: must be a name alone"),
        (File(b"x", name="x" * 300), "files.0.name: has 300 bytes, at most 255"),
        (File(b"x", name="x", media_type="png"), "files.0.media_type: must be such as image/png"),
        (File(b"x", name="x", spoiler="no"), "files.0.spoiler: must be true or false"),
        (File("https://"), "a URL without a host"),
        (File("https://a/b c"), "must be written as %XX"),
        (File("ftp://a.b/c.png"), "has a URL that begins neither with https:// nor with http://"),
        (Fraction(1), "files.0: must be a File, not fractions.Fraction"),
        (File(3), "must be a path, bytes or a URL, not int"),
        ("cat.png", "files.0: must be a File, not str"),
    ],
)
async def test_what_is_wrong_with_a_file_is_named(opened, file, said):
    gateway, channel, _ = opened
    with pytest.raises(Invalid) as caught:
        await gateway.send("bot", "room", "text", files=[file])
    assert said in str(caught.value)
    assert [] == channel.made


@pytest.mark.parametrize(
    "name",
    ["9.41\u202fAM.png", "a\xa0b", "\U0001f469\u200d\U0001f467.png", "\u05d0\u200f.png", 'a"b'],
)
async def test_a_name_that_a_system_gives_is_sent(opened, name, tmp_path):
    """A screenshot of macOS has a narrow space in it; families of emoji have joiners."""
    gateway, channel, _ = opened
    path = tmp_path / name
    path.write_bytes(PNG)
    await gateway.send("bot", "room", "", files=[File(path)])
    assert name == channel.made[0].attempt.files[0].file.name


class Fickle:
    """A path that says something else each time."""

    def __init__(self, *says):
        self.says = list(says)

    def __fspath__(self):
        if isinstance(self.says[0], Exception):
            raise self.says[0]
        return self.says.pop(0)


@pytest.mark.parametrize("says", [RuntimeError("broken"), b"/etc/hostname", "no/such/file"])
async def test_a_path_of_a_class_of_ones_own_may_say_anything(opened, says):
    gateway, channel, _ = opened
    path = Fickle("/etc/hostname", says, RuntimeError("broken"))
    with pytest.raises(
        Invalid, match=r"files\.0: (must be a path|is not a path|'no/such/file' cannot be read)"
    ):
        await gateway.send("bot", "room", "text", files=[File(path)])
    assert [] == channel.made


ODD_TYPES = [
    "png",
    "a/",
    "/b",
    "a/b/c",
    "a/b; c=d",
    "a/b\r\nx: y",
    "a b/c",
    "a/\u00e9",
    ".a/b",
    5,
    None,
]
ODD_TYPES += ["image/" + "x" * 100_000, "x" * 128 + "/png", b"image/png"]


@pytest.mark.parametrize("kind", ODD_TYPES, ids=lambda kind: ascii(kind)[:20])
async def test_what_is_no_media_type_is_refused_in_a_few_words(opened, kind):
    gateway, channel, _ = opened
    with pytest.raises(Invalid, match=r"files\.0\.media_type: must be such as") as caught:
        await gateway.send("bot", "room", "text", files=[File(b"x", name="x", media_type=kind)])
    assert len(str(caught.value)) < 300
    assert [] == channel.made


@pytest.mark.parametrize("kind", ["x" * 127 + "/" + "y" * 127, "image/svg+xml", "a/b!#$&^_.+-"])
async def test_a_media_type_goes_as_it_is(opened, kind):
    gateway, channel, _ = opened
    await gateway.send("bot", "room", "text", files=[File(b"x", name="x", media_type=kind)])
    assert kind == channel.made[0].attempt.files[0].file.media_type


async def test_a_channel_that_takes_no_files_refuses_them(autojump_clock):
    class Plain(FakeChannel):
        chunk = None

    async with open_test_gateway(Plain()) as gateway:
        with pytest.raises(Invalid, match="files: the channel takes no files"):
            await gateway.send("bot", "room", "text", files=[File(b"x", name="x")])


async def test_an_edit_whose_plan_forgets_the_kept_files_is_refused_in_the_plan_s_words(
    autojump_clock,
):
    class Forgetful(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            return super().chunk(envelope) if isinstance(envelope, Send) else None

    async with open_test_gateway(Forgetful()) as gateway:
        receipt = await gateway.send("bot", "room", "text", files=[File(b"x", name="x")])
        with pytest.raises(Invalid, match=r"takes no files in an edit: its plan names none, kept"):
            await gateway.edit(receipt.ref, "other")


async def test_bytes_that_change_while_they_are_read_are_refused(opened, tmp_path, monkeypatch):
    gateway, _, outbox = opened
    path = tmp_path / "growing.log"
    path.write_bytes(b"one")

    class Growing(FileIO):
        def readinto(self, buffer):
            count = super().readinto(buffer)
            path.write_bytes(b"one more")
            return count

    monkeypatch.setattr("gateway_core.files.looking.FileIO", Growing)
    with pytest.raises(Invalid, match=r"files\.0: 'growing\.log' changed while it was read"):
        await gateway.send("bot", "room", "", files=[File(path)])
    assert 0 == held_by(gateway, outbox)


async def test_bytes_that_change_before_they_are_stored_are_refused_where_they_are_read_again(
    opened, tmp_path, monkeypatch
):
    gateway, _, outbox = opened
    path = tmp_path / "growing.log"
    path.write_bytes(b"one")
    keeper = gateway._parts.files
    keeper.allowance = Allowance(0)
    changing_afterwards(monkeypatch, keeper, path)
    with pytest.raises(Invalid, match=r"files\.0: 'growing\.log' changed while it was read"):
        await gateway.send("bot", "room", "", files=[File(path)])
    assert 0 == held_by(gateway, outbox)


async def test_bytes_that_were_read_once_are_sent_whatever_becomes_of_the_path(
    opened, tmp_path, monkeypatch
):
    gateway, channel, outbox = opened
    path = tmp_path / "growing.log"
    path.write_bytes(b"one")
    changing_afterwards(monkeypatch, gateway._parts.files, path)
    await gateway.send("bot", "room", "", files=[File(path)])
    assert [b"one"] == list(channel.contents.values())
    assert 0 == held_by(gateway, outbox)


def changing_afterwards(monkeypatch, keeper, path):
    """The path has other bytes as soon as the gateway has looked at it."""
    looked = keeper.look_at

    async def look_at(envelope, fits):
        found = await looked(envelope, fits)
        path.write_bytes(b"two")
        return found

    monkeypatch.setattr(type(keeper), "look_at", staticmethod(look_at))


async def test_what_is_too_much_for_the_memory_is_sent_as_well(opened, tmp_path):
    """Of five that wait three are held, if no outbox has them: the rest is read where it stands."""
    gateway, channel, outbox = opened
    size = 3 * PIECE + 5
    gateway._parts.files.allowance = Allowance(3 * size)
    channel.latency = 1
    contents = [bytes([number]) * size for number in range(5)]
    tickets = []
    for number, content in enumerate(contents):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(content)
        tickets.append(await gateway.enqueue("bot", "room", "", files=[File(path)]))
    for ticket in tickets:
        assert (await ticket.receipt()).delivered
    assert contents == list(channel.contents.values())
    assert gateway._parts.files.allowance.hold(3 * size) is not None
    assert 0 == held_by(gateway, outbox)
