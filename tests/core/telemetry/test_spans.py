"""One trace from the caller to each attempt, with the waits between them."""

import pytest
import trio
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from gateway_core import (
    Disposition,
    ErrorClass,
    Limit,
    OutboxError,
    Providers,
    Reason,
    Scope,
    Send,
    TelemetrySettings,
    Verdict,
)
from gateway_core.authors import TransportError
from gateway_core.monitoring.spans import Trace, context_of
from gateway_core.telemetry import STALL_DURATION
from gateway_core.telemetry.privacy import pseudonym
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox


def failure(reason=Reason.PLATFORM_ERROR, error_class=ErrorClass.RETRYABLE, **fields):
    return Failure(Verdict(error_class=error_class, reason=reason, **fields))


def saying(*errors):
    """A script: these errors first, then all is well."""
    left = list(errors)

    async def run(_):
        await trio.lowlevel.checkpoint()
        if left and (error := left.pop(0)) is not None:
            raise error

    return run


async def test_an_attempt_is_the_grandchild_of_the_callers_span(telling, sdk, autojump_clock):
    async with telling() as gateway:
        with sdk.tracer.start_as_current_span("application") as caller:
            await gateway.send("bot", "room", "hello")
    attempt, envelope = sdk.spans()
    assert caller.get_span_context().trace_id == envelope.context.trace_id
    assert caller.get_span_context().span_id == envelope.parent.span_id
    assert envelope.context.span_id == attempt.parent.span_id
    assert ("create fake", "send fake") == (envelope.name, attempt.name)
    assert ("PRODUCER", "CLIENT") == (envelope.kind.name, attempt.kind.name)


async def test_spans_carry_what_their_declaration_says(telling, sdk, autojump_clock):
    async with telling(partition_count=1) as gateway:
        receipt = await gateway.send("bot", "room", "hello")
    attempt, envelope = sdk.spans()
    common = {
        "messaging.system": "fake",
        "messaging.operation.name": "send",
        "gateway.instance": "bot",
        "gateway.partition": 0,
        "messaging.message.id": receipt.envelope_id,
        "messaging.destination.name": pseudonym("bot", "room"),
    }
    assert dict(envelope.attributes) == common | {
        "messaging.operation.type": "create",
        "gateway.class": "normal",
        "gateway.pressure": "nominal",
        "gateway.disposition": "delivered",
        "gateway.parts": 1,
        "gateway.attempts": 1,
    }
    assert dict(attempt.attributes) == common | {
        "messaging.operation.type": "send",
        "gateway.part": 0,
        "gateway.attempt": 1,
        "gateway.error_class": "none",
    }


async def test_every_try_is_a_span_and_the_wait_between_them_an_event(telling, sdk, autojump_clock):
    channel = FakeChannel(script=saying(failure(retry_after=7.0)), latency=1.0)
    async with telling(channel) as gateway:
        await gateway.send("bot", "room", "hello")
    first, second, envelope = sdk.spans()
    assert [1, 2] == [s.attributes["gateway.attempt"] for s in (first, second)]
    assert ("platform_error", StatusCode.ERROR) == (
        first.attributes["error.type"],
        first.status.status_code,
    )
    assert [{"gateway.wait.cause": "retry", "gateway.wait.seconds": 7.0}] == [
        dict(event.attributes) for event in envelope.events
    ]
    assert 1.0 == round((first.end_time - first.start_time) / 1e9, 6)
    assert 7.0 == round((second.start_time - first.end_time) / 1e9, 6)
    assert StatusCode.UNSET is envelope.status.status_code


async def causes_of(sdk):
    return [
        (event.attributes["gateway.wait.cause"], round(event.attributes["gateway.wait.seconds"], 3))
        for span in sdk.spans(kind="producer")
        for event in span.events
    ]


async def test_a_wait_is_told_by_its_cause(telling, sdk, autojump_clock):
    """Behind another of its room, at the room's limit, at the account's, and while suspended."""

    def limits(room, _):
        return (
            [Limit("account", 1, 5.0)]
            if room == "a"
            else [Limit(f"room {room}", 1, 3.0, of="room")]
        )

    async with (
        telling(FakeChannel(limits=limits), partition_count=1) as gateway,
        trio.open_nursery() as n,
    ):
        for _ in range(2):
            n.start_soon(gateway.send, "bot", "r", "hello")
        await trio.sleep(10)
        gateway.suspend("bot")
        n.start_soon(gateway.send, "bot", "s", "hello")
        await trio.sleep(4)
        gateway.resume("bot")
    assert [("room limit", 3.0), ("suspension", 4.0)] == await causes_of(sdk)


