"""The contract of a channel as tests: authors of an adapter subclass it and give their own.

With a server in memory in the platform's place:

    class TestMatrix(ChannelContract):
        channel = "matrix"
        adapter = gateway_plugin_matrix.hooks
        room = "!lobby:example.org"

        def settings(self):
            return MatrixSettings(token=Secret("t0p"), base_url="https://matrix.example.org")

        @asynccontextmanager
        async def platform(self):
            async with open_network() as network:
                network.mount("https://matrix.example.org", MatrixServer())
                yield network

They need pytest and pytest-trio (`trio_mode = true`), and take no time where `clock` is virtual.
"""

# ruff: noqa: S101, SIM300, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from typing import Any, ClassVar, get_args

import attrs
import pytest
import trio
import trio.testing

from gateway_core.config import GatewayConfig
from gateway_core.contract.beside.buttons import Button
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.envelopes import (
    BY_TOKEN,
    Attempt,
    Call,
    Format,
    Grows,
    MessageRef,
    Mode,
    Part,
    Priority,
    Send,
)
from gateway_core.contract.errors import AttemptTimeout, TransportError
from gateway_core.contract.hookspecs import Identity, Mark, MarkKind, Sign
from gateway_core.contract.instances import Instance, hidden
from gateway_core.contract.validators import is_sendable
from gateway_core.gateway.gateway import Gateway
from gateway_core.gateway.opening import open_gateway
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import Filter, bind, installed_names
from gateway_core.testing.gateways import virtual_wall
from gateway_core.testing.paces import paces_without_bound

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
"""What people and programs write: markup, scripts, no space to cut at, more than one message."""

SURPRISES = (
    OSError("broken"),
    TransportError("reset", dispatched="unknown"),
    AttemptTimeout(90.0),
    ValueError(),
    KeyError("ok"),
    ExceptionGroup("several", [OSError("broken"), ValueError()]),
)
"""Errors of which no table of a platform's tells."""

ALONE = Filter(deny=installed_names())
"""What is installed has no say in these tests."""

OPERATIONS = (
    "send", "edit", "delete", "answer", "call:anything", "typing", "acknowledge",
    "draft", "start", "append", "stop",
)  # fmt: skip
"""All that limits are asked for."""

EVENTS: tuple[Any, ...] = (
    None,
    {},
    [],
    "event",
    5,
    {"message": None},
    {"type": [], "event": {"channel": 5}},
)
"""Other people's JSON."""


