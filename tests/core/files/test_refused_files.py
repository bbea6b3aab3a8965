"""The text is not lost with a file that the platform refuses, where its sender wants it so."""

import pytest
import trio

from gateway_core import Disposition, File, Invalid, Send
from gateway_core.authors import ErrorClass, Part, Reason, Verdict, hookimpl
from gateway_core.testing import FakeChannel, MemoryOutbox, failing, open_test_gateway

REFUSED = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.BAD_REQUEST,
    files_refused=True,
    raw="wrong file identifier",
)
BAD_FORMAT = Verdict(
    error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_FORMAT, transform="plain"
)
LOST = "files refused: wrong file identifier"
FILE = File(b"one", name="1")


class InTwo(FakeChannel):
    """Sends files ahead of their text, in a message of their own."""

    @hookimpl
    def chunk(self, envelope):
        files, text = tuple(range(len(envelope.files))), envelope.text
        parts = [Part(payload={"text": ""}, files=files)] if files else []
        span = (0, len(text))
        return [*parts, *([Part(payload={"text": text}, span=span)] if text.strip() else [])]


@pytest.fixture(params=["memory", "outbox"])
def outbox(request, autojump_clock):
    return MemoryOutbox() if request.param == "outbox" else None


@pytest.fixture
async def opened(outbox):
    channel = FakeChannel(script=failing(REFUSED))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        yield gateway, channel


async def test_a_message_ends_with_its_refused_file(opened, autojump_clock):
    gateway, channel = opened
    receipt = await gateway.send("bot", "room", "a cat", files=[FILE], raises=False)
    assert (Disposition.REJECTED, ()) == (receipt.disposition, receipt.degradations)
    assert (1, []) == (len(channel.made), channel.texts("room"))


async def test_the_text_goes_alone_where_its_file_is_refused(opened, autojump_clock):
    gateway, channel = opened
    receipt = await gateway.send("bot", "room", "a cat", files=[FILE], on_file_error="send_text")
    assert ["a cat"] == channel.texts("room")
    assert ((LOST,), ("without_files",)) == (receipt.degradations, receipt.transforms)
    assert REFUSED == receipt.verdict
    [part] = receipt.parts
    assert ("delivered", (), (LOST,)) == (part.outcome, part.files, part.degraded)
    assert () == receipt.ref.parts[0].files
    assert not receipt.possible_duplicate
    edited = await gateway.edit(receipt.ref, "a dog")
    assert (["a dog"], True) == (channel.texts("room"), edited.delivered)


async def test_its_reply_and_its_buttons_stay(opened, autojump_clock):
    gateway, channel = opened
    await gateway.send(
        "bot", "room", "a cat", files=[FILE], on_file_error="send_text", reply_to="7",
        extra={"buttons": ["yes"]},
    )  # fmt: skip
    with_files, alone = (made.attempt for made in channel.made)
    assert ("7", {"buttons": ["yes"]}) == (alone.reply, alone.extra)
    assert ((), with_files.key) == (alone.files, alone.key)


async def test_the_text_that_is_refused_as_well_ends_it(opened, autojump_clock):
    gateway, channel = opened
    channel.script = failing(REFUSED, times=2)
    ticket = await gateway.enqueue("bot", "room", "a", files=[FILE], on_file_error="send_text")
    receipt = await ticket.receipt()
    assert (Disposition.REJECTED, 2) == (receipt.disposition, len(channel.made))


@pytest.mark.parametrize("text", ["", " \n"])
async def test_files_without_a_text_end_as_ever(opened, autojump_clock, text):
    gateway, _ = opened
    receipt = await gateway.send(
        "bot", "room", text, files=[FILE], on_file_error="send_text", raises=False
    )
    assert Disposition.REJECTED is receipt.disposition


@pytest.mark.parametrize(
    ("error_class", "reason", "refused"),
    [
        (ErrorClass.NON_RETRYABLE, Reason.BAD_REQUEST, False),
        (ErrorClass.NON_RETRYABLE, Reason.ROOM_GONE, False),
        (ErrorClass.FATAL, Reason.FORBIDDEN, False),
    ],
)
async def test_what_does_not_concern_the_file_ends_it(
    opened, autojump_clock, error_class, reason, refused
):
    gateway, channel = opened
    channel.script = failing(
        Verdict(error_class=error_class, reason=reason, files_refused=refused), times=9
    )
    receipt = await gateway.send(
        "bot", "room", "a", files=[FILE], on_file_error="send_text", raises=False
    )
    assert (False, 1) == (receipt.delivered, len(channel.made))


