"""Makes the load: callers that send, edit, delete, repeat themselves and lose patience."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import trio
from simulated.drawing import Place, Setup
from simulated.ledger import Ledger, number_of, words_of
from simulated.lives import check

from gateway_core import (
    Call,
    DeadlinePassed,
    Delete,
    Edit,
    Gateway,
    GatewayClosed,
    HookContractError,
    IdempotencyConflict,
    InstanceSuspended,
    KeyRef,
    MessageRef,
    OutboxError,
    Overloaded,
    Receipt,
    Refused,
    Send,
    Ticket,
    UnknownInstance,
)

EXPECTED = (
    Overloaded, DeadlinePassed, GatewayClosed, InstanceSuspended, HookContractError, OutboxError,
    UnknownInstance,
)  # fmt: skip
CALLS = {"telegram": "sendChatAction", "discord": "POST /channels/{channel}/typing"}
COLLAPSED = ("cpu", "cpu", "disk")
"""The values of `collapse` that messages have."""


class Callers:
    """All callers of one world, and what they share: the keys that were used.

    In the next life, they still have the refs and receipts that they got, but no tickets.
    """

    gateway: Gateway

    def __init__(self, setup: Setup, ledger: Ledger, topics: Any) -> None:
        self.setup = setup
        self.ledger = ledger
        self.topics = topics
        self.texts = 0
        self.left = setup.load.messages
        self.calls = 0
        self.inside: dict[int, None] = {}
        self.keyed: list[Send] = []
        self.sent: list[tuple[Send, Ticket | Receipt | MessageRef]] = []

    async def run(self, gateway: Gateway) -> None:
        """Run every caller until there is nothing left to send, or the gateway closes."""
        self.gateway = gateway
        self.sent = [
            (send, known.ref if isinstance(known, Ticket) else known) for send, known in self.sent
        ]
        life = self.ledger.life
        async with trio.open_nursery() as nursery:
            for number in range(self.setup.load.callers):
                name = f"caller {number}" if not life else f"caller {number} of life {life}"
                nursery.start_soon(self._caller, self.setup.generator(name))

    async def _caller(self, rng: Random) -> None:
        load = self.setup.load
        kinds, weights = list(load.kinds), list(load.kinds.values())
        while self.left > 0:
            self.left -= 1
            await trio.sleep(rng.choice(load.pauses))
            kind = rng.choices(kinds, weights)[0]
            patience = math.inf
            if rng.random() < load.patience:
                patience = rng.choice([0.0, 0.25, 0.5, 1.0, 3.0])
            with trio.move_on_after(patience):
                await self._attempted(kind, rng)

    async def _attempted(self, kind: str, rng: Random) -> None:
        self.calls += 1
        number = self.calls
        self.inside[number] = None
        try:
            await getattr(self, f"_{kind}")(rng)
        except (*EXPECTED, IdempotencyConflict) as refusal:
            self.ledger.refused[type(refusal).__name__] += 1
            self.ledger.note("refused", type(refusal).__name__)
            self.ledger.secret_places.append(f"{refusal} {refusal!r}")
        except Refused as refusal:
            self.ledger.wrong(f"refused without a reason: {refusal!r}")
        finally:
            del self.inside[number]

    # -- what is sent

    def place(self, rng: Random) -> Place:
        """One of the world's conversations."""
        return rng.choice(self.setup.places)

    def text(self, rng: Random) -> str:
        """A text of words that occur nowhere else."""
        self.texts += 1
        count = rng.choice(self.setup.load.words)
        return " ".join(f"m{self.texts}x{index}" for index in range(count))

    def thread(self, place: Place) -> str | None:
        """The thread of a place, by the platform's own id."""
        if place.channel == "telegram" and place.thread is not None:
            return str(self.topics[place.room])
        return place.thread

    def fields(self, rng: Random, place: Place) -> dict[str, Any]:
        """The fields that every envelope has."""
        load = self.setup.load
        plain = rng.random() < load.plain_class
        fields: dict[str, Any] = {
            "instance_id": place.instance,
            "external_room_id": place.room,
            "ttl": rng.choice(load.ttls),
            "priority": "normal" if plain else rng.choice(load.classes),
            "on_unknown": "give_up" if rng.random() < load.give_up else "retry",
        }
        if rng.random() < load.unordered:
            fields["order"] = "none"
        if load.dated and fields["ttl"] is not None and rng.random() < load.dated:
            fields["deadline"] = self.ledger.wall() + fields.pop("ttl")
        if rng.random() < load.scheduled:
            fields["not_before"] = self.ledger.wall() + rng.choice([-1.0, 0.0, 0.5, 3.0])
        return fields

    def envelope(self, rng: Random) -> Send:
        """A message; some have a key."""
        place = self.place(rng)
        fields = self.fields(rng, place)
        fields["reply_to"] = self._replied(rng, place)
        keyed = rng.random() < self.setup.load.keyed
        key = f"key {self.texts}" if keyed else None
        share = self.setup.load.collapsed
        if share and rng.random() < share:
            fields["collapse"] = rng.choice(COLLAPSED)
        send = Send(text=self.text(rng), thread_id=self.thread(place), key=key, **fields)
        if keyed:
            self.keyed.append(send)
        return send

    def _replied(self, rng: Random, place: Place) -> str | None:
        """A message of the room, or one that never existed; on Slack, a reply is a thread."""
        share = self.setup.load.replies
        if not share or place.channel == "slack" or rng.random() >= share:
            return None
        known = [r for _, r in self.sent if isinstance(r, Receipt) and r.ref is not None]
        rooms = [r for r in known if r.external_room_id == place.room]
        here = [r.ref.parts[0].message_id for r in rooms if r.ref.parts]
        return rng.choice([*here, "1456074575426000000" if place.channel == "discord" else "77777"])

    # -- what callers do

    async def _send(self, rng: Random) -> None:
        """Call `Gateway.send`, which waits for the receipt; a cancelled caller withdraws."""
        send = self.envelope(rng)
        try:
            receipt = await self.gateway.send(
                send.instance_id,
                send.external_room_id,
                send.text,
                thread=send.thread_id,
                reply_to=send.reply_to,
                key=send.key,
                ttl=send.ttl,
                deadline=send.deadline,
                not_before=send.not_before,
                priority=send.priority,
                order=send.order,
                on_unknown=send.on_unknown,
                collapse=send.collapse,
                raises=False,
            )
        except trio.Cancelled:
            check()
            self._expect_withdrawn(send)
            raise
        self._expect_same(send, receipt)
        self.sent.append((send, receipt))

    def _expect_withdrawn(self, send: Send) -> None:
        """A cancelled caller leaves no envelope that had not started, unless another caller joined.

        If the instance is absent, nobody can end the envelopes that wait for it in an outbox.
        """
        if send.instance_id in self.ledger.absent:
            return
        number = number_of(words_of(send.text)[0])
        for entry in self.ledger.unfinished:
            text = entry.envelope.text if isinstance(entry.envelope, Send) else ""
            if send.key is None and words_of(text)[:1] and number_of(words_of(text)[0]) == number:
                deliveries = self.gateway._partitions[entry.partition].deliveries.values()
                delivery = next((f for f in deliveries if f.envelope is entry.envelope), None)
                started = bool(entry.calls) or (delivery is not None and delivery.started)
                self.ledger.expect(started, f"{entry} stays, though its caller is gone")

    def _expect_same(self, send: Send, receipt: Receipt) -> None:
        """The receipt is the same as in the observers' event."""
        entry = self.ledger.find(receipt.envelope_id)
        self.ledger.secret_places.append(repr(receipt))
        if entry is None or entry.receipt is None:
            self.ledger.wrong(f"a receipt without an end: {receipt.envelope_id}")
        else:
            same = entry.receipt.disposition is receipt.disposition
            self.ledger.expect(same, f"{entry} ended {entry.receipt.disposition}, but told other")
        del send

    async def _submit(self, rng: Random) -> None:
        send = self.envelope(rng)
        ticket = await self.gateway.submit(send)
        self.sent.append((send, ticket))
        if rng.random() < 0.5:
            self._expect_same(send, await ticket.receipt())

    async def _try(self, rng: Random) -> None:
        """Submit without waiting: the envelope may be refused, but not late."""
        send, begun = self.envelope(rng), trio.current_time()
        pager = self.gateway._pager  # a life's first calls wait until it knows what was delayed
        looks = pager is not None and (send.key or not pager.accounts.is_read(send.instance_id))
        try:
            self.sent.append((send, await self.gateway.submit(send, wait=False)))
        except Overloaded as full:
            self.ledger.expect(
                looks or begun == trio.current_time(), "a refusal that took its time"
            )
            place = send.instance_id, send.external_room_id
            self.ledger.overloaded(send, self.gateway._partition_of(*place).index)
            level = "saturated" if full.bound_of.startswith("partition") else full.pressure
            self.ledger.expect(full.pressure == level, f"full, and only {full.pressure}")
            raise

    async def _edit(self, rng: Random) -> None:
        send, target = self._target(rng)
        if send is None:
            return
        fields = self.fields(rng, self._place_of(send))
        fields.pop("not_before" if "not_before" in fields else "ttl", None)
        interim = rng.random() < 0.3
        text = self.text(rng)
        if rng.random() < 0.2:  # as it was at first: a stale ref must not make that "unchanged"
            text = send.text
        edit = Edit(target=target, text=text, interim=interim, **fields)
        ticket = await self.gateway.submit(edit)
        if rng.random() < 0.5:
            await ticket.receipt()

    async def _stream(self, rng: Random) -> None:
        """A message that is edited again and again: only the newest text has to go out."""
        send, target = self._target(rng)
        if send is None:
            return
        room = send.external_room_id
        for left in reversed(range(rng.choice([2, 3]))):
            edit = Edit(
                instance_id=send.instance_id,
                external_room_id=room,
                target=target,
                text=self.text(rng),
                interim=left > 0,
            )
            await self.gateway.submit(edit)
            await trio.sleep(rng.choice([0.0, 0.0, 0.25]))

    async def _delete(self, rng: Random) -> None:
        send, target = self._target(rng)
        if send is not None:
            fields = self.fields(rng, self._place_of(send))
            await self.gateway.submit(Delete(target=target, **fields))

    def _place_of(self, send: Send) -> Place:
        return Place(instance=send.instance_id, channel="", room=send.external_room_id)

    def _target(self, rng: Random) -> tuple[Send | None, Any]:
        """A message that was sent, and a target that names it: a ref, or a key."""
        if not self.sent:
            return None, None
        send, known = rng.choice(self.sent)
        if send.key is not None and rng.random() < 0.3:
            room = send.external_room_id
            key = KeyRef(instance_id=send.instance_id, external_room_id=room, key=send.key)
            return send, key
        if isinstance(known, MessageRef):
            return send, known
        if isinstance(known, Ticket):
            return send, known.ref
        return (send, known.ref) if known.ref is not None else (None, None)

    async def _again(self, rng: Random) -> None:
        """Repeat a message with its key: the same envelope, or a new one if the key was freed."""
        if not self.keyed:
            return
        first = rng.choice(self.keyed)
        holder = self._holder(first)
        if self._is_forgotten(holder):
            return
        try:
            ticket = await self.gateway.submit(first_again(first))
        except IdempotencyConflict:
            newest = self._holder(first)
            mine = newest is None or newest.envelope.text == first.text
            self.ledger.expect(not mine, f"{newest} conflicts with its equal")
            return
        if holder is not None and self._holder(first) is holder:
            self.ledger.expect(ticket.id == holder.id, f"the key of {holder} leads elsewhere")
            receipt = await ticket.receipt()
            self.ledger.expect(receipt.envelope_id == holder.id, "the receipt of another")

    async def _other(self, rng: Random) -> None:
        """Submit another message with the same key: a conflict while the first one has the key."""
        if not self.keyed:
            return
        first = rng.choice(self.keyed)
        other = Send(
            instance_id=first.instance_id,
            external_room_id=first.external_room_id,
            text=self.text(rng),
            thread_id=first.thread_id,
            key=first.key,
        )
        holder = self._holder(first)
        if self._is_forgotten(holder):
            return
        try:
            ticket = await self.gateway.submit(other)
            mine = holder is None or ticket.id != holder.id
            self.ledger.expect(mine, f"another payload is taken for {holder}")
        except IdempotencyConflict as conflict:
            newest = self._holder(first)
            known = [entry.id for entry in (holder, newest) if entry is not None]
            pending = newest is None
            self.ledger.expect(pending or conflict.envelope_id in known, "a conflict with nobody")

    def _is_forgotten(self, holder: Any) -> bool:
        """Whether the key is so old that it is free again, in a world that waited for a day."""
        window = self.setup.config.idempotency_window
        return holder is not None and trio.current_time() - holder.accepted_at >= window

    def _holder(self, send: Send) -> Any:
        scope = (send.instance_id, send.external_room_id, "send", send.key or "")
        return self.ledger.holder(scope)

    async def _cancel(self, rng: Random) -> None:
        """Cancel a ticket; true means that nothing of its envelope is sent, now or later."""
        tickets = [known for _, known in self.sent if isinstance(known, Ticket)]
        if not tickets:
            return
        ticket = rng.choice(tickets)
        done = await self.gateway.cancel(ticket)
        self.ledger.note("cancel", ticket.id[:18], done)
        if done:
            receipt = await ticket.receipt()
            self.ledger.expect(receipt.disposition == "cancelled", f"{ticket} was cancelled")

    async def _ask(self, rng: Random) -> None:
        """Ask for a status: it agrees with the ledger, or an ended envelope is no longer known."""
        if not self.sent:
            await trio.lowlevel.checkpoint()
            return
        send, known = rng.choice(self.sent)
        by_key = send.key is not None and rng.random() < 0.3
        name = known.envelope_id if isinstance(known, Receipt | MessageRef) else known.id
        what: Any = name
        if by_key:
            room = send.external_room_id
            what = KeyRef(instance_id=send.instance_id, external_room_id=room, key=str(send.key))
        entry = self._holder(send) if by_key else self.ledger.find(name)
        ended = entry is not None and entry.receipt is not None
        status = await self.gateway.status(what)
        if by_key and entry is not self._holder(send):  # somebody took the key meanwhile
            return
        if by_key and entry is not None and status is not None and status.envelope_id != entry.id:
            return  # likewise, and the caller who did has not heard that it is accepted
        if entry is not None and not (by_key and entry.id != name):
            self.ledger.expect_status(entry, status, ended=ended)

    async def _call(self, rng: Random) -> None:
        place = self.place(rng)
        method = CALLS.get(place.channel)
        if method is not None:
            fields = self.fields(rng, place)
            arguments = {"action": "typing"} if place.channel == "telegram" else {}
            await self.gateway.submit(Call(method=method, arguments=arguments, **fields))


def first_again(send: Send) -> Send:
    """An equal envelope that is another object."""
    return Send(
        instance_id=send.instance_id,
        external_room_id=send.external_room_id,
        text=send.text,
        thread_id=send.thread_id,
        reply_to=send.reply_to,
        key=send.key,
        collapse=send.collapse,
    )
