"""Every row of the table of crash boundaries: one thing is killed, and only that thing notices."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.lowlevel
from structlog.testing import capture_logs

from gateway_core import (
    Disposition,
    ErrorClass,
    GatewayError,
    HookContractError,
    Invalid,
    Limit,
    Part,
    PartitionFailed,
    Reason,
    Refused,
    Scope,
    Verdict,
)
from gateway_core.authors import Answer, Traits, hookimpl
from gateway_core.plugins.boundary import exit_in
from gateway_core.testing import EPOCH, Failure, FakeChannel, MemoryOutbox, open_test_gateway


class Stray(BaseException):
    """Neither an `Exception` nor one of the four that must pass."""


class Mute(ValueError):
    """An error whose words cannot be read."""

    def __str__(self) -> str:
        raise KeyError("words")


def cancelled() -> trio.Cancelled:
    return trio.Cancelled._create(source="deadline")


# -- a hookimpl raises


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"),
        Stray("stray"),
        GeneratorExit(),
        ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
        BaseExceptionGroup("several", [Stray("one"), ValueError("two")]),
        Mute(),
    ],
    ids=["exception", "stray", "closing", "group", "base_group", "mute"],
)
async def test_an_async_hook_that_raises_touches_its_envelope_alone(
    engine, say, error, autojump_clock
):
    channel = FakeChannel(script=say.script(error))
    async with engine(channel) as gateway:
        broken = await gateway.send("bot", "r", "first", raises=False)
        assert Disposition.REJECTED is broken.disposition
        assert Reason.UNCLASSIFIED is broken.verdict.reason
        assert "unknown" == broken.parts[0].outcome
        assert 1 == broken.attempts
        assert (await gateway.send("bot", "r", "second")).delivered
        assert (await gateway.send("bot", "other", "third")).delivered
        assert all(p.restarts == 0 for p in gateway.statistics().partitions)


async def test_a_refusal_in_an_adapter_s_nursery_is_what_it_is_without_the_nursery(
    engine, say, autojump_clock
):
    """`classify_error` gets the platform's error itself, however many nurseries it left."""

    async def refuse() -> None:
        raise Failure(Verdict(error_class="non_retryable", reason="room_gone", raw="no room"))

    async def in_nurseries(_) -> None:
        async with trio.open_nursery(), trio.open_nursery() as nursery:
            nursery.start_soon(refuse)

    channel = FakeChannel(script=in_nurseries)
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
    assert (Reason.ROOM_GONE, "no room") == (receipt.verdict.reason, receipt.verdict.raw)


async def test_a_group_that_the_attempts_own_timeout_made_is_a_timeout(engine, say, autojump_clock):
    """A hook's nursery joins the Cancelled of our deadline with an error of its clean-up."""

    async def clumsy(_) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")

    channel = FakeChannel(script=clumsy)
    async with engine(channel, attempt_timeout=5) as gateway:
        receipt = await gateway.send("bot", "r", "x", on_unknown="give_up", raises=False)
        assert Disposition.UNKNOWN is receipt.disposition
        channel.script = None
        assert (await gateway.send("bot", "r", "y")).delivered


class Clumsy(FakeChannel):
    """One of its hooks hangs, and when it is cancelled its clean-up breaks as well."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self.hook, self.hung = hook, 0

    async def _maybe(self, hook: str) -> None:
        if hook != self.hook:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            self.hung += 1
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")

    @hookimpl
    def open_session(self):
        return self._session()

    @asynccontextmanager
    async def _session(self):
        await self._maybe("enter")
        try:
            yield "session"
        finally:
            await self._maybe("leave")

    @hookimpl
    async def send(self, attempt):
        await self._maybe("send")
        if self.hook in ("probe", "credentials") and len(self.made) < 1:
            self.made.append(attempt)
            verdict = Verdict(
                error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE
            )
            raise Failure(verdict)
        return await FakeChannel.send(self, attempt)

    @hookimpl
    async def probe(self):
        await self._maybe("probe")
        raise ConnectionError

    @hookimpl
    async def credentials(self):
        await self._maybe("credentials")


@pytest.mark.parametrize(
    ("hook", "ends"),
    [
        ("enter", Disposition.CANCELLED),
        ("leave", Disposition.DELIVERED),
        ("send", Disposition.UNKNOWN),
        ("probe", Disposition.CANCELLED),
        ("credentials", Disposition.CANCELLED),
    ],
)
@pytest.mark.parametrize("way", ["closed", "cancelled", "timed out"])
async def test_cancelled_in_a_group_out_of_any_async_hook_goes_where_it_belongs(
    engine, say, hook, ends, way, autojump_clock
):
    """The gateway ends, or the hook's own time does: in order, whatever its clean-up raises."""
    channel = Clumsy(hook)
    with trio.move_on_after(20) as scope:
        async with engine(channel, attempt_timeout=5, session_idle=1) as gateway:
            ticket = await gateway.submit(say.message())
            await trio.sleep(4)
            assert channel.hung
            if way == "timed out":
                await trio.sleep(11)
                assert all(p.restarts == 0 for p in gateway.statistics().partitions)
                channel.hook = ""
            elif way == "cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught == (way == "cancelled")
    assert ends is (await ticket.receipt()).disposition


