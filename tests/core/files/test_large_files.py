"""What a channel does not take is not read, and what it takes is read in pieces."""

import os
from io import FileIO

import attrs
import pytest
import trio

from gateway_core import Edit, File, Invalid, Send
from gateway_core.authors import Answer, hookimpl, too_much
from gateway_core.files import held, looking
from gateway_core.files.keeper import LARGE_AT_ONCE
from gateway_core.files.looking import HEAD, TURN
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway

MOST = 50_000_000
MB5 = 5_000_000
HUGE = 10 * 1024**3


class Modest(FakeChannel):
    """Takes files of 50 MB."""

    most = MOST

    @hookimpl
    def validate(self, envelope):
        files = (envelope.files or ()) if isinstance(envelope, Send | Edit) else ()
        return list(too_much(files, platform="Fake", most=9, most_bytes=self.most, longest_alt=9))


class Dropping:
    """Takes large files off, and says so in the text."""

    @hookimpl
    def rewrite(self, envelope):
        if not any(file.size > MB5 for file in envelope.files or ()):
            return None
        return attrs.evolve(envelope, files=(), text=f"{envelope.text} (a file was too large)")


class Footer:
    """Changes what has large files, and leaves the files."""

    @hookimpl
    def rewrite(self, envelope):
        return attrs.evolve(envelope, text=envelope.text.removesuffix(" -- us") + " -- us")


@pytest.fixture
def read(monkeypatch):
    """The bytes of files that were read, by each read."""
    counts = []

    class Counting(FileIO):
        def readinto(self, buffer):
            counts.append(super().readinto(buffer))
            return counts[-1]

        def read(self, size=-1):
            piece = super().read(size)
            counts.append(len(piece))
            return piece

    monkeypatch.setattr(looking, "FileIO", Counting)
    return counts


def sparse(path, size):
    """A file of so many bytes that takes no place."""
    with path.open("wb") as opened:
        opened.truncate(size)
    return path


def digested(counts, monkeypatch):
    """What is in memory counts as read once it has a digest."""

    class Digest(looking.BytesDigest):
        def update(self, piece):
            counts.append(len(piece))
            super().update(piece)

    monkeypatch.setattr(looking, "BytesDigest", Digest)
    monkeypatch.setattr(held, "BytesDigest", Digest)


async def _send(gateway, file):
    await gateway.send("bot", "room", "text", files=[file])


async def _edit(gateway, file):
    receipt = await gateway.send("bot", "room", "text")
    await gateway.edit(receipt.ref, "text", files=[file])


async def _broadcast(gateway, file):
    await gateway.broadcast("bot", ["room"], "text", files=[file])


async def _submit_many(gateway, file):
    one = Send(instance_id="bot", external_room_id="room", text="text", files=(file,))
    await gateway.submit_many([one])


@pytest.mark.parametrize("name", ["huge.bin", "huge.png"])
@pytest.mark.parametrize("outbox", [False, True])
@pytest.mark.parametrize(
    ("verb", "policies"),
    [
        (_send, ()),
        (_send, (Footer(),)),
        (_edit, (Footer(),)),
        (_submit_many, (Footer(),)),
        (_broadcast, ()),
    ],
)
async def test_a_file_that_is_too_large_is_not_read(
    verb, outbox, name, policies, read, tmp_path, autojump_clock
):
    """Of 10 GB its head at most."""
    path = sparse(tmp_path / name, HUGE)
    store = MemoryOutbox() if outbox else None
    async with open_test_gateway(Modest(), plugins=policies, outbox=store) as gateway:
        accepted = gateway.statistics().accepted
        with pytest.raises(Invalid) as caught:
            await verb(gateway, File(path))
        assert (verb is _edit) + accepted == gateway.statistics().accepted
    limit = "Fake takes at most 50000000 (the setting `max_file_size`)"
    assert f"files.0: '{name}' has {HUGE} bytes, {limit}" in str(caught.value)
    assert sum(read) <= (HEAD if name.endswith("png") else 0)


async def test_bytes_that_are_too_many_are_not_read(monkeypatch, autojump_clock):
    counts = []
    digested(counts, monkeypatch)
    async with open_test_gateway(Modest()) as gateway:
        with pytest.raises(Invalid, match="'a' has 50000001 bytes, Fake takes at most 50000000"):
            await _send(gateway, File(bytes(MOST + 1), name="a"))
    assert [] == counts


async def test_a_policy_may_take_a_large_file_off(tmp_path, autojump_clock, read):
    """Its channel is asked about what it makes of the message, before anything is read."""
    channel = Modest()
    channel.most = MB5
    path = sparse(tmp_path / "large.bin", MB5 + 1)
    async with open_test_gateway(channel, plugins=[Dropping()]) as gateway:
        await _send(gateway, File(path))
    assert ["text (a file was too large)"] == channel.texts("room")


