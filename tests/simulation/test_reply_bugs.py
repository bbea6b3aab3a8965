"""Bugs put into answers to events: the simulation must notice each of them, and soon.

Like `test_seeded_bugs.py`, but only in worlds in which events are answered.
"""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import attrs
import pytest
from amounts import one_of_three
from simulated.bugs import Bugs
from simulated.drawing import draw

from gateway_core.answering import verbs
from gateway_core.answering.events import Resolved
from gateway_core.answering.numbering import AnswerNumbers
from gateway_core.backlog import spilled
from gateway_core.contract.errors import AmbiguousEvent, UnknownEvent
from gateway_core.deliveries import idempotency

MOST_WORLDS = 60

bug = BUGS = Bugs()


@bug("as None")
def the_id_of_an_event_is_no_key(patch):
    """An event that comes again is answered again."""
    patch.setattr(AnswerNumbers, "next_key", lambda self, event, natural, name: name)


@bug("is answered by|as ")
def further_answers_have_the_key_of_the_first(patch):
    """Further answers are taken for the first answer, and never sent."""

    def next_key(self: Any, event: Any, natural: Any, name: Any) -> Any:
        return natural if name is None else f"{natural}={name}"

    patch.setattr(AnswerNumbers, "next_key", next_key)


@bug("as ")
def an_event_that_comes_again_counts_on(patch):
    """The event's answers are counted by its id, and not by its object."""
    whole = AnswerNumbers.next_key
    objects: dict[Any, list[Any]] = {}

    def next_key(self: Any, event: Any, natural: Any, name: Any) -> Any:
        first = objects.setdefault((id(self), natural), [self, event])[1]
        return whole(self, first, natural, name)

    patch.setattr(AnswerNumbers, "next_key", next_key)


@bug("answers .* at ", seen=116)
def an_answer_leaves_the_thread(patch):
    whole = verbs.resolve

    def resolve(*given: Any, **more: Any) -> Resolved:
        name, address = whole(*given, **more)
        return Resolved(name, attrs.evolve(address, thread_id=None))

    patch.setattr(verbs, "resolve", resolve)


@bug("answers .* as ")
def an_answer_refers_to_nothing(patch):
    whole = verbs.resolve

    def resolve(*given: Any, **more: Any) -> Resolved:
        name, address = whole(*given, **more)
        return Resolved(name, attrs.evolve(address, reply_to=None))

    patch.setattr(verbs, "resolve", resolve)


@bug("answers .* at ", seen=281)
def the_first_account_of_several_answers(patch):
    whole = verbs.resolve

    def resolve(event: Any, instance: Any = None, **more: Any) -> Resolved:
        try:
            return whole(event, instance, **more)
        except AmbiguousEvent as error:
            return whole(event, error.instances[0], **more)

    patch.setattr(verbs, "resolve", resolve)


@bug("of no conversation was answered")
def what_is_of_no_conversation_goes_to_the_room_of_the_last_event(patch):
    whole, last = verbs.resolve, []

    def resolve(*given: Any, **more: Any) -> Resolved:
        try:
            last[:] = [whole(*given, **more)]
        except UnknownEvent:
            if not last:
                raise
        return last[0]

    patch.setattr(verbs, "resolve", resolve)


@bug("was taken by|is answered", seen=99)
def an_answer_under_way_is_not_known(patch):
    """An event that comes again during its answer is answered again."""
    whole = idempotency.Keys.find

    def find(self: Any, scope: Any, now: int) -> Any:
        known = whole(self, scope, now)
        return None if known is not None and known.delivery is not None else known

    patch.setattr(idempotency.Keys, "find", find)


@bug("was taken by|is answered|has its answer", seen=57)
def an_answer_that_was_given_is_not_known_in_the_next_life(patch):
    async def known(self: Any, partition: Any, scope: Any) -> None:
        return None

    patch.setattr(spilled.Spilled, "known", known)


def answering() -> Iterator[int]:
    """The seeds of worlds in which events are answered."""
    return (seed for seed in count() if draw(seed).replies is not None)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, answering(), MOST_WORLDS)