@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit])
async def test_what_stops_the_program_passes_through_every_boundary(say, passing, autojump_clock):
    channel = FakeChannel(script=say.script(passing()))
    with pytest.raises(passing):
        async with open_test_gateway(channel) as gateway:
            await gateway.send("bot", "r", "x")


class _Leaving(FakeChannel):
    """A channel with one hook that ends the program."""

    def __init__(self, hook: str, error: BaseException) -> None:
        super().__init__(script=self._script)
        self.hook, self.error = hook, error

    def _maybe(self, hook: str):
        if hook == self.hook:
            raise self.error

    async def _script(self, _):
        self._maybe("send")
        raise ValueError("unknown to the channel")

    @hookimpl
    def classify_error(self):
        self._maybe("classify_error")

    @hookimpl
    def rewrite(self):
        self._maybe("rewrite")

    @hookimpl
    def after_attempt(self):
        self._maybe("after_attempt")

    @hookimpl
    @asynccontextmanager
    async def open_session(self):
        self._maybe("open_session")
        yield


IN_A_GROUP = BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [SystemExit(4)])])


@pytest.mark.parametrize("error", [SystemExit(4), IN_A_GROUP], ids=["alone", "in a group"])
@pytest.mark.parametrize(
    "hook", ["send", "classify_error", "rewrite", "after_attempt", "open_session"]
)
async def test_the_hook_that_ends_the_program_is_named_in_the_log(hook, error, autojump_clock):
    """Who looks for the reason why all accounts stopped finds the plugin."""
    with capture_logs() as lines, pytest.raises(BaseException) as caught:  # noqa: PT011 - a group too
        async with open_test_gateway(_Leaving(hook, error)) as gateway:
            await gateway.send("bot", "r", "x")
    assert exit_in(caught.value) is not None
    [line] = [line for line in lines if line.get("error") == "SystemExit"]
    assert ("_Leaving", hook, "hook_failed") == (
        line["plugin"],
        line["hook"],
        line["event"].removeprefix("gateway."),
    )


async def test_in_a_group_too(say, autojump_clock):
    group = BaseExceptionGroup("both", [ValueError("dropped"), KeyboardInterrupt()])
    channel = FakeChannel(script=say.script(group))
    with pytest.raises(KeyboardInterrupt):
        async with open_test_gateway(channel) as gateway:
            await gateway.send("bot", "r", "x")


class _Broken:
    """A policy whose hook of one name raises."""

    def __init__(self, hook: str) -> None:
        self.hook = hook
        self.asked = 0

    def _maybe(self, hook: str):
        if hook == self.hook:
            self.asked += 1
            raise ZeroDivisionError(hook)

    @hookimpl
    def validate(self):
        self._maybe("validate")

    @hookimpl
    def chunk(self):
        self._maybe("chunk")

    @hookimpl
    def rate_limit(self):
        self._maybe("rate_limit")

    @hookimpl
    def classify_error(self):
        self._maybe("classify_error")

    @hookimpl
    def admit(self):
        self._maybe("admit")

    @hookimpl
    def after_attempt(self):
        self._maybe("after_attempt")

    @hookimpl
    def after_disposition(self):
        self._maybe("after_disposition")

    @hookimpl
    def pressure_changed(self):
        self._maybe("pressure_changed")

    @hookimpl
    def instance_suspended(self):
        self._maybe("instance_suspended")

    @hookimpl
    def room_moved(self):
        self._maybe("room_moved")


@pytest.mark.parametrize(
    "hook", ["admit", "after_attempt", "after_disposition", "pressure_changed"]
)
async def test_an_observer_that_raises_is_counted_and_nothing_else(engine, hook, autojump_clock):
    policy = _Broken(hook)
    async with engine(plugins=[policy], partition_bound=1, partition_count=1) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered
        assert policy.asked > 0
        assert policy.asked == gateway._parts.hooks["fake"].failures["_Broken", hook]


async def test_an_observer_of_suspensions_that_raises_keeps_nothing_from_suspension(
    engine, say, autojump_clock
):
    policy = _Broken("instance_suspended")
    channel = FakeChannel(script=say.script(say.fatal()))
    async with engine(channel, plugins=[policy]) as gateway:
        ticket = await gateway.submit(say.message("r"))
        assert (await ticket.receipt()).delivered  # a probe found it well
        assert 1 == policy.asked


