"""An envelope's life in the log, at debug level, bound to what it is about."""

import logging
from contextlib import contextmanager
from itertools import pairwise

import pytest
import structlog
import trio
import trio.testing
from breaking import kill_a_partition
from listening import listening
from structlog.testing import capture_logs

from gateway_core import (
    Call,
    ErrorClass,
    Instance,
    Invalid,
    Reason,
    Send,
    TelemetrySettings,
    Verdict,
)
from gateway_core.authors import TransportError, hookimpl
from gateway_core.monitoring.observer import NOBODY
from gateway_core.telemetry import EVENTS
from gateway_core.telemetry.privacy import pseudonym
from gateway_core.testing import Failure, FakeChannel, FakeSettings, failing, open_test_gateway


@contextmanager
def shown(level):
    """The events that pass at a level that somebody chose."""
    events = []
    with listening(lambda *event: events.append(event), level=level):
        yield events


def failing_once():
    left = [
        Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.PLATFORM_ERROR, retry_after=2.0)
    ]

    async def run(_):
        await trio.lowlevel.checkpoint()
        if left:
            raise Failure(left.pop())

    return FakeChannel(script=run, latency=0.5)


async def test_the_life_of_an_envelope(autojump_clock):
    with shown(logging.DEBUG) as events:
        async with open_test_gateway(failing_once(), partition_count=1) as gateway:
            receipt = await gateway.send("bot", "room", "hello")
    about = {
        "envelope": receipt.envelope_id,
        "instance": "bot",
        "partition": 0,
        "pressure": "nominal",
    }
    room = {"room": pseudonym("bot", "room")}
    tried = {"operation": "send"}
    assert [
        ("gateway.envelope_accepted", "debug", about | room | tried | {"class": "normal"}),
        ("gateway.attempt_started", "debug", about | tried | {"attempt": 1}),
        (
            "gateway.attempt_failed",
            "info",
            about
            | room
            | tried
            | {
                "attempt": 1, "reason": "platform_error", "scope": "message",
                "raw": "Failure: the script's verdict", "then": "retry", "wait": 2.0,
            },
        ),
        ("gateway.attempt_started", "debug", about | tried | {"attempt": 2}),
        ("gateway.attempt_answered", "debug", about | tried | {"attempt": 2, "seconds": 0.5}),
        (
            "gateway.envelope_ended",
            "debug",
            about | {"disposition": "delivered", "attempts": 2, "seconds": 3.0},
        ),
    ] == events[1:]  # fmt: skip


@pytest.mark.parametrize("scope", ["message", "room"])
async def test_a_refusal_that_is_repeated_says_how_long_is_really_waited(scope, autojump_clock):
    """The platform says "at once", again and again: the gateway does not believe it for long."""
    started = []

    async def run(_):
        started.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if len(started) < 6:
            limited = Reason.RATE_LIMITED
            raise Failure(
                Verdict(
                    error_class=ErrorClass.RETRYABLE, reason=limited, scope=scope, retry_after=0.0
                )
            )

    with shown(logging.INFO) as events:
        async with open_test_gateway(FakeChannel(script=run)) as gateway:
            await gateway.send("bot", "room", "hello")
    told = [fields["wait"] for name, _, fields in events if name == "gateway.attempt_failed"]
    assert 5 == len(told)
    assert told[-1] > 0
    assert told == pytest.approx([b - a for a, b in pairwise(started)], abs=0.001)


async def test_a_refusal_names_instance_and_error_alone(autojump_clock):
    with shown(logging.DEBUG) as events:
        async with open_test_gateway() as gateway:
            with pytest.raises(Invalid):
                await gateway.submit(Send(instance_id="bot", external_room_id="room", text=""))
    fields = {"instance": "bot", "error": "Invalid"}
    assert ("gateway.envelope_refused", "debug", fields) in events


async def test_debug_events_are_logged_only_where_somebody_chose_to_see_them(autojump_clock):
    with shown(logging.INFO) as events:
        async with open_test_gateway() as gateway:
            assert gateway._parts.observer is NOBODY
            await gateway.send("bot", "room", "hello")
    assert ["gateway.outbox_in_memory"] == [name for name, _, _ in events]


def test_events_have_names_of_their_own():
    assert len(EVENTS) == len(set(EVENTS))
    assert all(event.startswith("gateway.") for event in EVENTS)
    assert all(event.meaning for event in EVENTS)