@pytest.mark.parametrize("source", ["path", "bytes"])
async def test_a_large_file_is_read_whole(source, tmp_path, autojump_clock):
    content = os.urandom(1 << 20) * 9 + b"end"
    (tmp_path / "a.bin").write_bytes(content)
    file = File(tmp_path / "a.bin") if source == "path" else File(content, name="a.bin")
    channel = Modest()
    async with open_test_gateway(channel, plugins=[Footer()]) as gateway:
        await _send(gateway, file)
    assert [content] == list(channel.contents.values())
    assert ["text -- us"] == channel.texts("room")


@pytest.mark.parametrize("source", ["path", "bytes"])
async def test_a_cancelled_caller_goes_after_a_piece(source, read, tmp_path, monkeypatch):
    """Of 40 MB it reads 8 at a time."""
    size = 5 * TURN
    if source == "bytes":
        digested(read, monkeypatch)
    path = sparse(tmp_path / "large.bin", size)
    file = File(path) if source == "path" else File(bytes(size), name="a")
    real = looking.in_thread
    async with open_test_gateway(Modest()) as gateway:
        with trio.CancelScope() as scope:

            async def cancelled(do):
                found = await real(do)
                if sum(read) >= TURN:
                    scope.cancel()
                return found

            monkeypatch.setattr(looking, "in_thread", cancelled)
            await _send(gateway, file)
        assert (True, TURN) == (scope.cancelled_caught, sum(read))
        assert 0 == gateway.statistics().accepted


@pytest.mark.parametrize("by", [-1, 1, 3 * TURN])
async def test_a_large_file_that_changes_is_refused(by, read, tmp_path, monkeypatch):
    """One that grows is read no further than it was long."""
    size = 2 * TURN
    path = sparse(tmp_path / "growing.log", size)
    real = looking.in_thread

    async def meanwhile(do):
        if TURN == sum(read):
            os.truncate(path, size + by)
        return await real(do)

    monkeypatch.setattr(looking, "in_thread", meanwhile)
    async with open_test_gateway(Modest()) as gateway:
        with pytest.raises(Invalid, match=r"files\.0: 'growing\.log' changed while it was read"):
            await _send(gateway, File(path))
    assert sum(read) <= size + TURN


async def test_a_large_file_that_goes_is_refused(tmp_path, monkeypatch):
    path = sparse(tmp_path / "gone.bin", TURN)

    class Going(Modest):
        @hookimpl
        def validate(self, envelope):
            path.unlink(missing_ok=True)

    async with open_test_gateway(Going()) as gateway:
        with pytest.raises(Invalid, match=r"files\.0: '.*gone\.bin' cannot be read: No such file"):
            await _send(gateway, File(path))


@pytest.mark.parametrize("name", ["huge.bin", "a.bin"])
async def test_a_preview_shows_what_policies_make_of_it_and_reads_nothing(name, read, tmp_path):
    path = sparse(tmp_path / name, HUGE if name == "huge.bin" else 9)
    async with open_test_gateway(Modest(), plugins=[Footer()]) as gateway:
        send = Send(instance_id="bot", external_room_id="room", text="text", files=(File(path),))
        shown = gateway.preview(send)
    assert ["files.0"] * (name == "huge.bin") == [each.place for each in shown.problems]
    assert ("text", "text -- us") == (shown.asked.text, shown.envelope.text)
    assert (name, 0) == (shown.envelope.files[0].name, sum(read))


class Slow(Modest):
    """Takes 200 KB a second."""

    @hookimpl
    async def send(self, attempt):
        [upload] = attempt.files
        async with upload.open() as pieces:
            async for piece in pieces:
                await trio.sleep(len(piece) / 200_000)
        return Answer(message_id="1")


async def test_few_large_files_are_stored_at_once_and_small_ones_wait_for_none(
    tmp_path, autojump_clock
):
    """A hundred that come together would else each have some of it in memory."""

    class Slow(MemoryOutbox):
        storing = most = 0

        async def store_bytes(self, digest, content):
            if not isinstance(content, held.Held):
                self.storing += 1
                self.most = max(self.most, self.storing)
                await trio.sleep(10)
                self.storing -= 1
            await super().store_bytes(digest, content)

    outbox, sent = Slow(), []
    async with open_test_gateway(Modest(), outbox=outbox) as gateway:

        async def send(number, file):
            assert (await gateway.send("bot", str(number), "", files=[file])).delivered
            sent.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(9):
                file = File(sparse(tmp_path / f"{number}", MB5 + number))
                nursery.start_soon(send, number, file)
            while not outbox.storing:  # threads read them until then
                await trio.lowlevel.checkpoint()
            await send("small", File(b"x", name="x"))
    assert (LARGE_AT_ONCE, "small", 10) == (outbox.most, sent[0], len(sent))


async def test_an_upload_that_moves_is_no_timeout(autojump_clock):
    """A photo of 9 MB takes 45 s, and an attempt may take 20 without moving."""
    photo = File(bytes(9_000_000), name="a.png")
    async with open_test_gateway(Slow(), outbox=MemoryOutbox(), attempt_timeout=20) as gateway:
        begun = trio.current_time()
        receipt = await gateway.send("bot", "room", "", files=[photo])
        assert (1, 45) == (receipt.attempts, round(trio.current_time() - begun))