async def test_an_observer_of_moves_that_raises_keeps_nothing_from_moving(
    engine, say, autojump_clock
):
    moved = say.busy().verdict
    moved = Verdict(error_class=moved.error_class, reason=Reason.ROOM_MOVED, moved_to="new")
    policy = _Broken("room_moved")
    channel = FakeChannel(script=say.script(type(say.busy())(moved)))
    async with engine(channel, plugins=[policy]) as gateway:
        assert "new" == (await gateway.send("bot", "old", "x")).moved_to
        assert ["x"] == channel.texts("new")
        assert 1 == policy.asked


@pytest.mark.parametrize("hook", ["validate", "chunk"])
async def test_a_pure_hook_that_raises_at_the_door_refuses(engine, hook, autojump_clock):
    """Its caller gets the error, whatever it wants of receipts, and so do the observers."""
    refused = []

    class Hears:
        @hookimpl
        def after_refusal(self, error):
            refused.append(error)

    async with engine(plugins=[_Broken(hook), Hears()]) as gateway:
        with pytest.raises(
            HookContractError, match=f"^_Broken: hook {hook}: raised ZeroDivisionError: "
        ) as caught:
            await gateway.send("bot", "r", "x", raises=False)
        assert not isinstance(caught.value, Refused)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert [caught.value] == refused
        assert 1 == gateway.statistics().refused
        assert 0 == gateway.statistics().accepted


async def test_limits_that_cannot_be_asked_end_the_envelope_crashed(engine, autojump_clock):
    async with engine(plugins=[_Broken("rate_limit")]) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert "_Broken: hook rate_limit: raised ZeroDivisionError" in receipt.verdict.raw


async def test_a_classification_that_raises_leaves_cores_own(engine, say, autojump_clock):
    """A refused connection stays retryable, whoever classifies it."""
    channel = FakeChannel(script=say.script(say.refused(), say.refused()))
    async with engine(channel, plugins=[_Broken("classify_error")]) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert 3 == receipt.attempts
        assert Reason.HOOK_ERROR is receipt.verdict.reason


# -- a hookimpl answers with the wrong type


class Wrong:
    """A policy that answers one hook with nonsense."""

    def __init__(self, hook: str, answer: object) -> None:
        self.hook, self.answer = hook, answer

    @hookimpl
    def validate(self):
        return self.answer if self.hook == "validate" else None

    @hookimpl
    def chunk(self, mode):
        return self.answer if self.hook in ("chunk", mode) else None

    @hookimpl
    def rate_limit(self):
        return self.answer if self.hook == "rate_limit" else None

    @hookimpl
    def classify_error(self):
        return self.answer if self.hook == "classify_error" else None

    @hookimpl
    def admit(self):
        return self.answer if self.hook == "admit" else None


@pytest.mark.parametrize("answer", ["stored", 17, {"message_id": "1"}])
async def test_a_successful_send_with_a_bad_answer_is_not_sent_again(
    engine, say, answer, autojump_clock
):
    channel = FakeChannel(script=say.script(answer if not isinstance(answer, int) else {"n": 1}))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert Reason.HOOK_CONTRACT is receipt.verdict.reason
        assert "FakeChannel: hook send: answered with" in receipt.verdict.raw
        assert 1 == len(channel.made)
        assert "delivered" == receipt.parts[0].outcome
        assert (await gateway.send("bot", "r", "y")).delivered


@pytest.mark.parametrize(("hook", "answer"), [("rate_limit", ["1/s"]), ("rate_limit", 5)])
async def test_limits_of_the_wrong_type_end_it_crashed(engine, hook, answer, autojump_clock):
    async with engine(plugins=[Wrong(hook, answer)]) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert "hook rate_limit: answered with" in receipt.verdict.raw


async def test_a_verdict_of_the_wrong_type_ends_it_crashed(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.refused()))
    async with engine(channel, plugins=[Wrong("classify_error", "retryable")]) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert "hook classify_error: answered with str, expected Verdict" in receipt.verdict.raw
        assert 1 == len(channel.made)


@pytest.mark.parametrize("answer", ["text", ["text"], 5])
async def test_a_plan_of_the_wrong_type_refuses_at_the_door(engine, answer, autojump_clock):
    async with engine(plugins=[Wrong("chunk", answer)]) as gateway:
        with pytest.raises(HookContractError, match="hook chunk: answered with"):
            await gateway.send("bot", "r", "x")


async def test_a_later_plan_of_the_wrong_type_ends_it_crashed(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.rejected(transform="plain")))
    async with engine(channel, plugins=[Wrong("plain", ["text"])]) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert "hook chunk" in receipt.verdict.raw