@pytest.mark.parametrize(
    "broken", [OSError(28, "No space left on device"), UnicodeEncodeError("utf-8", "x", 0, 1, "no")]
)
async def test_a_log_that_cannot_be_written_changes_nothing_else(autojump_clock, broken):
    def fail(*_: object) -> None:
        raise broken

    tried = []

    async def once_down(attempt):
        tried.append(attempt)
        if len(tried) == 1:
            raise Failure(Verdict(error_class="retryable", reason="unreachable", scope="instance"))

    structlog.configure(processors=[fail])
    try:
        async with open_test_gateway(FakeChannel(script=once_down)) as gateway:
            receipt = await gateway.send("bot", "room", "hello")
    finally:
        structlog.reset_defaults()
    assert (2, False) == (receipt.attempts, receipt.possible_duplicate)


async def test_a_hook_that_is_broken_is_logged_for_the_1st_10th_and_100th_message(autojump_clock):
    class Broken:
        GATEWAY_CONTRACT = 1

        @hookimpl
        def after_disposition(self):
            raise KeyError("text")

    with capture_logs() as lines:
        async with open_test_gateway(FakeChannel(), plugins=[Broken()]) as gateway:
            for number in range(250):
                await gateway.send("bot", f"room {number}", "hello")
            errors = gateway.statistics().hook_errors
    told = [line["times"] for line in lines if line["event"] == "gateway.hook_failed"]
    assert [1, 10, 100] == told
    assert [250] == list(errors.values())


# -- what an operator reads at night


@contextmanager
def told(*wanted):
    """The fields of the events of these names, in order."""
    with capture_logs() as lines:
        found = []
        yield found
    names = [f"gateway.{name}" for name in wanted]
    found += [
        {key: value for key, value in line.items() if key != "log_level"}
        for line in lines
        if line["event"] in names
    ]


def refusing(**fields):
    """Says no to everything."""

    async def run(_):
        raise Failure(Verdict(error_class="non_retryable", reason="bad_request", **fields))

    return FakeChannel(script=run)


@pytest.mark.parametrize(
    ("rooms", "shown"), [("plain", "C1"), ("hash", pseudonym("bot", "C1")), ("none", None)]
)
async def test_what_failed_names_its_room_as_the_privacy_setting_allows(
    rooms, shown, autojump_clock
):
    with told("attempt_failed", "envelope_failed") as events:
        async with open_test_gateway(
            refusing(), telemetry=TelemetrySettings(rooms=rooms)
        ) as gateway:
            await gateway.send("bot", "C1", "hello", raises=False)
    assert ["gateway.attempt_failed", "gateway.envelope_failed"] == [e["event"] for e in events]
    assert [shown, shown] == [event["room"] for event in events]


def end(by, event="instance_resumed"):
    return {"event": f"gateway.{event}", "instance": "bot", "by": by}


async def test_the_end_of_a_suspension_is_logged_whoever_ends_it(autojump_clock):
    with told("instance_resumed") as events:
        async with open_test_gateway() as gateway:
            gateway.resume("bot")  # nothing was wrong with it
            gateway.suspend("bot")
            gateway.resume("bot")
            gateway.resume("bot")
            gateway.suspend("bot")
            gateway.replace_instance(Instance("bot", "fake", FakeSettings()))
            gateway.replace_instance(Instance("bot", "fake", FakeSettings()))
            gateway.suspend("bot")
            await gateway.remove_instance("bot")
            gateway.add_instance(Instance("bot", "fake", FakeSettings()))
            await gateway.remove_instance("bot")
    assert [end("resume"), end("replace_instance"), end("remove_instance")] == events


async def test_a_suspension_ends_with_the_gateway(autojump_clock):
    """The next run suspends it anew where that is still so; else nothing would clear an alert."""
    with told("instance_suspended", "instance_resumed", "unfinished_at_close") as events:
        async with open_test_gateway(instances=["bot", "other"], drain_timeout=0.0) as gateway:
            gateway.suspend("bot")
            await gateway.enqueue("bot", "room", "hello")
    kinds = ["instance_suspended", "unfinished_at_close", "instance_resumed"]
    assert [f"gateway.{kind}" for kind in kinds] == [event["event"] for event in events]
    assert end("close") == events[-1]


@pytest.mark.parametrize(("takes", "said"), [(0.5, []), (3.0, [(1, 20.0)])])
async def test_a_drain_that_takes_longer_than_a_second_says_so(autojump_clock, takes, said):
    """Else somebody who ends a program sees it do nothing, and stops it hard."""

    async def slowly(_):
        await trio.sleep(takes)

    channel = FakeChannel(script=slowly)
    with told("draining", "unfinished_at_close") as events:
        async with open_test_gateway(channel, drain_timeout=20.0) as gateway:
            await gateway.enqueue("bot", "room", "hello")
            await trio.lowlevel.checkpoint()
    assert said == [(event["unfinished"], event["timeout"]) for event in events]