async def test_a_span_ends_in_error_where_nothing_was_delivered(telling, sdk, autojump_clock):
    refusal = failure(Reason.ROOM_GONE, ErrorClass.NON_RETRYABLE, scope=Scope.ROOM)
    async with telling(FakeChannel(script=saying(refusal))) as gateway:
        receipt = await gateway.send("bot", "room", "hello", raises=False)
    envelope = sdk.spans(kind="producer")[0]
    assert Disposition.REJECTED is receipt.disposition
    assert ("rejected", "room_gone") == (
        envelope.attributes["gateway.disposition"],
        envelope.attributes["error.type"],
    )
    assert StatusCode.ERROR is envelope.status.status_code


async def test_the_attempts_span_is_current_in_the_adapters_hook(telling, sdk, autojump_clock):
    seen = []

    async def look(_):
        await trio.lowlevel.checkpoint()
        seen.append(trace.get_current_span().get_span_context().span_id)

    async with telling(FakeChannel(script=look)) as gateway:
        await gateway.send("bot", "room", "hello")
        await gateway.send("bot", "room", "again")
    assert seen == [s.context.span_id for s in sdk.spans(kind="client")]


async def test_what_is_not_sampled_has_no_spans_but_its_context_travels(
    telling, unsampled, autojump_clock
):
    seen = []

    async def look(_):
        await trio.lowlevel.checkpoint()
        seen.append(trace.get_current_span().get_span_context())

    async with telling(FakeChannel(script=look), unsampled.providers) as gateway:
        await gateway.send("bot", "room", "hello")
    assert [] == unsampled.spans()
    assert [(True, False)] == [(c.is_valid, c.trace_flags.sampled) for c in seen]


async def test_the_trace_goes_on_in_the_next_life(telling, sdk, autojump_clock):
    outbox = MemoryOutbox()
    never = FakeChannel(limits=lambda _room, _op: [Limit("account", 1, 10_000.0)])
    with sdk.tracer.start_as_current_span("application") as caller:
        async with telling(never, outbox=outbox) as gateway:
            for _ in range(2):
                await gateway.submit(Send(instance_id="bot", external_room_id="room", text="hello"))
            await trio.sleep(1)
    async with telling(outbox=outbox, drain_timeout=60) as gateway:
        await trio.sleep(5)
    first, kept, second, end = sdk.spans()[0], *sdk.spans()[2:]
    assert {caller.get_span_context().trace_id} == {s.context.trace_id for s in sdk.spans()}
    assert ["gateway.waited", "gateway.stored"] == [event.name for event in kept.events]
    assert kept.context.span_id == end.parent.span_id
    assert end.context.span_id == second.parent.span_id
    assert first.context.span_id not in {kept.context.span_id, second.context.span_id}
    assert ("delivered", True) == (
        end.attributes["gateway.disposition"],
        end.attributes["gateway.recovered"],
    )


async def test_an_attempt_that_was_given_up_ends_with_its_envelope(telling, sdk, autojump_clock):
    async with telling(FakeChannel(latency=50.0)) as gateway:
        await gateway.submit(Send(instance_id="bot", external_room_id="room", text="hello"))
        await trio.sleep(1)
    attempt, envelope = sdk.spans()
    assert "unknown" == envelope.attributes["gateway.disposition"]
    assert attempt.end_time == envelope.end_time


async def test_a_changed_part_leaves_an_event(telling, sdk, autojump_clock):
    refusal = failure(Reason.BAD_FORMAT, ErrorClass.NON_RETRYABLE, transform="plain")
    async with telling(FakeChannel(script=saying(refusal))) as gateway:
        await gateway.send("bot", "room", "**hello**")
    envelope = sdk.spans(kind="producer")[0]
    assert [("gateway.transformed", "plain")] == [
        (e.name, e.attributes["gateway.degradation"]) for e in envelope.events
    ]


async def test_an_unknown_outcome_waits_for_the_instance_to_work(telling, sdk, autojump_clock):
    lost = TransportError("no answer", dispatched="unknown")
    async with telling(FakeChannel(script=saying(lost))) as gateway:
        receipt = await gateway.send("bot", "room", "hello")
    envelope = sdk.spans(kind="producer")[0]
    assert receipt.possible_duplicate
    assert envelope.attributes["gateway.possible_duplicate"]
    assert {"outcome unknown"} == {e.attributes["gateway.wait.cause"] for e in envelope.events}