async def test_a_vote_that_is_none_is_logged_and_does_not_count(engine, autojump_clock):
    async with engine(plugins=[Wrong("admit", "perhaps")]) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered
        assert 1 == sum(gateway._parts.hooks["fake"].failures.values())


# -- a hookimpl never returns


async def test_a_hook_that_never_returns_times_out_unknown(engine, say, autojump_clock):
    async def hang(attempt) -> Answer | None:
        if attempt.room == "stuck":
            await trio.sleep_forever()
        return None

    channel = FakeChannel(script=hang)
    async with engine(channel, attempt_timeout=30) as gateway:
        async with trio.open_nursery() as nursery:
            stuck = await gateway.submit(say.message("stuck", on_unknown="give_up"))
            for n in range(20):
                nursery.start_soon(gateway.send, "bot", f"room {n}", "x")
        assert 0 == trio.current_time()
        receipt = await stuck.receipt()
        assert Disposition.UNKNOWN is receipt.disposition
        assert Reason.OUTCOME_UNKNOWN is receipt.verdict.reason
        assert 30.0 == pytest.approx(trio.current_time())


async def test_a_session_that_never_opens_times_out_and_nothing_was_sent(
    engine, say, autojump_clock
):
    class Slow(FakeChannel):
        opened = 0

        @hookimpl
        def open_session(self, instance):
            return self._session(instance)

        @asynccontextmanager
        async def _session(self, instance):
            type(self).opened += 1
            if instance.id == "bot":
                await trio.sleep_forever()
            yield "session"

    channel = Slow()
    async with engine(channel, instances=["bot", "other"], attempt_timeout=30) as gateway:
        ticket = await gateway.submit(say.message(ttl=100))
        assert (await gateway.send("other", "r", "x")).delivered
        receipt = await ticket.receipt()
        assert Disposition.EXPIRED is receipt.disposition
        assert "failed" == receipt.parts[0].outcome or "not_sent" == receipt.parts[0].outcome
        assert not receipt.possible_duplicate
        assert 1 == len(channel.made)
        assert all(p.in_flight == 0 for p in gateway.statistics().partitions)


async def test_a_cancelled_envelope_is_not_sent_when_the_session_opens_at_last(
    engine, say, autojump_clock
):
    class Slow(FakeChannel):
        @hookimpl
        def open_session(self):
            return self._session()

        @asynccontextmanager
        async def _session(self):
            await trio.sleep(5)
            yield "session"

    channel = Slow()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(1)
        assert await gateway.cancel(ticket)
        await trio.sleep(10)
        assert Disposition.CANCELLED is (await ticket.receipt()).disposition
        assert [] == channel.made
        assert (await gateway.send("bot", "r", "next")).delivered


async def test_a_session_that_fails_is_classified_like_an_attempt(engine, say, autojump_clock):
    class Shy(FakeChannel):
        failures = 2

        @hookimpl
        def open_session(self):
            return self._session()

        @asynccontextmanager
        async def _session(self):
            if self.failures:
                self.failures -= 1
                raise say.refused()
            yield "session"

    channel = Shy()
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert 1 == receipt.attempts == len(channel.made)
        assert Reason.UNREACHABLE is receipt.verdict.reason


class _Opening(FakeChannel):
    """Its session opens after `opening` seconds, or fails with `error` then."""

    opening: float = 0.0
    error: BaseException | None = None

    @hookimpl
    def open_session(self):
        return self._session()

    @asynccontextmanager
    async def _session(self):
        await trio.sleep(self.opening)
        if self.error is not None:
            raise self.error
        yield "session"


@pytest.mark.parametrize("opening", [5.0, 50.0], ids=["fails", "never opens"])
async def test_a_session_that_fails_for_one_that_was_cancelled_counts_for_nobody(
    engine, say, opening, autojump_clock
):
    channel = _Opening()
    channel.opening, channel.error = opening, say.refused()
    async with engine(channel, attempt_timeout=20) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(1)
        assert await gateway.cancel(ticket)
        await trio.sleep(30)
        channel.opening, channel.error = 0.0, None
        assert (await gateway.send("bot", "r", "x")).delivered
        assert 1 == len(channel.made)
        assert gateway.statistics().instances[0].suspended is None


async def test_a_session_error_that_nobody_knows_suspends_the_instance(engine, say, autojump_clock):
    channel = _Opening()
    channel.error = ValueError("no such workspace")
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(0.5)
        suspended = gateway.statistics().instances[0].suspended
        assert "the session did not open: ValueError: no such workspace" in suspended
        channel.error = None
        assert (await ticket.receipt()).delivered  # a probe found it well


