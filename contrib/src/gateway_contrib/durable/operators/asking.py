"""Asks the gateway that owns an outbox for something, from another process, and waits for it.

It looks about once a second. A request that it has not answered as it ends is the next one's.
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
"""Seconds between two looks at the file for an answer or an end."""
GRACE = 30.0
"""Seconds beyond its deadline that an attempt under way may take to its end."""
LEFT = "the request stays in the outbox, and the next gateway that opens it in time does it"
LATE = "its time is up, and it will not be sent unless the gateway has accepted it meanwhile"


class Operator(Protocol):
    """A look at an outbox beside its gateway, as an engine has it."""

    @property
    def owner(self) -> object | None:
        """The gateway that has it open, if one has."""
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
        """Leave a request for the owner; its number. Raises `OutboxError`."""
        ...

    def answer(self, request: int) -> str | None:
        """What the owner answered; None: nothing yet. Raises `OutboxError`."""
        ...

    def find(self, envelope_id: str) -> Found | None:
        """What is known of an envelope. Raises `OutboxError`."""
        ...


class Unanswered(OutboxError):
    """What was asked stays asked: it may be done, or have been done."""


def to_ask(envelope: Envelope, wall: float) -> Envelope:
    """The envelope as it is asked for: its time counts from now, and it has a key.

    So it is one message, whichever of several process runs of its owner answers.
    """
    if envelope.key is None:
        envelope = attrs.evolve(envelope, key=f"asked {uuid4().hex}")
    if envelope.ttl is None or envelope.deadline is not None:
        return envelope
    return attrs.evolve(envelope, ttl=None, deadline=wall + envelope.ttl)


async def submit(operator: Operator, envelope: Envelope, *, patience: float) -> str:
    """The id of the envelope, once the owner has accepted it.

    patience  seconds

    Raises `OutboxError` where it is refused, and `Unanswered` where it is not answered in time.
    """
    wall = time()
    place = envelope.instance_id, envelope.external_room_id
    number = operator.ask("submit", wall, place=place, envelope=to_ask(envelope, wall))
    told = json.loads(await _answer(operator, number, patience, LATE))
    if "refused" in told:
        raise OutboxError(f"the gateway refused it: {told['refused']}")
    return str(told["accepted"])


async def cancel(operator: Operator, envelope_id: str, *, patience: float) -> str:
    """What the owner answers: `cancelled`, or why not. Raises `Unanswered` as `submit` does."""
    number = operator.ask("cancel", time(), envelope_id=envelope_id)
    return await _answer(operator, number, patience, LEFT)


async def group(operator: Operator, *, patience: float, **asked: Any) -> dict[str, Any]:
    """What the owner answers to something that is asked of a group, or of a new one.

    Raises `OutboxError` where it is refused, and `Unanswered` as `submit` does.
    """
    number = operator.ask("group", time(), asked=json.dumps(asked))
    told: dict[str, Any] = json.loads(await _answer(operator, number, patience, LEFT))
    if "refused" in told:
        raise OutboxError(f"the gateway refused it: {told['refused']}")
    return told


async def ended(operator: Operator, envelope_id: str, *, patience: float) -> Receipt | None:
    """How it ended; None: it has not, in so many seconds. Raises `OutboxError`."""
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
    """What the owner answers to requests, by their numbers, in at most `patience` seconds.

    Fewer than were asked for: there was no more time, or no gateway has the outbox open any more.

    heard  called with each as it comes

    Raises `OutboxError` where the file cannot be read.
    """
    answers: dict[int, str] = {}
    left = list(numbers)
    with trio.move_on_after(patience):
        while left:
            owner = operator.owner  # looked for first: one that goes has answered before
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
