"""An edit that fails leaves its message with the files that it had, and that is known."""

import attrs
import pytest
import trio

from gateway_core import Disposition, File
from gateway_core.authors import ErrorClass, Reason, TransportError, Verdict
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway

REFUSED = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNSUPPORTED)
SLOW_DOWN = Verdict(
    error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, scope="room", retry_after=30.0
)
BAD_FORMAT = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.BAD_FORMAT, transform="plain")


def refuses(text, verdict=REFUSED, *, once=False):
    """Refuses what has that text."""
    left = [1 if once else 1_000]

    async def script(attempt):
        if left[0] and (attempt.payload or {}).get("text") == text:
            left[0] -= 1
            raise Failure(verdict)

    return script


@pytest.fixture(params=["memory", "outbox"])
def outbox(request, autojump_clock):
    return MemoryOutbox() if request.param == "outbox" else None


@pytest.mark.parametrize("files", [(), (File(b"two", name="2"),)])
async def test_a_refused_change_of_files_is_none(outbox, files, autojump_clock):
    channel = FakeChannel(script=refuses("no"))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
        refused = await gateway.edit(sent.ref, "no", files=files, raises=False)
        assert Disposition.REJECTED is refused.disposition
        edited = await gateway.edit(sent.ref, "new")
        assert ["file-1"] == [file.id for file in edited.ref.parts[0].files]
        assert [True] == [upload.held for upload in channel.made[-1].attempt.files]
    assert {"file-1": b"one"} == channel.contents


async def test_a_ref_from_before_the_files_went_takes_an_edit(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
        await gateway.edit(sent.ref, "bare", files=())
        edited = await gateway.edit(sent.ref, "new")
    assert edited.delivered
    assert [("new",), ()] == [tuple(channel.texts("room")), edited.ref.parts[0].files]


async def test_an_edit_whose_formatting_is_refused_takes_the_files_off_all_the_same(
    outbox, autojump_clock
):
    channel = FakeChannel(script=refuses("no", BAD_FORMAT, once=True))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        sent = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
        edited = await gateway.edit(sent.ref, "no", files=())
    assert ("plain",) == edited.transforms
    assert [()] == list(channel.files.values())


async def test_a_change_of_files_that_a_run_began_and_the_next_one_hears_refused_is_none(
    autojump_clock,
):
    """Nothing that was refused is taken for what the message has."""
    channel, outbox = FakeChannel(), MemoryOutbox()
    with trio.move_on_after(5):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            sent = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
            channel.script = refuses("no", SLOW_DOWN)
            await gateway.edit(sent.ref, "no", files=[File(b"two", name="2")])
    channel.script = refuses("no", attrs.evolve(REFUSED, files_refused=True))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)  # else the next edit takes the place of the refused one
        edited = await gateway.edit(sent.ref, "new")
    assert [("no", False), ("no", False), ("new", True)] == [
        (made.attempt.payload["text"], made.attempt.files[0].held) for made in channel.made[1:]
    ]
    assert ["file-1"] == [file.id for file in edited.ref.parts[0].files]
    assert {"file-1": b"one"} == channel.contents


async def test_a_refused_repeat_does_not_say_that_the_first_attempt_did_nothing(autojump_clock):
    async def script(attempt):
        if attempt.operation == "edit":
            lost = TransportError("cut", dispatched="unknown")
            raise Failure(REFUSED) if attempt.number > 1 else lost

    async with open_test_gateway(FakeChannel(script=script)) as gateway:
        sent = await gateway.send("bot", "room", "old")
        receipt = await gateway.edit(sent.ref, "new", raises=False)
    assert (2, "unknown") == (receipt.attempts, receipt.parts[0].outcome)


async def cut_before(attempt):
    """Nothing that changes files arrives, and nobody knows it."""
    if attempt.operation == "edit" and not attempt.files[0].held:
        raise TransportError("cut", dispatched="unknown")


@pytest.fixture
async def in_doubt(autojump_clock):
    """A gateway, its channel, and a message whose change of files was lost, which nobody knows."""
    channel = FakeChannel(script=cut_before)
    async with open_test_gateway(channel) as gateway:
        sent = await gateway.send("bot", "room", "old", files=[File(b"one", name="1")])
        two = File(b"two", name="2")
        lost = await gateway.edit(sent.ref, "new", files=[two], ttl=5, raises=False)
        assert "unknown" == lost.parts[0].outcome
        channel.script = None
        yield gateway, channel, sent.ref


@pytest.mark.parametrize("text", [None, "text"])
async def test_a_change_of_files_in_doubt_is_made_when_it_is_repeated(in_doubt, text):
    """Even after an edit that kept the files, whichever these were."""
    gateway, channel, ref = in_doubt
    if text is not None:
        kept = await gateway.edit(ref, text)
        assert [None] == [file.id for file in kept.ref.parts[0].files]
    edited = await gateway.edit(ref, text or "new", files=[File(b"two", name="2")])
    assert ["file-2"] == [file.id for file in edited.ref.parts[0].files]
    assert b"two" == channel.contents[channel.files[ref.parts[0].message_id][0]]


async def test_what_stands_after_a_change_in_doubt_is_not_sent_in_place_of_the_new_file(in_doubt):
    gateway, channel, ref = in_doubt
    await gateway.edit(ref, "text")
    await gateway.send("bot", "other room", "look", files=[File(b"two", name="2")])
    [upload] = channel.made[-1].attempt.files
    assert (None, b"two") == (upload.known, channel.contents["file-2"])
