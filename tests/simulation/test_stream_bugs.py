"""Bugs put into streams: the simulation must notice each of them, and soon.

Like `test_seeded_bugs.py`, but only in worlds with streams.
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

from gateway_core.contract.verdicts import Reason
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.deliveries.made import attempts as made
from gateway_core.engine import consequences
from gateway_core.outboxes import journal, restore
from gateway_core.ratelimits import interims
from gateway_core.scheduling.growing import GrowingPlanner
from gateway_core.streams.open_streams import Streams
from gateway_core.streams.stream import Stream

MOST_WORLDS = 250

bug = BUGS = Bugs()


# -- the reserve


@bug("are owed", seen=358)
def nothing_is_kept_back(patch):
    """A passing state takes any token that is free."""
    whole = interims.Pace.earliest

    def earliest(self: Any, stream: Any, *, takes: bool, then: int, now: int, paced: bool) -> int:
        total, self.total = self.total, self.owed.get(stream, 0)
        try:
            return whole(self, stream, takes=takes, then=0, now=now, paced=paced)
        finally:
            self.total = total

    patch.setattr(interims.Pace, "earliest", earliest)


@bug("are owed", seen=1_235)
def a_stream_owes_nothing_once_it_stands(patch):
    """Tokens are kept back only for the stream's steps that are planned already."""
    whole = interims.stand

    def stand(stream: Any, owed: dict[Any, int], *, wanting: bool) -> None:
        whole(stream, dict.fromkeys(owed, 0), wanting=wanting)

    patch.setattr(interims, "stand", stand)


# -- the whole text


@bug("changes a message as .* again", seen=8)
def each_change_of_a_message_has_its_key(patch):
    """A platform that knows keys takes all changes for repeats."""
    patch.setattr(made, "_key", lambda delivery, step: f"{delivery.id}.{step.serial}")


@bug("does not stand|still grows|did not end")
def the_last_text_is_dropped(patch):
    """The text that is shown when the stream ends is taken for the whole text."""
    whole = Growth._end

    def end(self: Any, state: Any) -> None:
        whole(self, state)
        if state == "finished" and self.planned >= 0:
            self.planned = self.number

    patch.setattr(Growth, "_end", end)


@bug("says|does not stand|out of its order")
def the_mark_is_forgotten(patch):
    whole = Growth.break_off
    patch.setattr(Growth, "break_off", lambda self, mark: whole(self, ""))


@bug("and says")
def nobody_says_that_it_was_broken_off(patch):
    patch.setattr("gateway_core.deliveries.delivery.BROKEN_OFF", "")


@bug("not of its whole text|does not stand|is stored with")
def a_status_stays(patch):
    """A status is taken for a part of the text."""

    def status(self: Any, text: str) -> None:
        self._becomes(f"{self.text}{text} ")

    patch.setattr(Growth, "status", status)


@bug("was taken back, and stands", seen=466)
def what_was_shown_is_not_taken_back(patch):
    whole = GrowingPlanner.plan

    def plan(self: Any, delivery: Any, growing: Any, lane: Any, now: int) -> Any:
        if growing.state == "deleted":
            delivery.steps = None
        return whole(self, delivery, growing, lane, now)

    patch.setattr(GrowingPlanner, "plan", plan)


@bug("still grows|was told another|does not stand|though its stream joined", seen=97)
def who_joins_it_ends_it(patch):
    whole = Stream.finish

    async def finish(self: Any, text: Any = None, **given: Any) -> Any:
        if self._first is not None:
            return await finish(self._first)
        return await whole(self, text, **given)

    patch.setattr(Stream, "finish", finish)


@bug("did not wait for the stream's end")
def a_refused_finish_counts(patch):
    """The end of the block takes the text for finished, and it grows for ever."""
    whole = Stream.finish

    async def finish(self: Any, text: Any = None, **given: Any) -> Any:
        self._asked = True
        return await whole(self, text, **given)

    patch.setattr(Stream, "finish", finish)


@bug("though its stream joined", seen=56)
def nobody_joins(patch):
    """Each stream is accepted by itself."""

    def open_(self: Any, stream: Any, envelope: Any) -> None:
        stream._envelope = attrs.evolve(envelope, key=None)
        self._open[stream] = None

    patch.setattr(Streams, "open", open_)


# -- order, and who waits


@bug("overtakes|between the parts|after it was in doubt")
def its_first_message_has_no_place(patch):
    patch.setattr(Delivery, "stands", property(lambda self: True))


@bug("forgotten|did not end|never|outlives|nothing will|callers are", seen=44)
def nobody_wakes_it_as_it_ends(patch):
    patch.setattr(Growth, "woken_by", lambda self, wake: None)


# -- what is gone


@bug("posted anew twice", seen=270)
def a_vanished_message_is_posted_again_and_again(patch):
    patch.setattr(Growth, "posted_anew", property(lambda self: False, lambda self, _: None))


@bug("was not posted anew", seen=44)
def a_vanished_message_ends_its_stream(patch):
    whole = consequences.Consequences._goes_on

    def goes_on(self: Any, failed: Any, decision: Any) -> bool:
        gone = failed.verdict.reason is Reason.MESSAGE_GONE
        return not gone and whole(self, failed, decision)

    patch.setattr(consequences.Consequences, "_goes_on", goes_on)


@bug("is exhausted after", seen=520)
def a_passing_state_that_fails_ends_its_stream(patch):
    whole = consequences.Consequences._goes_on

    def goes_on(self: Any, failed: Any, decision: Any) -> bool:
        gone = failed.verdict.reason is Reason.MESSAGE_GONE
        return gone and whole(self, failed, decision)

    patch.setattr(consequences.Consequences, "_goes_on", goes_on)


# -- kills


@bug("is stored with|nobody wrote that down", seen=65)
def its_growth_is_not_written(patch):
    patch.setattr(journal.Journal, "grew", lambda self, delivery: None)


@bug("does not stand|and says|out of its order|still grows", seen=56)
def its_growth_is_not_restored(patch):
    patch.setattr(restore, "_growth", lambda stored: None)


@bug("and says|does not stand", seen=118)
def what_a_kill_cut_is_taken_for_whole(patch):
    def restored(text: str, stored_as: int, mark: str, **given: Any) -> Any:
        made = Growth(text, **given)
        made.finish()
        return made

    patch.setattr(Growth, "restored", restored)


def streaming() -> Iterator[int]:
    """The seeds of worlds with streams."""
    return (seed for seed in count() if draw(seed).streams is not None)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, streaming(), MOST_WORLDS)
