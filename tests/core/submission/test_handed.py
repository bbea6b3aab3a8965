"""A process that delivers nothing: what its tickets make of what the outbox says."""

import gc

import pytest
import trio

from gateway_core import (
    Disposition,
    IdempotencyConflict,
    OutboxError,
    Receipt,
    Refused,
    Send,
    open_gateway,
)
from gateway_core.config import GatewayConfig
from gateway_core.contract.instances import Instance
from gateway_core.outboxes import News
from gateway_core.outboxes.refusals import refusal_json
from gateway_core.testing import FakeChannel, FakeSettings, MemoryOutbox

NAME, OTHER = "a" * 30, "b" * 30
PLACE = {"instance_id": "bot", "room": "room", "handed_at": 5.0}
ENDED = Receipt(
    envelope_id=NAME,
    instance_id="bot",
    external_room_id="room",
    disposition=Disposition.DELIVERED,
)


class Desk:
    """Takes what is handed over, and says nothing of it by itself."""

    def __init__(self):
        self.handed, self.left = [], []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def hand_over(self, envelope, *, awaited, files):
        await trio.lowlevel.checkpoint()
        self.handed.append((envelope, awaited, files))
        return NAME

    async def tell(self, instance_id, question):
        """Nobody asks for anything here."""

    async def unfinished(self):
        return {}

    def leave(self, handed_id):
        self.left.append(handed_id)

    def says(self, **news):
        self.heard(News(id=NAME, **PLACE, **news))


class Shared(MemoryOutbox):
    """One that several processes could share."""

    def __init__(self):
        super().__init__()
        self.desk = Desk()

    def handover(self):
        return self.desk


@pytest.fixture
async def opened(autojump_clock):
    outbox = Shared()
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    async with open_gateway(
        config, plugins=[("fake", FakeChannel())], outbox=outbox, serve=False
    ) as gateway:
        yield gateway, outbox.desk


async def test_what_is_handed_over_is_what_was_asked_for(opened):
    gateway, desk = opened
    ticket = await gateway.enqueue("bot", "room", "text", key="k")
    asked = Send(instance_id="bot", external_room_id="room", text="text", key="k")
    assert [(asked, False, {})] == desk.handed
    assert (NAME, False, [NAME]) == (ticket.id, ticket.ended, desk.waiting())
    del ticket
    gc.collect(1)  # young objects only: all those of the suite would take a second
    assert [] == desk.waiting()


async def test_news_that_are_no_end_end_nothing(opened):
    gateway, desk = opened
    ticket = await gateway.enqueue("bot", "room", "text")
    desk.says()
    desk.says(answered_at=6.0, envelope_id=NAME, stored=True)
    assert (False, [NAME]) == (ticket.ended, desk.waiting())
    desk.says(answered_at=6.0, envelope_id=NAME, receipt=ENDED)
    assert (ENDED, []) == (await ticket.receipt(), desk.waiting())
    desk.says(answered_at=6.0, cancelled=True)
    assert ENDED == await ticket.receipt()


async def test_one_that_joins_another_has_its_id_and_leaves_by_its_own(opened):
    gateway, desk = opened
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.send, "bot", "room", "text")
        await trio.sleep(1)
        desk.says(answered_at=6.0, envelope_id=OTHER, stored=True)
        nursery.cancel_scope.cancel()
    assert [NAME] == desk.left
    ticket = await gateway.enqueue("bot", "room", "text")
    desk.says(answered_at=6.0, envelope_id=OTHER, receipt=ENDED, replayed=True)
    assert (OTHER, True) == (ticket.id, (await ticket.receipt()).replayed)


@pytest.mark.parametrize(
    ("news", "error", "words"),
    [
        (
            {"refused": refusal_json(IdempotencyConflict(key="k", envelope_id=OTHER))},
            IdempotencyConflict,
            "key 'k' was used",
        ),
        ({"refused": "of a later release"}, Refused, "of a later release"),
        ({"envelope_id": NAME}, OutboxError, "is not remembered any more"),
    ],
    ids=["refused", "refused in words", "forgotten"],
)
async def test_a_ticket_without_an_end_says_why_however_often_it_is_asked(
    opened, news, error, words
):
    gateway, desk = opened
    ticket = await gateway.enqueue("bot", "room", "text")
    desk.says(answered_at=6.0, **news)
    for _ in range(2):
        with pytest.raises(error, match=words):
            await ticket.receipt()
    assert (False, 0) == (ticket.ended, gateway.statistics().accepted)


async def test_one_that_nobody_had_taken_ends_cancelled(opened):
    gateway, desk = opened
    ticket = await gateway.enqueue("bot", "room", "text")
    desk.says(answered_at=6.0, cancelled=True)
    receipt = await ticket.receipt()
    assert (Disposition.CANCELLED, 5.0, 6.0) == (
        receipt.disposition, receipt.accepted_at, receipt.ended_at
    )  # fmt: skip