class ChannelContract:
    """What every adapter does. Each test opens the platform anew and sends little.

    channel   the name of the entry point
    adapter   the module, or the object, with the hookimpls
    room      a room that the platform of these tests has
    event     an event of the platform's, somebody's message in that room; None: it has no `address`
    """

    channel: ClassVar[str]
    adapter: Any
    room: ClassVar[str]
    event: ClassVar[Any] = None

    def settings(self) -> Any:
        """The settings of an account that the platform of these tests knows."""
        raise NotImplementedError

    def platform(self) -> AbstractAsyncContextManager[Any]:
        """The platform for one test: a server in memory, an emulator."""
        raise NotImplementedError

    @pytest.fixture
    def hooks(self) -> ChannelHooks:
        """The channel as a gateway binds it: without a fault."""
        return bind([(self.channel, self.adapter)], ALONE)[self.channel]

    @pytest.fixture
    def instance(self) -> Instance:
        """The account."""
        return Instance("contract", self.channel, self.settings())

    @pytest.fixture
    def clock(self) -> trio.abc.Clock | None:
        """Virtual, so that nothing waits; None where an adapter uses threads: the real one."""
        return trio.testing.MockClock(autojump_threshold=0)

    # -- what is pure

    def test_its_settings_are_of_its_type(self, hooks: ChannelHooks, instance: Instance) -> None:
        """`settings_type` names their class, which is frozen."""
        kind = hooks.settings_type
        assert kind is not None
        assert isinstance(instance.settings, kind)
        name = attrs.fields(kind)[0].name
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(instance.settings, name, getattr(instance.settings, name))

    def test_no_secret_prints(self, instance: Instance) -> None:
        """Whatever holds one is a `Secret`."""
        assert repr(instance) == hidden(repr(instance), instance)

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
        """Parts follow the text from its beginning to its end, and are the same each time."""
        send = self._send(text, format=format)
        plan = hooks.chunk(instance, send, mode)
        assert plan
        assert plan == hooks.chunk(instance, send, mode), "chunk is not pure"
        spans = [part.span for part in plan]
        assert all(0 <= start <= end <= len(text) for start, end in spans), spans
        assert all(one[0] <= other[0] for one, other in pairwise(spans)), spans
        assert not text[spans[-1][1] :].strip(), "the end of the text is in no part"
        assert all(map(is_sendable, _texts([part.payload for part in plan])))

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
        """However long it is: 240,000 characters are more than any message takes."""
        asked = [f"w{number:06}" for number in range(words)]
        plan = hooks.chunk(instance, self._send(" ".join(asked), format=format), mode)
        sent = set("\n".join(_texts([part.payload for part in plan])).split())
        lost = [word for word in asked if word not in sent]
        assert not lost, f"{len(lost)} words are in no part, the first of them {lost[0]!r}"

    def test_a_poll_is_the_last_part_where_the_traits_say_so(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """No edit changes it, and the parts before it are a text's, which may be cut anew."""
        poll = Poll("Which one?", ["This", "That"])
        for text in ("", "hello") if hooks.traits.polls else ():
            send = Send(instance_id="contract", external_room_id=self.room, text=text, poll=poll)
            assert [] == hooks.validate(instance, send)
            *others, last = hooks.chunk(instance, send, "as_asked")
            assert last.fixed
            assert [(0, 0), *(part.span for part in others)][-1][0] <= last.span[0]
            assert not any(part.fixed for part in others)

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("priority", get_args(Priority))
    def test_limits_are_told(
        self, hooks: ChannelHooks, instance: Instance, operation: str, priority: Priority
    ) -> None:
        """Whose they are, for every operation and class; the same each time, no bucket twice."""
        limits = hooks.rate_limit(instance, self.room, None, operation, priority)
        again = hooks.rate_limit(instance, self.room, None, operation, priority)
        assert limits == again, "rate_limit is not pure"
        buckets = [limit.bucket for limit in limits]
        assert len(buckets) == len(set(buckets)), f"a bucket is named twice: {buckets}"
        another = hooks.rate_limit(instance, f"{self.room}1", None, operation, priority)
        everywhere = {limit.bucket for limit in another}
        for limit in limits:
            if limit.of == "interaction":
                assert operation in BY_TOKEN, f"{limit.bucket!r}: {operation!r} answers none"
                continue
            whose = "instance" if limit.bucket in everywhere else "room"
            right = limit.of == whose or (limit.of, whose) == ("gateway", "instance")
            assert right, f"{limit.bucket!r} is of={limit.of!r}; by its rooms it is {whose!r}"

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
        """`classify_error` answers or leaves it to the core; it does not raise."""
        for operation in OPERATIONS:
            attempt = self._attempt(operation)
            verdict = hooks.classify_error(instance, attempt, error)
            assert verdict == hooks.classify_error(instance, attempt, error), "it is not pure"
        assert {} == hooks.failures

    @pytest.mark.parametrize("direct", [True, False])
    def test_how_a_stream_is_shown_is_told(
        self, hooks: ChannelHooks, instance: Instance, *, direct: bool
    ) -> None:
        """`streaming` answers the same each time, whatever is known of who asked."""
        for known in (None, "🙂"):
            grows = Grows(direct=direct, message_id=known, user_id=known, team_id=known)
            envelope = self._send("hello", grows=grows, thread_id="🙂", reply_to="🙂")
            told = hooks.streaming(instance, envelope)
            assert told == hooks.streaming(instance, envelope), "it is not pure"
        assert {} == hooks.failures

    def test_any_envelope_is_looked_at(self, hooks: ChannelHooks, instance: Instance) -> None:
        """`validate` says what is wrong with odd rooms and fields; it does not raise."""
        for room in (self.room, " ", "a b", "🙂", "-1", "1" * 1000, "../..", "@x"):
            send = self._send("hello", thread_id="🙂", reply_to="🙂", extra={"🙂": [None]})
            hooks.validate(instance, attrs.evolve(send, external_room_id=room))
            call = Call(instance_id="contract", external_room_id=room, method="anything")
            hooks.validate(instance, call)
        assert [] == hooks.validate(instance, self._send("hello"))

    @pytest.mark.parametrize("event", EVENTS, ids=str)
    def test_what_is_no_event_has_no_address(self, hooks: ChannelHooks, event: Any) -> None:
        """`address` answers None to what it does not know; it does not raise."""
        assert hooks.address(event) is None

    @pytest.mark.usefixtures("addressing")
    def test_an_event_is_answered_where_it_came_from(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """By an id of its own, which is the same in each delivery: it is answered once."""
        where = hooks.address(self.event)
        assert where is not None, "`address` does not know the event"
        assert where == hooks.address(copy.deepcopy(self.event)), "`address` is not pure"
        assert self.room == where.external_room_id
        assert where.key, "without a key an event that is delivered again is answered again"
        fields = {"thread_id": where.thread_id, "reply_to": where.reply_to, "key": where.key}
        assert [] == hooks.validate(instance, self._send("hello", **fields))

    def test_buttons_are_fields_that_go_as_they_came(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`buttons` answers the same each time, its fields are valid, and no rows take them off."""
        rows = ((Button("Yes", "yes"), Button("Guide", url="https://example.org")),)
        shown = hooks.buttons(instance, rows, {})
        assert shown == hooks.buttons(instance, rows, {}), "`buttons` is not pure"
        if isinstance(shown, Mapping):
            assert shown, "nothing would be shown"
            assert [] == hooks.validate(instance, self._send("hello", extra=shown))
            assert shown == hooks.buttons(instance, rows, shown), "they would be there twice"
            assert {} == hooks.buttons(instance, (), shown), "they could not be taken off"
        assert {} == hooks.failures

    def test_a_mark_is_a_call_about_a_message_that_may_be_repeated(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`mark` answers the same each time, and what it names is a call that is valid."""
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
            assert [] == hooks.validate(instance, call)

    @pytest.mark.usefixtures("addressing")
    def test_a_sign_of_typing_is_a_call_that_is_shown_again_in_time(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`typing` answers the same each time, and its method is one that `call` takes."""
        where = hooks.address(self.event)
        assert where is not None
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
            assert [] == hooks.validate(instance, call)
            assert sign.every is None or sign.every >= 1, "it would be made all the time"
        assert {} == hooks.failures

    # -- what awaits the platform

    @pytest.mark.usefixtures("addressing")
    async def test_an_event_is_answered_once(self, clock: object) -> None:
        """`reply` finds the account by the event, and the second delivery its first answer."""
        async with self._gateway() as gateway:
            first = await gateway.reply(copy.deepcopy(self.event), "hello", ttl=600)
            again = await gateway.reply(copy.deepcopy(self.event), "hello", ttl=600)
        assert first.envelope_id == again.envelope_id

    async def test_a_message_is_sent_edited_and_taken_back(
        self, hooks: ChannelHooks, clock: object
    ) -> None:
        """As far as its traits say that it can."""
        async with self._gateway() as gateway:
            receipt = await gateway.send("contract", self.room, "first", ttl=600)
            ref = receipt.ref
            assert ref is not None
            if hooks.traits.edit:
                receipt = await gateway.edit(ref, "second", ttl=600)
                assert receipt.ref is not None
                assert 1 == receipt.ref.revision
            if hooks.traits.delete:
                assert (await gateway.delete(ref, ttl=600)).delivered

    async def test_each_part_has_an_id_of_its_own(self, long_text: str, clock: object) -> None:
        """Else an edit would change another message."""
        async with self._gateway() as gateway:
            receipt = await gateway.send("contract", self.room, long_text, ttl=3600)
        assert receipt.ref is not None
        ids = [part.message_id for part in receipt.ref.parts]
        assert len(ids) == len(set(ids)) == len(receipt.parts)

    @pytest.mark.usefixtures("deduplicating")
    async def test_a_repeated_key_is_one_message_where_the_traits_say_so(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """What makes trying again harmless."""
        attempt = self._attempt("send", part=self._part(hooks, instance))
        async with self._session(hooks, instance) as session:
            first = await hooks.perform(instance, session, attempt)
            again = await hooks.perform(instance, session, attrs.evolve(attempt, number=2))
        assert first.message_id == again.message_id

    async def test_a_cancelled_attempt_ends_there(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """Cancellation passes through."""
        attempt = self._attempt("send", part=self._part(hooks, instance))
        async with self._session(hooks, instance) as session:
            with trio.CancelScope() as scope:
                scope.cancel()
                await hooks.perform(instance, session, attempt)
        assert scope.cancelled_caught

    @pytest.mark.usefixtures("probing")
    async def test_it_knows_who_it_is(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """`probe` answers, where there is one: it ends suspensions."""
        async with self._session(hooks, instance) as session:
            assert isinstance(await hooks.probe(instance, session), Identity)

    # -- what not every channel has; told by fixtures, whose reasons are printed

    @pytest.fixture
    def long_text(self, hooks: ChannelHooks, instance: Instance) -> str:
        """A text that takes several parts."""
        for doubled in range(14):
            text = "word " * (1 << doubled)
            if len(hooks.chunk(instance, self._send(text), "as_asked")) > 1:
                return text
        pytest.skip("it cuts nothing")

    @pytest.fixture
    def addressing(self, hooks: ChannelHooks) -> None:
        """There is an event to answer."""
        if self.event is None or "address" not in hooks.served:
            pytest.skip("no event is given, or there is no `address`")

    @pytest.fixture
    def deduplicating(self, hooks: ChannelHooks) -> None:
        """The platform knows a repeated send."""
        if not hooks.traits.deduplicates_for:
            pytest.skip("the platform deduplicates nothing")

    @pytest.fixture
    def probing(self, hooks: ChannelHooks) -> None:
        """The adapter can ask who it is."""
        if "probe" not in hooks.can:
            pytest.skip("there is no probe")

    # -- what these tests are made of

    @asynccontextmanager
    async def _gateway(self) -> AsyncIterator[Gateway]:
        config = GatewayConfig(
            instances=[Instance("contract", self.channel, self.settings())],
            plugins=ALONE,
        )
        async with (
            self.platform(),
            open_gateway(
                config, plugins=[(self.channel, self.adapter)], wall_clock=virtual_wall
            ) as gateway,
        ):
            yield gateway

    @asynccontextmanager
    async def _session(self, hooks: ChannelHooks, instance: Instance) -> AsyncIterator[Any]:
        async with self.platform():
            opening = hooks.open_session(instance)
            if opening is None:
                yield None
                return
            async with opening as session:
                yield session

    def _send(self, text: str, **fields: Any) -> Send:
        return Send(instance_id="contract", external_room_id=self.room, text=text, **fields)

    def _part(self, hooks: ChannelHooks, instance: Instance) -> Part:
        return hooks.chunk(instance, self._send("hello"), "as_asked")[0]

    def _attempt(self, operation: str, **fields: Any) -> Attempt:
        if operation in {"edit", "delete", "append", "stop"}:
            fields["message_id"] = "1"
        if operation.startswith("call:"):
            fields["method"] = operation.removeprefix("call:")
        return Attempt(
            operation=operation,
            envelope_id="contract",
            instance_id="contract",
            room=self.room,
            key="018bcfe568000000000123456789ab.0",
            **fields,
        )


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)