class _Sessionless(FakeChannel):
    """A channel whose hook `open_session` itself is wrong."""

    wrong = True

    @hookimpl
    def open_session(self):
        return 5 if self.wrong else None


async def test_nobody_waits_for_an_account_whose_session_hook_is_wrong(engine, say, autojump_clock):
    async with engine(_Sessionless()) as gateway:
        with pytest.raises(GatewayError, match=r"did not open.* answered with int"):
            await gateway.send("bot", "r", "hello", ttl=600)
        assert trio.current_time() < 1
        assert "hook_contract" in gateway.statistics().instances[0].suspended


async def test_an_account_that_worked_is_waited_for_though_its_session_hook_is_wrong(
    engine, say, autojump_clock
):
    channel = _Sessionless()
    channel.wrong = False
    async with engine(channel, session_idle=10) as gateway:
        assert (await gateway.send("bot", "r", "hello")).delivered
        await trio.sleep(20)
        channel.wrong = True
        ticket = await gateway.submit(say.message())
        await trio.sleep(1)
        assert gateway.statistics().instances[0].suspended is not None
        channel.wrong = False
        assert (await ticket.receipt()).delivered


async def test_an_idle_workers_old_deadline_is_nobodys_timeout(engine, say, autojump_clock):
    """It passes in the instant in which the worker is given its next lane."""

    class Leap:
        @hookimpl
        def admit(self, envelope):
            if envelope.text == "late":
                autojump_clock.jump(2)

    channel = FakeChannel()
    async with engine(channel, plugins=[Leap()], partition_count=1, attempt_timeout=30) as gateway:
        await gateway.send("bot", "r", "early")
        await trio.sleep(29)
        receipt = await gateway.send("bot", "r", "late")
        assert 1 == receipt.attempts
        assert receipt.verdict is None
        assert 31 == trio.current_time()


async def test_an_error_while_a_session_closes_is_logged_only(engine, autojump_clock):
    class Sticky(FakeChannel):
        @hookimpl
        def open_session(self):
            return self._session()

        @asynccontextmanager
        async def _session(self):
            yield "session"
            raise Stray("while closing")

    async with engine(Sticky(), session_idle=10) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered
        await trio.sleep(20)
        assert (await gateway.send("bot", "r", "x")).delivered


# -- an envelope breaks the worker itself


async def test_an_envelope_that_breaks_its_worker_twice_ends_crashed(
    engine, say, autojump_clock, monkeypatch
):
    channel = FakeChannel(script=say.script(say.refused(), say.refused()))
    async with engine(channel, partition_count=1) as gateway:
        consequences = gateway._partitions[0].consequences
        whole, broken = consequences.failed, []

        def breaks(failed, **how):
            if failed.delivery.envelope.text == "poison":
                broken.append(failed.delivery.id)
                raise Stray("the worker itself")
            whole(failed, **how)

        monkeypatch.setattr(consequences, "failed", breaks)
        tickets = [
            await gateway.submit(say.message(text=text)) for text in ("poison", "next", "last")
        ]
        receipts = [await ticket.receipt() for ticket in tickets]
        assert [Disposition.CRASHED, Disposition.DELIVERED, Disposition.DELIVERED] == [
            r.disposition for r in receipts
        ]
        assert 2 == len(broken)
        assert "Stray: the worker itself" in receipts[0].verdict.raw
        assert 0 == gateway.statistics().partitions[0].restarts


async def test_what_breaks_as_another_lane_is_let_in_is_not_blamed_on_the_one_that_leaves(
    engine, say, autojump_clock, monkeypatch
):
    """One attempt at a time: the end of each lets in the next lane, whose turn breaks."""
    channel = FakeChannel(latency=1)
    async with engine(channel, partition_count=1, attempts_per_instance=1) as gateway:
        scheduler = gateway._partitions[0].scheduler
        whole, broken = scheduler._plan, []

        def breaks(delivery, lane, now):
            if delivery.envelope.text == "poison" and now > 0:
                broken.append(delivery.id)
                raise Stray("a turn of its own")
            return whole(delivery, lane, now)

        monkeypatch.setattr(scheduler, "_plan", breaks)
        good = [await gateway.submit(say.message("a", f"{n}")) for n in range(2)]
        poison = await gateway.submit(say.message("b", "poison"))
        behind = await gateway.submit(say.message("b", "behind it"))
        for ticket in (*good, behind):
            receipt = await ticket.receipt()
            assert receipt.delivered
            assert not receipt.possible_duplicate
        receipt = await poison.receipt()
        assert Disposition.CRASHED is receipt.disposition
        assert "Stray: a turn of its own" in receipt.verdict.raw
        assert "no" == receipt.verdict.dispatched
        assert [poison.id, poison.id] == broken
        assert 0 == gateway.statistics().partitions[0].restarts
    assert ["0", "1", "behind it"] == [m.attempt.part.payload["text"] for m in channel.made]