async def test_a_suspension_that_a_probe_ends_is_logged_once(autojump_clock):
    left = [Verdict(error_class="fatal", reason="unauthorized", scope="instance")]

    async def run(_):
        if left:
            raise Failure(left.pop())

    with told("instance_suspended", "instance_resumed") as events:
        async with open_test_gateway(FakeChannel(script=run)) as gateway:
            await gateway.enqueue("bot", "room", "hello")
            await trio.sleep(600)
    assert ["gateway.instance_suspended", "gateway.instance_resumed"] == [
        e["event"] for e in events
    ]
    assert end("probe") == events[1]


async def test_a_suspension_by_hand_is_logged_over_a_refusal_too(autojump_clock):
    """And once for each reason."""
    revoked = Verdict(error_class="fatal", reason="unauthorized", scope="instance", raw="revoked")

    async def refuse(_):
        raise Failure(revoked)

    with told("instance_suspended") as events:
        async with open_test_gateway(Unprobed(script=refuse), drain_timeout=0.0) as gateway:
            await gateway.enqueue("bot", "room", "hello")
            await trio.sleep(1)
            for why in ("rotating", "rotating", "tomorrow"):
                gateway.suspend("bot", why)
    assert [("unauthorized", "revoked"), ("suspended", "rotating"), ("suspended", "tomorrow")] == [
        (event["reason"], event["raw"]) for event in events
    ]


class Unprobed(FakeChannel):
    """A channel without the probe hook: only attempts can find out."""

    probe = None


@pytest.mark.parametrize(
    ("kind", "by"), [(FakeChannel, "probe"), (Unprobed, "attempt")], ids=["probe", "attempt"]
)
async def test_the_end_of_an_outage_is_logged_whoever_finds_it(kind, by, autojump_clock):
    """An alert that `circuit_opened` raised has something that clears it."""
    channel = kind()

    async def run(_):
        if trio.current_time() < 30:
            raise TransportError("down", dispatched="no")

    async def probe_fails():
        channel.probe_error = TransportError("down", dispatched="no")
        await trio.sleep(30)
        channel.probe_error = None

    channel.script = run
    with told("circuit_opened", "circuit_closed") as events:
        async with open_test_gateway(channel) as gateway, trio.open_nursery() as nursery:
            nursery.start_soon(probe_fails)
            for n in range(40):
                await gateway.enqueue("bot", f"room{n}", "hello")
            await trio.sleep(200)
    assert {"event": "gateway.circuit_opened", "instance": "bot"} == events[0]
    assert end(by, "circuit_closed") == events[-1]
    kinds = [event["event"] for event in events]
    assert kinds.count("gateway.circuit_opened") == kinds.count("gateway.circuit_closed")


async def test_an_outage_is_over_with_its_instance_and_with_the_gateway(autojump_clock):
    async def run(_):
        raise TransportError("down", dispatched="no")

    with told("circuit_opened", "circuit_closed", "instance_resumed") as events:
        async with open_test_gateway(Unprobed(script=run), instances=["bot", "other"]) as gateway:
            for n in range(80):
                await gateway.enqueue(("bot", "other")[n % 2], f"room{n}", "hello")
            await trio.sleep(5)
            await gateway.remove_instance("bot")
    ours = [event for event in events if event["instance"] == "bot"]
    assert end("remove_instance", "circuit_closed") == ours[-1]
    others = [event for event in events if event["instance"] == "other"]
    assert end("close", "circuit_closed") | {"instance": "other"} == others[-1]
    assert not [event for event in events if event["event"] == "gateway.instance_resumed"]


async def test_an_outage_that_ends_in_a_suspension_is_over_with_it(autojump_clock):
    async def run(_):
        raise TransportError("down", dispatched="no")

    with told("circuit_opened", "circuit_closed", "instance_resumed") as events:
        async with open_test_gateway(Unprobed(script=run)) as gateway:
            for n in range(40):
                await gateway.enqueue("bot", f"room{n}", "hello")
            await trio.sleep(5)
            gateway.suspend("bot")
            gateway.resume("bot")
    assert [
        {"event": "gateway.circuit_opened", "instance": "bot"},
        end("resume"),
        end("resume", "circuit_closed"),
    ] == events[:3]


@pytest.mark.parametrize(
    ("texts", "shown"), [(False, "RuntimeError"), (True, "RuntimeError: a bug of ours")]
)
async def test_why_a_partition_died_is_told(texts, shown, autojump_clock):
    """The class and the place of the error, not of the group around it; its words if allowed."""
    with told("partition_restarted") as events:
        async with open_test_gateway(
            partition_count=1, telemetry=TelemetrySettings(texts=texts)
        ) as gateway:
            await trio.testing.wait_all_tasks_blocked()
            kill_a_partition(gateway)
            await trio.sleep(1)
    (event,) = events
    assert shown == event["error"]
    assert event["where"].startswith("breaking.py:")


