"""Interactions: acknowledged by themselves, answered by their token, in the room after its end."""

import attrs
import pytest
import trio

from gateway_core import DeliveryError, Disposition, Edit, Invalid, Send, from_json, to_json
from gateway_core.authors import (
    ErrorClass,
    Limit,
    Part,
    Reason,
    Scope,
    TransportError,
    Verdict,
    hookimpl,
)
from gateway_core.testing import EPOCH, Failure, FakeChannel, MemoryOutbox, event, open_test_gateway

NO_TOKEN = Verdict(
    error_class=ErrorClass.RETRYABLE, reason=Reason.UNAUTHORIZED, transform="to_room"
)
TAKEN = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_REQUEST)
ROOM_LIMITED = Verdict(
    error_class=ErrorClass.RETRYABLE,
    reason=Reason.RATE_LIMITED,
    scope=Scope.ROOM,
    retry_after=100.0,
)


def operations(channel):
    return [made.attempt.operation for made in channel.made]


async def test_it_is_noticed_before_it_is_answered(gateway, channel, autojump_clock):
    await gateway.reply(event(asked="command"), "done")
    assert (1, ["answer"]) == (len(channel.noticed), operations(channel))
    answers = channel.made[0].attempt.interaction
    assert ("command", 0) == (answers.asked, answers.answer)


async def test_it_is_noticed_at_once_however_long_it_takes(gateway, channel, autojump_clock):
    delivered = event(asked="command")
    await trio.sleep(1)
    async with gateway.typing(delivered):
        await trio.sleep(60)
    await gateway.reply(delivered, "done")
    assert [1.0] == [made.at for made in channel.noticed]
    assert [] == channel.typed


async def test_further_answers_follow_up(gateway, channel, autojump_clock):
    delivered = event(asked="form")
    for text in ("one", "two", "three"):
        await gateway.reply(delivered, text)
    assert [0, 1, 2] == [made.attempt.interaction.answer for made in channel.made]
    assert 1 == len(channel.noticed)


async def test_an_answer_for_one_person_alone_is_noticed_as_such(gateway, channel, autojump_clock):
    await gateway.reply(event(asked="press"), "for you", ephemeral=True)
    assert channel.noticed[0].attempt.arguments["alone"]
    assert channel.made[0].attempt.ephemeral


async def test_what_all_saw_noticed_is_not_answered_to_one(gateway, channel, autojump_clock):
    delivered = event(asked="command")
    async with gateway.typing(delivered):
        with pytest.raises(Invalid, match="for all to see"):
            await gateway.reply(delivered, "for you", ephemeral=True)
        await gateway.reply(delivered, "for all")
    assert ["for all"] == channel.texts("room")


async def test_only_an_interaction_has_answers_for_one_person_alone(gateway, autojump_clock):
    with pytest.raises(Invalid, match="ephemeral"):
        await gateway.reply(event(), "for you", ephemeral=True)


async def test_a_notice_that_fails_is_given_again(autojump_clock):
    async def script(attempt):
        if attempt.method and attempt.number < 3:
            raise TransportError("reset", dispatched="unknown")

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        await gateway.reply(event(asked="command"), "done")
    assert [1, 2, 3] == [made.attempt.number for made in channel.noticed]
    assert channel.noticed[-1].at < 2


async def test_a_notice_that_hangs_is_waited_for_two_seconds(autojump_clock):
    async def script(attempt):
        if attempt.method:
            await trio.sleep_forever()

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        await gateway.reply(event(asked="command"), "done")
    assert [2.0] == channel.times


async def test_what_the_program_has_noticed_itself_gets_a_message_of_its_own(autojump_clock):
    """Editing the first answer would overwrite whatever the program answered."""

    async def script(attempt):
        if attempt.method:
            raise Failure(TAKEN)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        await gateway.reply(event(asked="command"), "done")
    assert 1 == channel.made[0].attempt.interaction.answer


async def test_after_the_tokens_end_the_room_is_used(gateway, channel, autojump_clock):
    address = gateway.address("bot", event(asked="command"))
    ended = attrs.evolve(address.interaction, ends=EPOCH + 10)
    await trio.sleep(11)
    send = Send(instance_id="bot", external_room_id="room", text="late", interaction=ended)
    receipt = await (await gateway.submit(send)).receipt()
    assert ["send"] == operations(channel)
    assert (("answered in the room",), ("to_room",)) == (receipt.degradations, receipt.transforms)


async def test_an_answer_that_waited_too_long_goes_to_the_room(gateway, channel, autojump_clock):
    gateway.suspend("bot")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.reply, event(asked="command"), "late")
        await trio.sleep(1000)
        gateway.resume("bot")
    assert ["send"] == operations(channel)


async def test_a_token_that_the_platform_does_not_know_leads_to_the_room(autojump_clock):
    async def script(attempt):
        if attempt.operation == "answer":
            raise Failure(NO_TOKEN)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        receipt = await gateway.reply(event(asked="command"), "done")
    assert ["answer", "send"] == operations(channel)
    assert ("answered in the room",) == receipt.degradations