@pytest.mark.parametrize(("times", "ends"), [(1, Disposition.DELIVERED), (9, Disposition.CRASHED)])
async def test_what_breaks_as_a_schedule_lets_one_in_is_its_own(
    engine, say, times, ends, autojump_clock, monkeypatch
):
    """Its time comes again; twice, and it ends. The other one of that time is let in."""
    async with engine(partition_count=1) as gateway:
        _breaks(gateway, monkeypatch, "enqueuer", "due", times)
        poison, other = [
            await gateway.submit(say.message(text, text, not_before=EPOCH + 10))
            for text in ("poison", "other")
        ]
        assert ends is (await poison.receipt()).disposition
        assert (await other.receipt()).delivered
        assert 10 == pytest.approx(trio.current_time(), abs=0.5)
        assert 0 == gateway.statistics().partitions[0].restarts


@pytest.mark.parametrize(("times", "ends"), [(1, Disposition.EXPIRED), (9, Disposition.CRASHED)])
async def test_what_breaks_as_a_deadline_passes_is_its_own(
    engine, say, times, ends, autojump_clock, monkeypatch
):
    async with engine(partition_count=1) as gateway:
        gateway.suspend("bot")
        _breaks(gateway, monkeypatch, "completion", "expire", times)
        poison, other = [
            await gateway.submit(say.message(text, text, ttl=10)) for text in ("poison", "other")
        ]
        assert ends is (await poison.receipt()).disposition
        assert Disposition.EXPIRED is (await other.receipt()).disposition
        assert 10 == pytest.approx(trio.current_time(), abs=0.5)
        assert 0 == gateway.statistics().partitions[0].restarts


def _breaks(gateway, monkeypatch, part: str, name: str, times: int) -> None:
    """Let this of the first partition break so often on what is poison."""
    owner = getattr(gateway._partitions[0], part)
    whole, left = getattr(owner, name), [times]

    def breaks(delivery, now):
        if delivery.envelope.text == "poison" and left[0]:
            left[0] -= 1
            raise Stray(name)
        whole(delivery, now)

    monkeypatch.setattr(owner, name, breaks)


async def test_what_breaks_as_an_envelope_is_accepted_is_not_raised_to_its_caller(
    engine, say, autojump_clock, monkeypatch
):
    """It is accepted by then: it has its ticket, and its one ending."""
    async with engine(partition_count=1) as gateway:

        def breaks(delivery, lane, now):
            raise Stray("its plan")

        monkeypatch.setattr(gateway._partitions[0].scheduler, "_plan", breaks)
        ticket = await gateway.submit(say.message())
        assert Disposition.CRASHED is (await ticket.receipt()).disposition


@pytest.mark.parametrize("on_unknown", ["retry", "give_up"])
async def test_a_try_whose_answer_was_lost_in_a_crash_is_in_doubt(
    engine, say, on_unknown, autojump_clock, monkeypatch
):
    """The message stands in the room, and the worker broke before it could note that."""
    channel = FakeChannel()
    async with engine(channel, partition_count=1) as gateway:
        partition = gateway._partitions[0]
        whole, left = partition.workers.attempts._answered, [1]

        def breaks(*args):
            if left[0]:
                left[0] -= 1
                raise Stray("before it was noted")
            whole(*args)

        monkeypatch.setattr(partition.workers.attempts, "_answered", breaks)
        receipt = await gateway.send("bot", "r", "x", on_unknown=on_unknown, raises=False)
        if on_unknown == "retry":
            assert receipt.delivered
            assert receipt.possible_duplicate
            assert ["x", "x"] == channel.texts("r")
        else:
            assert Disposition.UNKNOWN is receipt.disposition
            assert ["x"] == channel.texts("r")


async def test_a_timeout_after_a_crash_is_blamed_on_the_right_envelope(
    engine, say, autojump_clock, monkeypatch
):
    """What a broken envelope leaves behind in its worker must not speak for the next one."""

    async def hang(attempt) -> None:
        if attempt.part.payload["text"] == "poison":
            raise ValueError("poison")
        await trio.sleep_forever()

    channel = FakeChannel(script=hang)
    async with engine(channel, partition_count=1, attempt_timeout=5) as gateway:
        consequences = gateway._partitions[0].consequences
        whole = consequences.failed

        def breaks(failed, **how):
            if failed.delivery.envelope.text == "poison":
                raise Stray("the worker itself")
            whole(failed, **how)

        monkeypatch.setattr(consequences, "failed", breaks)
        poison = await gateway.submit(say.message("a", "poison"))
        await poison.receipt()
        receipt = await gateway.send("bot", "b", "x", on_unknown="give_up", raises=False)
        assert Disposition.UNKNOWN is receipt.disposition
        assert 1 == receipt.attempts


