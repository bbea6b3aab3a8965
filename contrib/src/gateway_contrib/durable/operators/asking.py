"""Asks the gateway that owns an outbox for something, from another process, and waits for it.

The gateway looks for requests about once a second. If it ends before it has answered one, the next
gateway answers it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from time import time
from typing import Any, Protocol
from uuid import uuid4

import attrs
import trio

from gateway_core import Receipt
from gateway_core.outboxes import Envelope, Found, OutboxError

LOOK = 0.05
"""Seconds between two looks at the outbox for an answer or an ending."""
GRACE = 30.0
"""Seconds after its deadline that an attempt under way may still take."""
LEFT = "the request stays in the outbox, and the next gateway that opens it in time does it"
LATE = "its time is up, and it will not be sent unless the gateway has accepted it meanwhile"


class Operator(Protocol):
    """An engine's view of an outbox beside its gateway."""

    @property
    def owner(self) -> object | None:
        """The gateway that has the outbox open; None: none has."""
        ...

    def ask(
        self,
        kind: str,
        wall: float,
        *,
        envelope_id: str = "",
        place: Sequence[str] = (),
        envelope: Envelope | None = None,
        asked: str = "",
    ) -> int:
        """Leave a request for the owner; returns its number. Raises `OutboxError`."""
        ...

    def answer(self, request: int) -> str | None:
        """What the owner answered; None: nothing yet. Raises `OutboxError`."""
        ...

    def find(self, envelope_id: str) -> Found | None:
        """What is known about an envelope. Raises `OutboxError`."""
        ...


class Unanswered(OutboxError):
    """There is no answer, but the request stays: it may still be done, or may have been done."""


def to_ask(envelope: Envelope, wall: float) -> Envelope:
    """The envelope for the request: its time counts from now, and it has a key.

    So it stays one message, whichever process run of the owner answers the request.
    """
    if envelope.key is None:
        envelope = attrs.evolve(envelope, key=f"asked {uuid4().hex}")
    if envelope.ttl is None or envelope.deadline is not None:
        return envelope
    return attrs.evolve(envelope, ttl=None, deadline=wall + envelope.ttl)


async def submit(operator: Operator, envelope: Envelope, *, patience: float) -> str:
    """Ask to send the envelope; returns its id once the owner has accepted it.

    patience  seconds to wait for the answer

    Raises `OutboxError` if it is refused, and `Unanswered` if it is not answered in time.
    """
    wall = time()
    place = envelope.instance_id, envelope.external_room_id
    number = operator.ask("submit", wall, place=place, envelope=to_ask(envelope, wall))
    told = json.loads(await _answer(operator, number, patience, LATE))
    if "refused" in told:
        raise OutboxError(f"the gateway refused it: {told['refused']}")
    return str(told["accepted"])


async def cancel(operator: Operator, envelope_id: str, *, patience: float) -> str:
    """Ask to cancel; returns `cancelled`, or why not. Raises `Unanswered` as `submit` does."""
    number = operator.ask("cancel", time(), envelope_id=envelope_id)
    return await _answer(operator, number, patience, LEFT)


async def group(operator: Operator, *, patience: float, **asked: Any) -> dict[str, Any]:
    """Ask for something about a group, or for a new group; returns the owner's answer.

    Raises `OutboxError` if it is refused, and `Unanswered` as `submit` does.
    """
    number = operator.ask("group", time(), asked=json.dumps(asked))
    told: dict[str, Any] = json.loads(await _answer(operator, number, patience, LEFT))
    if "refused" in told:
        raise OutboxError(f"the gateway refused it: {told['refused']}")
    return told


async def ended(operator: Operator, envelope_id: str, *, patience: float) -> Receipt | None:
    """How the envelope ended; None: it has not within `patience` seconds. Raises `OutboxError`."""
    with trio.move_on_after(patience):
        while True:
            found = operator.find(envelope_id)
            if found is not None and found.receipt is not None:
                return found.receipt
            await trio.sleep(LOOK)
    return None


async def answers_to(
    operator: Operator,
    numbers: Iterable[int],
    *,
    patience: float = math.inf,
    heard: Callable[[int, str], None] | None = None,
) -> dict[int, str]:
    """The owner's answers to these requests, by number, waiting at most `patience` seconds.

    Answers are missing if the time was over, or if no gateway has the outbox open any more.

    heard  called with each answer as it comes

    Raises `OutboxError` if the outbox cannot be read.
    """
    answers: dict[int, str] = {}
    left = list(numbers)
    with trio.move_on_after(patience):
        while left:
            owner = operator.owner  # read before the answers: an owner that leaves answers first
            for number in [*left]:
                if (answer := operator.answer(number)) is not None:
                    answers[number] = answer
                    left.remove(number)
                    if heard is not None:
                        heard(number, answer)
            if owner is None:
                break
            if left:
                await trio.sleep(LOOK)
    return answers


async def _answer(operator: Operator, number: int, patience: float, then: str) -> str:
    answers = await answers_to(operator, [number], patience=patience)
    if number in answers:
        return answers[number]
    if operator.owner is None:
        raise Unanswered(f"the gateway stopped before it answered: {LEFT}")
    raise Unanswered(f"the gateway has not answered for {patience:g} s: {then}")
