"""Tests of the hooks without I/O: settings, plans, limits, verdicts, addresses."""

# ruff: noqa: S101 - these are tests, shipped to authors

from __future__ import annotations

import copy
from itertools import pairwise, product
from typing import Any, get_args

import attrs
import pytest

from gateway_core.contract.envelopes import (
    BY_TOKEN,
    Call,
    Envelope,
    Format,
    Grows,
    MessageRef,
    Mode,
    Priority,
)
from gateway_core.contract.errors import AttemptTimeout, TransportError
from gateway_core.contract.hookspecs import Limit, Mark, MarkKind, Sign
from gateway_core.contract.instances import Instance, hidden
from gateway_core.contract.validators import is_sendable
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making, check_failures, texts_in
from gateway_core.testing.channel_contract.paces import paces_without_bound

TEXTS = (
    "hello",
    "a < b && c > d *not bold* _nor this_ `code` [link](https://example.org) @everyone",
    "# Title\n\n- one\n  - two\n\n```python\nprint(1)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "👩‍👩‍👧‍👦🇺🇳é̂" * 700,
    "word " * 5_000,
    "x" * 20_000,
    "```\n" + "line of code\n" * 1_500 + "```",
    "\u05e9\u05dc\u05d5\u05dd \u202eabc\u2066 \u200f\t end",
)
"""Texts with markup or other scripts, without a space to cut at, or too long for one message."""

SURPRISES = (
    OSError("broken"),
    TransportError("reset", dispatched="unknown"),
    AttemptTimeout(90.0),
    ValueError(),
    KeyError("ok"),
    ExceptionGroup("several", [OSError("broken"), ValueError()]),
)
"""Errors that are in no platform's table of errors."""

OPERATIONS = (
    "send", "edit", "delete", "answer", "call:anything", "typing", "acknowledge",
    "draft", "start", "append", "stop",
)  # fmt: skip
"""All operations for which `rate_limit` is called."""

EVENTS: tuple[Any, ...] = (
    None,
    {},
    [],
    "event",
    5,
    {"message": None},
    {"type": [], "event": {"channel": 5}},
)
"""Values that are no events of the platform, such as JSON of other services."""