async def test_a_crash_in_what_follows_a_timeout_stalls_nobody(
    engine, say, autojump_clock, monkeypatch
):
    async def hang(attempt) -> None:
        if attempt.part.payload["text"] == "poison":
            await trio.sleep_forever()

    channel = FakeChannel(script=hang)
    async with engine(channel, partition_count=1, attempt_timeout=5) as gateway:
        consequences = gateway._partitions[0].consequences

        def breaks(failed, **how):
            raise Stray("the worker itself")

        monkeypatch.setattr(consequences, "failed", breaks)
        poison = await gateway.submit(say.message("a", "poison"))
        assert Disposition.CRASHED is (await poison.receipt()).disposition
        with trio.fail_after(1):
            for n in range(4):
                assert (await gateway.send("bot", f"room {n}", "x")).delivered


# -- a partition's task dies


def _deaths(partition, monkeypatch, times: int) -> None:
    """Let the partition's own task die so often when its alarm rings."""
    whole, left = partition.scheduler.ring, [times]

    def ring(*args):
        if left[0] and partition.scheduler.next_alarm() <= args[0]:
            left[0] -= 1
            raise Stray("the partition's task")
        whole(*args)

    monkeypatch.setattr(partition.scheduler, "ring", ring)


def _limits(room: str, operation: str):
    return [Limit(f"room {room}", 1, 1.0), Limit("account", 20, 1.0)]


async def test_a_partition_that_dies_is_restarted_and_the_others_do_not_notice(
    engine, say, autojump_clock, monkeypatch
):
    channel = FakeChannel(limits=_limits, latency=0.05)
    async with engine(channel, partition_count=2) as gateway:
        rooms = [f"room {n}" for n in range(12)]
        tickets = {
            room: [await gateway.submit(say.message(room, f"{n}")) for n in range(4)]
            for room in rooms
        }
        _deaths(gateway._partitions[0], monkeypatch, 3)
        with trio.fail_after(60):
            for room in rooms:
                for ticket in tickets[room]:
                    assert (await ticket.receipt()).delivered or (
                        await ticket.receipt()
                    ).disposition is Disposition.UNKNOWN
        assert 3 == gateway.statistics().partitions[0].restarts
        assert 0 == gateway.statistics().partitions[1].restarts
        for room in rooms:
            assert channel.texts(room) == [str(n) for n in range(4)]
            if gateway._partition_of("bot", room).index == 1:
                times = [m.at for m in channel.made if m.attempt.room == room]
                assert times[-1] < 5


async def test_an_attempt_in_flight_when_its_partition_dies_is_in_doubt(
    engine, say, autojump_clock, monkeypatch
):
    channel = FakeChannel(latency=10)
    async with engine(channel, partition_count=1) as gateway:
        partition = gateway._partitions[0]
        first = await gateway.submit(say.message("a", "in flight", on_unknown="give_up"))
        queued = await gateway.submit(say.message("a", "behind it"))
        await trio.sleep(1)
        partition.workers.nursery.start_soon(_raise)
        with capture_logs() as logs:
            await trio.lowlevel.checkpoint()
            receipt = await first.receipt()
        assert Disposition.UNKNOWN is receipt.disposition
        failed = [log for log in logs if log["event"] == "gateway.attempt_failed"]
        assert [(1, "the worker died during the attempt")] == [
            (log["attempt"], log["raw"]) for log in failed
        ]
        assert (await queued.receipt()).delivered
        assert ["behind it"] == channel.texts("a")
        assert 1 == partition.restarts


async def _raise() -> None:
    raise Stray("a worker's task")


