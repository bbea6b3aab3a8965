"""Tests of polls: a poll is planned and sent with all of its fields, or is refused."""

# ruff: noqa: S101, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import attrs
import pytest

from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import Part
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making, texts_in

POLL = Poll("contractquestion", ("contractyes", "contractno"))
CHOICES: tuple[Mapping[str, Any], ...] = (
    {"multiple": True},
    {"anonymous": True},
    {"anonymous": False},
    {"duration": 300.0},
    {"duration": 3600.0},
    {"options": tuple(f"contractoption{number}of100" for number in range(100))},
)
"""Further fields that a poll may have."""


class PollsContract(Making):
    """Tests of polls, if the traits say that the channel has polls."""

    def test_a_poll_is_the_last_part_where_the_traits_say_so(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """No edit changes the poll; the parts before it have the text, which edits may cut anew."""
        for text in ("", "contracttext") if hooks.traits.polls else ():
            *others, last = self._plan_of_poll(hooks, instance, POLL, text)
            assert last.fixed, (
                "the last part of a poll's plan is not `fixed`: an edit of the message would be"
                " made of the poll, which no platform changes: make it Part(fixed=True)"
            )
            starts = [(0, 0), *(part.span for part in others)][-1][0]
            assert starts <= last.span[0], (
                f"the poll's part has the span {last.span}, and the text before it begins at"
                f" {starts}: give it the text's end, (len(text), len(text))"
            )
            assert not any(part.fixed for part in others), (
                "a part of the text is `fixed`, so that it cannot be edited: only the poll's may be"
            )
            said = "\n".join(
                chain.from_iterable(texts_in(part.payload) for part in [*others, last])
            )
            assert text in said, (
                "the text beside the poll is in no part: plan it as without the poll, and put the"
                " poll after it"
            )

    def test_all_that_a_poll_says_is_in_its_part(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """If the platform cannot show something, `validate` refuses the poll."""
        for choice in ({}, *CHOICES) if hooks.traits.polls else ():
            poll: Poll = attrs.evolve(POLL, **choice)
            send = self._send("", poll=poll)
            if choice and hooks.validate(instance, send):
                continue
            said = "\n".join(texts_in(self._plan_of_poll(hooks, instance, poll, "")[-1].payload))
            lost = [words for words in (poll.question, *poll.options) if words not in said]
            assert not lost, (
                f"{lost[0]!r} is not in the poll's part, and {len(lost) - 1} more of its"
                f" {len(poll.options)} options: put it there, or refuse the poll in `validate`"
            )
        for name, one, other in (
            ("multiple", True, False),
            ("anonymous", True, False),
            ("duration", 300.0, None),
            ("duration", 3600.0, None),
        ):
            if hooks.traits.polls:
                self._check_told(hooks, instance, name, one, other)

    def _check_told(
        self, hooks: ChannelHooks, instance: Instance, name: str, one: Any, other: Any
    ) -> None:
        polls = [attrs.evolve(POLL, **{name: value}) for value in (one, other)]
        if any(hooks.validate(instance, self._send("", poll=poll)) for poll in polls):
            return
        plans = [self._plan_of_poll(hooks, instance, poll, "")[-1].payload for poll in polls]
        assert plans[0] != plans[1], (
            f"a poll with {name}={one} is planned like one with {name}={other}: say it in the"
            " payload, or refuse in `validate` what the platform cannot show"
        )

    def _plan_of_poll(
        self, hooks: ChannelHooks, instance: Instance, poll: Poll, text: str
    ) -> Sequence[Part]:
        send = self._send(text, poll=poll)
        problems = hooks.validate(instance, send)
        assert not problems, (
            f"`traits` say polls=True, and `validate` refuses a poll: {problems[0]}. Let it pass,"
            " or leave `polls` out"
        )
        plan = hooks.chunk(instance, send, "as_asked")
        assert plan, (
            f"a poll {'beside' if text else 'without'} a text has an empty plan: its last part is"
            " the poll (`envelope.poll`)"
        )
        return plan

    @pytest.mark.usefixtures("polling")
    async def test_a_poll_goes_out(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """With its question and its options."""
        part = self._plan_of_poll(hooks, instance, POLL, "")[-1]
        async with self._trying(hooks, instance) as trial:
            await trial.make(self._attempt("send", part=part), "a poll")
            trial.check_out([POLL.question, *POLL.options], "the payload of a poll", "send")