class PureContract(Making):
    """Tests of the adapter's hooks without I/O."""

    def test_its_settings_are_of_its_type(self, hooks: ChannelHooks, instance: Instance) -> None:
        """`settings_type` returns the class of the settings, which is frozen."""
        kind = hooks.settings_type
        assert kind is not None, "`settings_type` answers None, not the class of the settings"
        problem = hooks.unfit(instance)
        assert not problem, f"`settings_type` and `settings()` of these tests differ: {problem}"
        name = attrs.fields(kind)[0].name
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(instance.settings, name, getattr(instance.settings, name))

    def test_no_secret_prints(self, instance: Instance) -> None:
        """A setting with a secret value is a `Secret`."""
        printed = repr(instance)
        leaks = printed != hidden(printed, instance)
        assert not leaks, "the repr of the settings shows a secret: leave `__repr__` to attrs"

    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    @pytest.mark.parametrize("mode", get_args(Mode))
    @pytest.mark.parametrize("format", get_args(Format)[:2])
    def test_any_text_has_a_plan(
        self,
        hooks: ChannelHooks,
        instance: Instance,
        text: str,
        mode: Mode,
        format: Format,  # noqa: A002 - the field's standard term
    ) -> None:
        """The parts cover the text from beginning to end, and are the same each time."""
        send = self._send(text, format=format)
        plan = hooks.chunk(instance, send, mode)
        assert plan, "`chunk` answers an empty plan for a text"
        assert plan == hooks.chunk(instance, send, mode), "chunk is not pure"
        spans = [part.span for part in plan]
        assert all(0 <= start <= end <= len(text) for start, end in spans), spans
        assert all(one[0] <= other[0] for one, other in pairwise(spans)), spans
        assert not text[spans[-1][1] :].strip(), "the end of the text is in no part"
        broken = [text for text in texts_in([p.payload for p in plan]) if not is_sendable(text)]
        assert not broken, f"a part has half a character, or a NUL: {ascii(broken[0])[:80]}"

    def test_another_text_has_another_digest(self, hooks: ChannelHooks, instance: Instance) -> None:
        """By the digest, an edit finds out which parts have changed."""
        one, other = (
            [part.digest for part in hooks.chunk(instance, self._send(text), "as_asked")]
            for text in ("hello", "other")
        )
        assert one != other, (
            "the parts of two texts have the same digest, so an edit would change nothing: leave"
            " `digest` out, and it is made of the payload"
        )

    def test_plain_text_shows_its_signs(self, hooks: ChannelHooks, instance: Instance) -> None:
        """With `format="plain"`, signs of Markdown are text."""
        plain, markdown = (
            [part.payload for part in hooks.chunk(instance, send, "as_asked")]
            for send in (
                self._send("**contract**", format="plain"),
                self._send("**contract**", format="markdown"),
            )
        )
        signs = sum(text.count("*") for text in texts_in(plain))
        assert signs == len("****") or plain != markdown, (
            "a plain text is planned like Markdown, without its signs"
        )

    @pytest.mark.parametrize("words", [10, 30_000])
    @pytest.mark.parametrize("mode", get_args(Mode))
    @pytest.mark.parametrize("format", get_args(Format)[:2])
    def test_every_word_of_a_text_is_in_a_part(
        self,
        hooks: ChannelHooks,
        instance: Instance,
        words: int,
        mode: Mode,
        format: Format,  # noqa: A002 - the field's standard term
    ) -> None:
        """However long the text is: 240,000 characters are more than any message takes."""
        asked = [f"w{number:06}" for number in range(words)]
        plan = hooks.chunk(instance, self._send(" ".join(asked), format=format), mode)
        sent = set("\n".join(texts_in([part.payload for part in plan])).split())
        lost = [word for word in asked if word not in sent]
        assert not lost, f"{len(lost)} words are in no part, the first of them {lost[0]!r}"

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("priority", get_args(Priority))
    def test_limits_are_told(
        self, hooks: ChannelHooks, instance: Instance, operation: str, priority: Priority
    ) -> None:
        """For every operation and class, `of` is right, and no bucket is named twice."""
        limits = hooks.rate_limit(instance, self.room, None, operation, priority)
        again = hooks.rate_limit(instance, self.room, None, operation, priority)
        assert limits == again, "rate_limit is not pure"
        buckets = [limit.bucket for limit in limits]
        assert len(buckets) == len(set(buckets)), f"a bucket is named twice: {buckets}"
        another = hooks.rate_limit(instance, f"{self.room}1", None, operation, priority)
        everywhere = {limit.bucket for limit in another}
        for limit in limits:
            if limit.of == "interaction":
                words = f"{limit.bucket!r}: {operation!r} answers no interaction"
                assert operation in BY_TOKEN, words
                continue
            whose = "instance" if limit.bucket in everywhere else "room"
            right = limit.of == whose or (limit.of, whose) == ("gateway", "instance")
            assert right, f"{limit.bucket!r} has of={limit.of!r}, but acts as of={whose!r}"

    def test_a_bucket_has_the_same_numbers_everywhere(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """A bucket keeps the numbers of the first limit that names it, whatever that is for."""
        asked = product(
            (self.room, f"{self.room}1"), (*OPERATIONS, "upload", "revise"), get_args(Priority)
        )
        known: dict[str, tuple[Limit, str]] = {}
        for room, operation, priority in asked:
            where = f"{operation!r} in {room!r} as {priority!r}"
            for limit in hooks.rate_limit(instance, room, None, operation, priority):
                first, whose = known.setdefault(limit.bucket, (limit, where))
                assert limit == first, (
                    f"the bucket {limit.bucket!r} has {first} for {whose}, and {limit} for {where}:"
                    " the one that is asked for first would hold for both, so give them the same"
                    " numbers, or buckets of different names"
                )

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("priority", get_args(Priority))
    def test_no_pace_bursts_after_a_stall(
        self, hooks: ChannelHooks, instance: Instance, operation: str, priority: Priority
    ) -> None:
        """An even pace says how many attempts may arrive at once when the platform answers late."""
        another = f"{self.room[:-1]}{'2' if self.room.endswith('1') else '1'}"
        here, there = (
            hooks.rate_limit(instance, room, None, operation, priority)
            for room in (self.room, another)
        )
        faults = paces_without_bound(here, there)
        assert not faults, "; ".join(faults)

    @pytest.mark.parametrize("error", SURPRISES, ids=lambda error: type(error).__name__)
    def test_an_error_that_nobody_foresaw_has_a_verdict(
        self, hooks: ChannelHooks, instance: Instance, error: Exception
    ) -> None:
        """`classify_error` returns a verdict or leaves it to the core; it does not raise."""
        for operation in OPERATIONS:
            attempt = self._attempt(operation)
            verdict = hooks.classify_error(instance, attempt, error)
            again = hooks.classify_error(instance, attempt, error)
            assert verdict == again, "`classify_error` is not pure"
        check_failures(hooks)

    @pytest.mark.parametrize("direct", [True, False])
    def test_how_a_stream_is_shown_is_told(
        self, hooks: ChannelHooks, instance: Instance, *, direct: bool
    ) -> None:
        """`streaming` answers the same each time, whatever is known about the asking user."""
        for known in (None, "🙂"):
            grows = Grows(direct=direct, message_id=known, user_id=known, team_id=known)
            envelope = self._send("hello", grows=grows, thread_id="🙂", reply_to="🙂")
            told = hooks.streaming(instance, envelope)
            assert told == hooks.streaming(instance, envelope), "`streaming` is not pure"
        check_failures(hooks)

    def test_any_envelope_is_looked_at(self, hooks: ChannelHooks, instance: Instance) -> None:
        """`validate` says what is wrong with odd rooms and fields; it does not raise."""
        for room in (self.room, " ", "a b", "🙂", "-1", "1" * 1000, "../..", "@x"):
            send = self._send("hello", thread_id="🙂", reply_to="🙂", extra={"🙂": [None]})
            hooks.validate(instance, attrs.evolve(send, external_room_id=room))
            call = Call(instance_id="contract", external_room_id=room, method="anything")
            hooks.validate(instance, call)
        self._check_valid(hooks, instance, self._send("hello"), "a plain text to `room`")

    @pytest.mark.parametrize("event", EVENTS, ids=str)
    def test_what_is_no_event_has_no_address(
        self, hooks: ChannelHooks, instance: Instance, event: Any
    ) -> None:
        """`address` returns None for a value that it does not know; it does not raise."""
        address = hooks.address(instance, event)
        assert address is None, f"`address` takes {event!r} for an event of its platform"

    @pytest.mark.usefixtures("addressing")
    def test_an_event_is_answered_where_it_came_from(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """The event has a key that is the same in each delivery, so it is answered only once."""
        where = hooks.address(instance, self.event)
        assert where is not None, "`address` does not know the event"
        assert where == hooks.address(instance, copy.deepcopy(self.event)), "`address` is not pure"
        assert self.room == where.external_room_id, (
            f"`address` answers the room {where.external_room_id!r}, and `room` of these tests is"
            f" {self.room!r}"
        )
        assert where.key, "without a key an event that is delivered again is answered again"
        fields = {"thread_id": where.thread_id, "reply_to": where.reply_to, "key": where.key}
        answer = self._send("hello", **fields)
        self._check_valid(hooks, instance, answer, "an answer to what `address` answers")

    def test_a_mark_is_a_call_about_a_message_that_may_be_repeated(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`mark` answers the same each time, and its answer makes a valid call."""
        ref = MessageRef(instance_id="contract", external_room_id=self.room, envelope_id="0" * 30)
        for what in get_args(MarkKind):
            emoji = "👍" if what in ("react", "unreact") else ""
            mark = Mark(what=what, emoji=emoji)
            sign = hooks.mark(instance, mark)
            assert sign == hooks.mark(instance, mark), "`mark` is not pure"
            if not isinstance(sign, Sign):
                continue
            call = Call(
                instance_id="contract",
                external_room_id=self.room,
                method=sign.method,
                arguments=sign.arguments,
                target=ref,
                repeat_safe=True,
            )
            self._check_valid(hooks, instance, call, f"the call that `mark` answers for {what}")

    @pytest.mark.usefixtures("addressing")
    def test_a_sign_of_typing_is_a_call_that_is_shown_again_in_time(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`typing` answers the same each time, and its answer makes a valid call."""
        where = hooks.address(instance, self.event)
        assert where is not None, "`address` does not know the event"
        sign = hooks.typing(instance, where)
        assert sign == hooks.typing(instance, where), "`typing` is not pure"
        hooks.rate_limit(instance, self.room, None, "typing", "bulk")
        if sign is not None:
            call = Call(
                instance_id="contract",
                external_room_id=self.room,
                thread_id=where.thread_id,
                method=sign.method,
                arguments=sign.arguments,
            )
            self._check_valid(hooks, instance, call, "the call that `typing` answers")
            assert sign.every is None or sign.every >= 1, "`every` is under a second"
        check_failures(hooks)

    def _check_valid(
        self, hooks: ChannelHooks, instance: Instance, envelope: Envelope, what: str
    ) -> None:
        problems = [str(problem) for problem in hooks.validate(instance, envelope)]
        assert not problems, f"`validate` refuses {what}: {'; '.join(problems)}"