async def test_a_hook_that_raises_a_group_is_named_by_the_error_in_it(autojump_clock):
    class Broken:
        @hookimpl
        def after_disposition(self):
            raise ExceptionGroup("several", [ExceptionGroup("inner", [KeyError("x")])])

    with told("hook_failed") as events:
        async with open_test_gateway(plugins=[Broken()]) as gateway:
            await gateway.send("bot", "room", "hello")
    assert ["KeyError"] == [event["error"] for event in events]


async def test_a_hook_that_raises_is_told_with_the_line_of_the_plugin(autojump_clock):
    """Core's converter of `error_class` raised, in Python's `enum`: the mistake is a word here."""

    class Broken:
        @hookimpl
        def classify_error(self):
            return Verdict(error_class="retry", reason="rate_limited")

    async def refuse(_):
        raise RuntimeError("refused")

    channel = FakeChannel(script=refuse)
    with told("hook_failed") as events:
        async with open_test_gateway(channel, plugins=[Broken()]) as gateway:
            await gateway.send("bot", "room", "hello", raises=False)
    places = [(event["hook"], event["where"].partition(":")[0]) for event in events]
    assert [("classify_error", "test_logs.py")] == places


@pytest.mark.parametrize("method", [None, "react"])
async def test_an_error_of_an_adapter_that_nobody_classifies_is_told_with_its_hook(
    method, autojump_clock
):
    """Its author finds out which line of which hook of which plugin to look at."""

    class Careless(FakeChannel):
        async def _perform(self):
            raise KeyError("id")

        @hookimpl
        async def send(self):
            await self._perform()

        @hookimpl
        async def call(self):
            await self._perform()

    place = {"instance_id": "bot", "external_room_id": "room"}
    what = Send(**place, text="hello") if method is None else Call(**place, method=method)
    with told("hook_failed") as events:
        async with open_test_gateway(Careless()) as gateway:
            for _ in range(2):
                await (await gateway.submit(what)).receipt()
    (event,) = events
    assert ("call" if method else "send") == event["hook"]
    assert event["where"].startswith("test_logs.py:")
    assert ("KeyError", 1) == (event["error"], event["times"])


async def test_a_probe_with_a_mistake_is_told_as_an_attempt_is(autojump_clock):
    """The account stays suspended, and who looks into the log sees which line keeps it so."""

    class Careless(FakeChannel):
        @hookimpl
        async def probe(self):
            raise KeyError("who")

    dead = Verdict(error_class="fatal", reason="unauthorized", scope="instance")
    with told("hook_failed", "probe_failed") as events:
        async with open_test_gateway(Careless(script=failing(dead))) as gateway:
            await gateway.enqueue("bot", "room", "hello")
            await trio.sleep(400)
    mistakes = [event for event in events if event["event"] == "gateway.hook_failed"]
    assert [("probe", 1), ("probe", 10)] == [(it["hook"], it["times"]) for it in mistakes]
    assert mistakes[0]["where"].startswith("test_logs.py:")
    probes = [event for event in events if event["event"] == "gateway.probe_failed"]
    assert [1, 10] == [event["times"] for event in probes]
    assert ("bot", "unclassified", "KeyError: 'who'") == (
        probes[0]["instance"], probes[0]["reason"], probes[0]["raw"]
    )  # fmt: skip


async def test_a_probe_that_hangs_is_told(autojump_clock):
    class Hanging(FakeChannel):
        @hookimpl
        async def probe(self):
            await trio.sleep_forever()

    dead = Verdict(error_class="fatal", reason="unauthorized", scope="instance")
    with told("hook_failed", "probe_failed") as events:
        async with open_test_gateway(Hanging(script=failing(dead)), attempt_timeout=4.0) as gateway:
            await gateway.enqueue("bot", "room", "hello")
            await trio.sleep(8)
    (event,) = events
    assert "the probe did not end within 4 s" == event["raw"]


async def test_words_of_the_platform_that_an_adapter_does_not_know_are_no_mistake(autojump_clock):
    new = Verdict(error_class="non_retryable", reason="unclassified", raw="no_such_thing")
    with told("hook_failed") as events:
        async with open_test_gateway(FakeChannel(script=failing(new))) as gateway:
            await gateway.send("bot", "room", "hello", raises=False)
    assert [] == list(events)


async def test_a_transport_that_fails_is_no_mistake_of_a_hook(autojump_clock):
    left = [TransportError("reset", dispatched="no")]

    async def reset(_):
        if left:
            raise left.pop()

    channel = FakeChannel(script=reset)
    with told("hook_failed") as events:
        async with open_test_gateway(channel) as gateway:
            await gateway.send("bot", "room", "hello")
    assert [] == list(events)