async def test_no_lane_is_served_twice_after_a_death(engine, say, autojump_clock):
    """What starts because a dead worker's tokens came back is not itself revived."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 1.0)], latency=3)
    async with engine(channel, partition_count=1) as gateway:
        partition = gateway._partitions[0]
        tickets = [
            await gateway.submit(say.message(f"room {n}", str(n), on_unknown="give_up"))
            for n in range(6)
        ]
        for _ in range(3):
            await trio.sleep(1.5)
            partition.workers.nursery.start_soon(_raise)
            await trio.lowlevel.checkpoint()
        for ticket in tickets:
            await ticket.receipt()
        made = [m.attempt.room for m in channel.made]
        assert len(set(made)) == len(made)


async def test_what_was_accepted_while_no_worker_lived_is_served_once(engine, say, autojump_clock):
    """The first held the only token meanwhile; what starts as that comes back is not revived."""
    channel = FakeChannel(latency=1)
    async with engine(channel, partition_count=1, attempts_per_instance=1) as gateway:
        partition = gateway._partitions[0]
        assert (await gateway.send("bot", "r", "before")).delivered
        partition.workers.nursery.start_soon(_raise)
        while partition.alive:
            await trio.lowlevel.checkpoint()
        tickets = [await gateway.submit(say.message(f"room {n}", str(n))) for n in range(3)]
        for ticket in tickets:
            receipt = await ticket.receipt()
            assert (True, 1) == (receipt.delivered, receipt.attempts)
        assert 1 == partition.restarts
    assert 4 == len(channel.made)
    assert all(b - a > 0.999 for a, b in pairwise(channel.times)), "one attempt at a time"


async def test_lanes_that_waited_while_the_death_came_are_not_forgotten(
    engine, say, autojump_clock, monkeypatch
):
    """The alarm that rang as the task died was taken from its heap: its lanes wait for nothing."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 2, 1.0)])
    async with engine(channel, partition_count=1) as gateway:
        scheduler = gateway._partitions[0].scheduler
        tickets = [await gateway.submit(say.message(f"room {n}")) for n in range(6)]
        whole, left = scheduler.try_start, [2]

        def dies(lane, now, woken, work):
            if woken is not None and left[0]:
                left[0] -= 1
                raise Stray("while serving a queue")
            return whole(lane, now, woken, work)

        monkeypatch.setattr(scheduler, "try_start", dies)
        with trio.fail_after(30):
            for ticket in tickets:
                assert (await ticket.receipt()).delivered
        assert 2 == gateway.statistics().partitions[0].restarts


async def test_too_many_restarts_end_the_gateway_loudly(say, autojump_clock, monkeypatch):
    """The 31st restart within a minute: `PartitionFailed`, alone, and every ticket is told."""
    outside = []

    async def wait_outside(ticket, task_status=trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        outside.append(await ticket.receipt())

    async def doomed(nursery) -> None:
        async with open_test_gateway(channel, partition_count=1) as gateway:
            await nursery.start(wait_outside, await gateway.submit(say.message()))
            partition = gateway._partitions[0]
            monkeypatch.setattr(partition, "_keep_time", _raise)
            partition.workers.nursery.start_soon(_raise)
            await trio.sleep_forever()

    channel = FakeChannel(script=say.script(1000))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            with pytest.raises(PartitionFailed, match="31 restarts"):
                await doomed(nursery)
    assert outside[0].disposition in (Disposition.UNKNOWN, Disposition.CANCELLED)


async def test_thirty_restarts_in_a_minute_are_borne(engine, say, autojump_clock, monkeypatch):
    async with engine(partition_count=1) as gateway:
        partition = gateway._partitions[0]
        for _ in range(3):
            for _ in range(30):
                await trio.sleep(1.5)
                partition.workers.nursery.start_soon(_raise)
            await trio.sleep(61)
        assert 90 == partition.restarts
        assert (await gateway.send("bot", "r", "x")).delivered


# -- a part of the contract that is easily forgotten


async def test_parts_of_a_crashed_envelope_say_each_what_became_of_it(engine, say, autojump_clock):
    class Three(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            return [Part(payload={"text": word}) for word in envelope.text.split()]

    channel = Three(script=say.script(None, {"wrong": 1}))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "one two three", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert ["delivered", "delivered", "not_sent"] == [p.outcome for p in receipt.parts]


async def test_an_adapter_without_edits_is_not_asked_for_one(engine, say, autojump_clock):
    channel = FakeChannel(traits=Traits(edit=False, delete=False))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        with pytest.raises(Invalid, match="has no edit"):
            await gateway.edit(receipt.ref, "y")
        with pytest.raises(Invalid, match="has no delete"):
            await gateway.delete(receipt.ref)


@pytest.mark.parametrize("durable", [False, True], ids=["in_memory", "durable"])
async def test_a_vote_that_stops_the_program_leaves_no_trace(say, durable, autojump_clock):
    """Its place and its key are free, for whoever catches that."""

    class Stops:
        stops = True

        @hookimpl
        def admit(self):
            if self.stops:
                raise SystemExit

    policy = Stops()
    outbox = MemoryOutbox() if durable else None
    async with open_test_gateway(
        plugins=[policy], outbox=outbox, outbox_capacity=1, partition_bound=1
    ) as gateway:
        with pytest.raises(SystemExit):
            await gateway.submit(say.message(key="k"))
        policy.stops = False
        assert 0 == sum(p.depth for p in gateway.statistics().partitions)
        with trio.fail_after(10):
            assert (await gateway.send("bot", "r", "another", key="k")).delivered
