"""One trace from the caller's span to each attempt, across a restart on the SQLite outbox."""

import pytest
import trio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import ErrorClass, Providers, Reason, Send, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def providers(exporter):
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return Providers(tracers=tracers)


@pytest.fixture
def life(tmp_path, providers):
    """Opens a gateway on the file, in virtual time."""

    def opened(channel, **settings):
        outbox = SqliteOutbox(
            tmp_path / "outbox.db", SqliteSettings(in_thread=False), wall_clock=virtual_wall
        )
        return open_test_gateway(channel, outbox=outbox, providers=providers, **settings)

    return opened


def failing():
    down = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.PLATFORM_ERROR, retry_after=50.0)

    async def run(_):
        await trio.sleep(1)
        raise Failure(down)

    return FakeChannel(script=run)


async def test_one_trace_across_a_restart(life, providers, exporter, autojump_clock):
    """A try fails, the gateway closes during the wait, and the next life tries again."""
    tracer = providers.tracers.get_tracer("application")
    with tracer.start_as_current_span("request") as caller:
        async with life(failing(), drain_timeout=0) as gateway:
            ticket = await gateway.submit(
                Send(instance_id="bot", external_room_id="room", text="hello")
            )
            await trio.sleep(10)
    async with life(FakeChannel(), drain_timeout=300) as gateway:
        await trio.sleep(100)
        assert (await gateway.status(ticket.id)).receipt.delivered
    spans = {span.name: [] for span in exporter.get_finished_spans()}
    for span in exporter.get_finished_spans():
        spans[span.name].append(span)
    first, second = spans["create fake"]
    failed, delivered = spans["send fake"]
    trace_id = caller.get_span_context().trace_id
    assert {trace_id} == {s.context.trace_id for s in (first, second, failed, delivered)}
    assert caller.get_span_context().span_id == first.parent.span_id
    assert first.context.span_id == failed.parent.span_id == second.parent.span_id
    assert second.context.span_id == delivered.parent.span_id
    assert [1, 2] == [s.attributes["gateway.attempt"] for s in (failed, delivered)]
    assert {ticket.id} == {
        s.attributes["messaging.message.id"] for s in (first, second, failed, delivered)
    }


async def test_what_was_not_sampled_stays_so_in_the_next_life(life, exporter, autojump_clock):
    """The caller's decision is stored with the envelope."""
    unsampled = TracerProvider(sampler=ALWAYS_OFF)
    with unsampled.get_tracer("application").start_as_current_span("request"):
        async with life(failing(), drain_timeout=0) as gateway:
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text="hello"))
            await trio.sleep(10)
    async with life(FakeChannel(), drain_timeout=300):
        await trio.sleep(100)
    assert () == exporter.get_finished_spans()
