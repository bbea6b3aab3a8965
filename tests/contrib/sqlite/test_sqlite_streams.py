"""Streams in a file: what failed of them can be tried again, whole."""

from __future__ import annotations

import shutil

import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import DeliveryError, Disposition, ErrorClass, Reason, Scope, Secret, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

REFUSED = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.FORBIDDEN,
    scope=Scope.ROOM,
    dispatched="no",
    raw="no",
)


async def refuse(_attempt):
    raise Failure(REFUSED)


def outbox_at(path, keys):
    settings = SqliteSettings(in_thread=False)
    return SqliteOutbox(path, settings, wall_clock=virtual_wall, keys=keys)


async def killed_once_it_is_reopened(path, keys):
    """A process that serves the request, and does nothing more; what it leaves, as another file."""
    heard = []
    async with outbox_at(path, keys) as outbox:
        outbox.requested = heard.append
        with trio.fail_after(60):
            while not heard:  # noqa: ASYNC110 - an outbox tells nobody that it looks
                await trio.sleep(1)
        left = path.parent.parent / f"left by {path.parent.name}"
        shutil.copytree(path.parent, left)
    assert ["retry"] == [request.kind for request in heard]
    return left / path.name


@pytest.mark.parametrize("keys", [(), (Secret("k" * 43 + "="),)], ids=["plain", "sealed"])
@pytest.mark.parametrize("where", ["in its run", "in the next", "in one that is killed at once"])
async def test_an_operator_tries_a_failed_stream_again(tmp_path, autojump_clock, keys, where):
    """All of its text, whatever was shown before: the message that stands is completed."""
    path, channel = tmp_path / "outbox.db", FakeChannel()

    def ask(ticket):
        with Operator(path, keys) as operator:
            operator.ask("retry", virtual_wall(), envelope_id=ticket.id)

    async with open_test_gateway(channel, outbox=outbox_at(path, keys)) as gateway:
        opening = gateway.stream(("bot", "room"), key="k")
        out = await opening.__aenter__()
        out.write("one ")
        await trio.sleep(3)
        out.write("two ")
        channel.script = refuse
        with pytest.raises(DeliveryError):
            await out.finish("one two three")
        assert out.ticket is not None
        if where == "in its run":
            channel.script = None
            ask(out.ticket)
            await trio.sleep(10)
    if where != "in its run":
        channel.script = None
        ask(out.ticket)
        if where == "in one that is killed at once":
            path = await killed_once_it_is_reopened(path, keys)
        async with open_test_gateway(channel, outbox=outbox_at(path, keys)) as gateway:
            await trio.sleep(10)
            status = await gateway.status(out.ticket.id)
            assert status is not None
            assert status.receipt is not None
            assert status.receipt.disposition is Disposition.DELIVERED
    assert channel.texts("room") == ["one two three"]