async def test_a_right_that_files_alone_need_holds_no_text_up(opened, autojump_clock):
    gateway, channel = opened
    fatal = Verdict(error_class=ErrorClass.FATAL, reason=Reason.FORBIDDEN, files_refused=True)
    channel.script = failing(fatal)
    receipt = await gateway.send("bot", "room", "a", files=[FILE], on_file_error="send_text")
    assert ("files refused: Failure: the script's verdict",) == receipt.degradations


async def test_files_that_perhaps_came_make_a_possible_copy(opened, autojump_clock):
    gateway, channel = opened
    nowhere = Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN,
        dispatched="unknown",
        files_refused=True,
        raw="shared nowhere",
    )
    channel.script = failing(nowhere)
    receipt = await gateway.send("bot", "room", "a", files=[FILE], on_file_error="send_text")
    assert (["a"], True) == (channel.texts("room"), receipt.possible_duplicate)
    assert ("files refused: shared nowhere",) == receipt.degradations


async def test_of_two_messages_the_text_s_goes_alone_and_replies(outbox, autojump_clock):
    channel = InTwo(script=failing(REFUSED))
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        receipt = await gateway.send(
            "bot", "room", "a cat", files=[FILE], on_file_error="send_text", reply_to="7"
        )
        assert (["a cat"], "7") == (channel.texts("room"), channel.made[-1].attempt.reply)
        assert ["failed", "delivered"] == [part.outcome for part in receipt.parts]
        assert ((LOST,), (0,)) == (receipt.parts[0].degraded, receipt.parts[0].files)
        assert (1, (LOST,)) == (len(receipt.ref.parts), receipt.degradations)


@pytest.mark.parametrize("kind", [FakeChannel, InTwo])
async def test_a_kill_between_loses_neither_the_text_nor_what_is_said_of_its_file(
    kind, autojump_clock
):
    outbox = MemoryOutbox()
    down = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE)
    verdicts = iter([REFUSED])

    async def refused_and_down(attempt):
        await failing(next(verdicts, down))(attempt)

    with trio.move_on_after(5):
        async with open_test_gateway(kind(script=refused_and_down), outbox=outbox) as gateway:
            ticket = await gateway.enqueue(
                "bot", "room", "a cat", files=[FILE], on_file_error="send_text", reply_to="7"
            )
            await ticket.receipt()
    channel = kind()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        status = await gateway.status(ticket.id)
    assert ((LOST,), ("without_files",)) == (
        status.receipt.degradations,
        status.receipt.transforms,
    )
    [made] = channel.made
    assert (["a cat"], (), "7") == (channel.texts("room"), made.attempt.files, made.attempt.reply)


async def test_a_kill_after_another_change_of_the_text_does_not_forget_its_file(autojump_clock):
    outbox = MemoryOutbox()
    down = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE)
    verdicts = iter([REFUSED, BAD_FORMAT])

    async def refused_and_down(attempt):
        await failing(next(verdicts, down))(attempt)

    with trio.move_on_after(5):
        async with open_test_gateway(
            FakeChannel(script=refused_and_down), outbox=outbox
        ) as gateway:
            ticket = await gateway.enqueue(
                "bot", "room", "a cat", files=[FILE], on_file_error="send_text"
            )
            await ticket.receipt()
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await trio.sleep(60)
        receipt = (await gateway.status(ticket.id)).receipt
    assert {"plain", "without_files"} == set(receipt.transforms)
    assert {"plain", LOST} == set(receipt.degradations)
    assert ["a cat"] == channel.texts("room")


async def test_another_word_is_refused(opened, autojump_clock):
    gateway, _ = opened
    with pytest.raises(Invalid, match="on_file_error"):
        await gateway.send("bot", "room", "a", files=[FILE], on_file_error="ignore")
    with pytest.raises(ValueError, match="on_file_error"):
        Send(instance_id="bot", external_room_id="room", text="a", on_file_error="ignore")


async def test_it_is_no_content(opened, autojump_clock):
    gateway, channel = opened
    channel.script = None
    await gateway.send("bot", "room", "a", files=[FILE], key="k")
    again = await gateway.send("bot", "room", "a", files=[FILE], key="k", on_file_error="send_text")
    assert again.replayed