@pytest.mark.parametrize("how", ["end", "refusal"])
async def test_what_is_for_one_person_alone_never_goes_to_the_room(autojump_clock, how):
    async def script(attempt):
        if attempt.operation == "answer":
            raise Failure(NO_TOKEN)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel) as gateway:
        answers = gateway.address("bot", event(asked="command")).interaction
        ends = EPOCH + (-1 if how == "end" else 900)
        send = Send(
            instance_id="bot",
            external_room_id="room",
            text="secret",
            ephemeral=True,
            interaction=attrs.evolve(answers, ends=ends),
        )
        receipt = await (await gateway.submit(send)).receipt()
    assert (Disposition.REJECTED, []) == (receipt.disposition, channel.texts("room"))


async def test_its_answers_wait_neither_for_the_room_nor_for_its_limits(autojump_clock):
    def limits(room, operation):
        return [Limit(f"{operation} {room}", 1, 60.0, of="room")] if operation == "send" else []

    channel = FakeChannel(limits=limits)
    async with open_test_gateway(channel, drain_timeout=0) as gateway, trio.open_nursery() as own:
        for number in range(3):
            own.start_soon(gateway.send, "bot", "room", f"message {number}")
        await trio.sleep(1)
        delivered = event(asked="command")
        await gateway.reply(delivered, "one")
        await gateway.reply(delivered, "two")
        assert 1 == trio.current_time()
        own.cancel_scope.cancel()


async def test_a_room_that_a_limit_closed_is_open_to_answers(autojump_clock):
    async def script(attempt):
        if attempt.operation == "send":
            raise Failure(ROOM_LIMITED)

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, drain_timeout=0) as gateway, trio.open_nursery() as own:
        own.start_soon(gateway.send, "bot", "room", "refused")
        await trio.sleep(1)
        await gateway.reply(event(asked="command"), "done")
        assert 1 == trio.current_time()
        own.cancel_scope.cancel()


async def test_only_the_first_part_is_the_first_answer(autojump_clock):
    class Cutting(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            words = envelope.text.split()
            return [Part(payload={"text": word}) for word in words]

    channel = Cutting()
    async with open_test_gateway(channel) as gateway:
        await gateway.reply(event(asked="command"), "one two three")
    assert [0, 1, 1] == [made.attempt.interaction.answer for made in channel.made]


async def test_the_token_prints_nowhere_and_is_read_back(gateway, capsys, autojump_clock):
    delivered = event(asked="command", id="e7")
    token = gateway.address("bot", delivered).interaction.token.reveal()
    await gateway.reply(delivered, "done")
    assert token not in "".join(capsys.readouterr())
    answers = gateway.address("bot", delivered).interaction
    send = Send(instance_id="bot", external_room_id="room", text="x", interaction=answers)
    assert token not in repr(send)
    assert send == from_json(Send, to_json(send))
    assert send == from_json(Send, {**to_json(send)})


async def test_an_answer_is_given_by_its_token_after_a_restart(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0) as gateway:
        gateway.suspend("bot")
        with trio.move_on_after(1):
            await gateway.reply(event(asked="command"), "done", on_cancel="detach")
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(1)
    assert ["answer"] == operations(channel)


async def test_an_answer_is_edited_by_its_token_as_long_as_that_lives(
    gateway, channel, autojump_clock
):
    answers = gateway.address("bot", event(asked="command")).interaction
    answers = attrs.evolve(answers, ends=EPOCH + 100)
    place = {"instance_id": "bot", "external_room_id": "room"}
    ticket = await gateway.submit(Send(**place, text="one", interaction=answers))
    edit = Edit(**place, target=ticket.ref, text="two", interaction=answers)
    assert (await (await gateway.submit(edit)).receipt()).delivered
    await trio.sleep(200)
    late = attrs.evolve(edit, text="three")
    receipt = await (await gateway.submit(late)).receipt()
    assert ["answer", "revise", "edit"] == operations(channel)
    assert (["three"], ()) == (channel.texts("room"), receipt.degradations)


async def test_what_is_no_interaction_is_refused(gateway, autojump_clock):
    answers = gateway.address("bot", event(asked="command")).interaction
    for other in ("token", attrs.evolve(answers, token="plain"), attrs.evolve(answers, answer=-1)):
        send = Send(instance_id="bot", external_room_id="room", text="x", interaction=other)
        with pytest.raises(Invalid, match="interaction"):
            await gateway.submit(send)


async def test_a_refused_answer_says_why(autojump_clock):
    async def script(attempt):
        if attempt.operation == "answer":
            raise Failure(TAKEN)

    async with open_test_gateway(FakeChannel(script=script)) as gateway:
        with pytest.raises(DeliveryError, match="bad_request"):
            await gateway.reply(event(asked="command"), "done")
