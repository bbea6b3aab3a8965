"""The handle of an accepted envelope."""

import pytest
import trio

from gateway_core import (
    Call,
    Disposition,
    Edit,
    GatewayClosed,
    KeyRef,
    MessageRef,
    Part,
    PartRef,
    Receipt,
    Send,
    Ticket,
)
from gateway_core.contract.hookspecs import Answer
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.made import receipts
from gateway_core.deliveries.steps import send_steps

SEND = Send(instance_id="bot", external_room_id="r", text="a", thread_id="t")
REF = MessageRef(
    instance_id="bot", external_room_id="r", envelope_id="e", parts=(PartRef(message_id="1"),)
)


def a_delivery(envelope=SEND):
    return Delivery("id", envelope, (Part(payload={"text": "a"}),))


def end(delivery):
    """What the engine does when a delivery ends: its receipt, then everybody who waits."""
    receipt = receipts.end(delivery, Disposition.DELIVERED, verdict=None, ended_wall=0.0)
    delivery.notify()
    return receipt


def edit_of(target):
    return Edit(instance_id="bot", external_room_id="r", target=target, text="x")


# -- the ref


def test_a_ticket_names_its_message_before_it_is_there():
    ref = Ticket(a_delivery()).ref
    assert ("bot", "r", "id", "t", ()) == (
        ref.instance_id,
        ref.external_room_id,
        ref.envelope_id,
        ref.thread_id,
        ref.parts,
    )


def test_and_by_what_arrived_once_it_ended():
    delivery = a_delivery()
    delivery.follow(send_steps(SEND, delivery.plan))
    delivery.acknowledge(delivery.steps[0], Answer(message_id="41"))
    end(delivery)
    assert ["41"] == [part.message_id for part in Ticket(delivery).ref.parts]


def test_what_ended_without_a_message_is_named_as_before():
    delivery = a_delivery()
    receipts.end(delivery, Disposition.CANCELLED, verdict=None, ended_wall=0.0)
    assert () == Ticket(delivery).ref.parts


def test_a_ticket_of_an_edit_names_the_message_edited():
    assert REF is Ticket(a_delivery(edit_of(REF))).ref


def test_a_ticket_of_a_call_names_what_the_platform_will_answer_with():
    delivery = a_delivery(Call(instance_id="bot", external_room_id="r", method="post"))
    assert ("id", ()) == (Ticket(delivery).ref.envelope_id, Ticket(delivery).ref.parts)
    delivery.next_step()
    delivery.acknowledge(delivery.steps[0], Answer(message_id="41"))
    end(delivery)
    assert ["41"] == [part.message_id for part in Ticket(delivery).ref.parts]


@pytest.mark.parametrize(
    "envelope",
    [
        Call(instance_id="bot", external_room_id="", method="post"),
        Call(instance_id="bot", external_room_id="r", method="react", target=REF),
        edit_of(KeyRef(instance_id="bot", external_room_id="r", key="k")),
    ],
    ids=["call without a room", "call about a message", "edit by key"],
)
def test_what_names_no_message_yet_has_no_ref(envelope):
    with pytest.raises(TypeError, match="has no message before it ends"):
        _ = Ticket(a_delivery(envelope)).ref


def test_a_ticket_says_how_far_it_is():
    delivery = a_delivery()
    ticket = Ticket(delivery)
    assert ("<Ticket id unfinished>", False, "id") == (repr(ticket), ticket.ended, ticket.id)
    end(delivery)
    assert ("<Ticket id delivered>", True) == (repr(ticket), ticket.ended)


# -- the receipt


async def test_any_number_of_tasks_may_wait(autojump_clock):
    delivery, receipts = a_delivery(), []

    async def wait():
        receipts.append(await Ticket(delivery).receipt())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await trio.sleep(1)
        assert [] == receipts
        end(delivery)
    assert [delivery.receipt] * 3 == receipts


async def test_giving_up_changes_nothing(autojump_clock):
    delivery = a_delivery()
    with trio.move_on_after(1) as scope:
        await Ticket(delivery).receipt()
    assert scope.cancelled_caught
    assert {} == delivery._on_end
    receipt = end(delivery)
    assert receipt is await Ticket(delivery).receipt()


async def test_one_that_gives_up_leaves_the_others_waiting(autojump_clock):
    delivery, receipts = a_delivery(), []

    async def wait():
        receipts.append(await Ticket(delivery).receipt())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        with trio.move_on_after(1):
            await Ticket(delivery).receipt()
        end(delivery)
    assert [delivery.receipt] == receipts


async def test_the_receipt_of_what_ended_is_there_at_once_behind_a_checkpoint():
    delivery = a_delivery()
    end(delivery)
    with trio.CancelScope() as scope:
        scope.cancel()
        await Ticket(delivery).receipt()
    assert scope.cancelled_caught


async def test_a_replay_answers_with_its_own_receipt():
    replayed = Receipt(
        envelope_id="first",
        instance_id="bot",
        external_room_id="r",
        disposition=Disposition.DELIVERED,
        replayed=True,
    )
    delivery = a_delivery()
    delivery.replay(replayed)
    assert replayed is await Ticket(delivery).receipt()


async def test_what_a_durable_outbox_has_is_not_waited_for():
    delivery = a_delivery()
    delivery.store()
    with pytest.raises(GatewayClosed) as caught:
        await Ticket(delivery).receipt()
    assert caught.value.kept


async def test_who_waits_when_it_is_stored_hears_so(autojump_clock):
    delivery = a_delivery()
    async with trio.open_nursery() as nursery:

        async def store():
            await trio.sleep(1)
            delivery.store()

        nursery.start_soon(store)
        with pytest.raises(GatewayClosed):
            await Ticket(delivery).receipt()