async def test_room_ids_are_shown_or_left_out_as_configured(telling, sdk, autojump_clock):
    for rooms, shown in (("plain", "room"), ("none", None)):
        sdk.exporter.clear()
        async with telling(telemetry=TelemetrySettings(rooms=rooms)) as gateway:
            await gateway.send("bot", "room", "hello")
        assert {shown} == {s.attributes.get("messaging.destination.name") for s in sdk.spans()}


class Full(MemoryOutbox):
    """Keeps nothing."""

    async def append(self, entry, kept):
        await trio.lowlevel.checkpoint()
        raise OutboxError("the disk is full")


async def test_what_the_outbox_cannot_keep_has_a_span_that_says_so(telling, sdk, autojump_clock):
    async with telling(outbox=Full()) as gateway:
        with pytest.raises(OutboxError):
            await gateway.send("bot", "room", "hello")
    [envelope] = sdk.spans()
    assert ("OutboxError", StatusCode.ERROR) == (
        envelope.attributes["error.type"],
        envelope.status.status_code,
    )


async def test_spans_alone_will_do(telling, sdk, autojump_clock):
    async with telling(providers=Providers(tracers=sdk.providers.tracers)) as gateway:
        await gateway.send("bot", "room", "hello")
    assert 2 == len(sdk.spans())
    assert [] == sdk.points("gateway.envelopes.accepted")


@pytest.mark.parametrize(
    "text", ["", "nonsense", "00-zz-11-01", f"00-{0:032x}-{0:016x}-01", "00-1-2-3-4"]
)
def test_a_trace_that_nobody_can_read_is_none(text):
    """A row may be damaged; its envelope goes on in a trace of its own."""
    assert context_of(text) is None


def test_a_trace_is_written_and_read_as_the_w3c_has_it():
    parent = f"00-{7:032x}-{9:016x}-01"
    where = trace.get_current_span(context_of(f"{parent} vendor=1")).get_span_context()
    assert (7, 9, True) == (where.trace_id, where.span_id, where.trace_flags.sampled)
    assert f"{parent} vendor=1" == str(Trace(trace.NonRecordingSpan(where)))


async def test_what_waits_outside_memory_goes_on_in_its_trace(telling, sdk, autojump_clock):
    """The room has one place: the second waits on disk, and the third is cancelled there."""
    outbox = MemoryOutbox()
    message = Send(instance_id="bot", external_room_id="room", text="hello")
    with sdk.tracer.start_as_current_span("application") as caller:
        async with telling(FakeChannel(latency=5.0), outbox=outbox, room_bound=1) as gateway:
            _, second, third = [await gateway.submit(message) for _ in range(3)]
            assert await gateway.cancel(third)
            assert (await second.receipt()).delivered
    assert {caller.get_span_context().trace_id} == {s.context.trace_id for s in sdk.spans()}
    ends = {
        ticket.id: [
            (s.attributes.get("gateway.disposition"), s.attributes.get("gateway.recovered", False))
            for s in sdk.spans(kind="producer")
            if s.attributes["messaging.message.id"] == ticket.id
        ]
        for ticket in (second, third)
    }
    assert {
        second.id: [(None, False), ("delivered", True)],
        third.id: [(None, False), ("cancelled", True)],
    } == ends


async def test_attempts_by_class_add_up_to_those_made(telling, sdk, autojump_clock):
    channel = FakeChannel(script=saying(failure(), None, failure(retry_after=1.0)))
    async with telling(channel) as gateway:
        for room in "abc":
            await gateway.send("bot", room, "hello")
        statistics = gateway.statistics()
    assert 5 == statistics.attempts == sum(statistics.instances[0].attempts.values())


async def test_no_metric_grows_with_the_rooms(telling, sdk, autojump_clock):
    """A hundred rooms of a partition have as many label sets as one."""
    counts = []
    for rooms in (1, 100):
        async with telling(partition_count=1) as gateway:
            for number in range(rooms):
                await gateway.send("bot", f"room-{number}", "hello")
            data = sdk.reader.get_metrics_data().resource_metrics
            counts.append(
                {
                    metric.name: len(metric.data.data_points)
                    for resource in data
                    for scope in resource.scope_metrics
                    for metric in scope.metrics
                    if metric.name != STALL_DURATION.name  # of real time: a busy machine stalls
                }
            )
    assert counts[0] == counts[1]
