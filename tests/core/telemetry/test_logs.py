"""An envelope's life in the log, at debug level, bound to what it is about."""

import logging
from contextlib import contextmanager

import pytest
import structlog
import trio
from listening import listening
from structlog.testing import capture_logs

from gateway_core import ErrorClass, Invalid, Reason, Send, Verdict
from gateway_core.authors import hookimpl
from gateway_core.monitoring.observer import NOBODY
from gateway_core.telemetry import EVENTS
from gateway_core.telemetry.privacy import pseudonym
from gateway_core.testing import Failure, FakeChannel, open_test_gateway


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
    about = {"envelope": receipt.envelope_id, "instance": "bot", "partition": 0}
    room = {"room": pseudonym("bot", "room")}
    tried = {"operation": "send"}
    assert [
        ("gateway.envelope_accepted", "debug", about | room | tried | {"class": "normal"}),
        ("gateway.attempt_started", "debug", about | tried | {"attempt": 1}),
        (
            "gateway.attempt_failed",
            "info",
            about
            | tried
            | {
                "attempt": 1, "reason": "platform_error", "scope": "message", "raw": "",
                "then": "retry", "wait": 2.0,
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
            assert gateway._observer is NOBODY
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
