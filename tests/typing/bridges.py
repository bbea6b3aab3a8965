"""What the faces for asyncio and for code that blocks give, as types: checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

from gateway_core import (
    Delivered,
    Edit,
    Ended,
    MessageRef,
    Progress,
    Receipt,
    Statistics,
    Status,
    aio,
    blocking,
)
from gateway_core.blocking.handles import Items


async def words() -> AsyncIterator[str]:
    """Chunks of a stream."""
    yield "one"


async def on_asyncio(file: Path, *, raises: bool) -> None:
    """What each verb gives where it is awaited."""
    async with aio.open_gateway(file, plugins=[]) as gateway:
        assert_type(gateway, aio.Gateway)
        sent = await gateway.send("bot", "room", "text", key="k", ttl=60, on_cancel="detach")
        assert_type(sent, Delivered)
        assert_type(sent.ref, MessageRef)
        assert_type(await gateway.send("bot", "room", "text", raises=raises), Receipt)
        assert_type(await gateway.edit(sent.ref, "new", interim=True), Delivered)
        ticket = await gateway.enqueue("bot", "room", "text", order="none")
        assert_type(ticket, aio.Ticket)
        assert_type(await gateway.edit(ticket, "new", raises=raises), Receipt)
        assert_type(ticket.ref, MessageRef)
        assert_type(await ticket.receipt(), Receipt)
        assert_type(await gateway.delete(ticket), Receipt)
        assert_type(await gateway.react(ticket, "👍", ttl=9, key="k"), Receipt)
        assert_type(await gateway.unreact(sent.ref, "👍", raises=raises), Receipt)
        assert_type(await gateway.pin(sent.ref, silent=True, on_cancel="detach"), Receipt)
        assert_type(await gateway.unpin(ticket, priority="urgent"), Receipt)
        assert_type(await gateway.status(ticket), Status | None)
        assert_type(await gateway.cancel(ticket), bool)
        assert_type(gateway.endings(), AsyncIterator[Ended])
        assert_type(gateway.statistics(), Statistics)
        change = Edit(instance_id="bot", external_room_id="room", target=ticket.ref, text="new")
        assert_type(await gateway.submit(change, wait=False), aio.Ticket)
        assert_type(await gateway.reply({}, "text", ephemeral=True, on_cancel="detach"), Delivered)
        assert_type(await gateway.reply({}, "text", raises=raises), Receipt)
        async with gateway.typing({}) as nothing, gateway.stream({}, max_text=9) as out:
            assert_type(nothing, None)
            assert_type(out, aio.Stream)
            assert_type(out.ticket, aio.Ticket | None)
            assert_type(await out.finish(extra={}), Delivered)
        assert_type(await gateway.stream({}, words(), on_error="keep"), Delivered)
        job = await gateway.broadcast("bot", ["room"], "text", not_before=2e9)
        assert_type(job, aio.Job)
        assert_type(await job.wait(), Progress)
        assert_type(job.failed(), AsyncIterator[Receipt])
        assert_type(await gateway.submit_many([change], group="g"), aio.Job)
        assert_type(await gateway.group("id"), aio.Job | None)


def that_blocks(file: Path, *, raises: bool) -> None:
    """The same without async."""
    with blocking.open_gateway(file, plugins=[]) as gateway:
        assert_type(gateway, blocking.Gateway)
        sent = gateway.send("bot", "room", "text", key="k", ttl=60, timeout=1)
        assert_type(sent, Delivered)
        assert_type(gateway.send("bot", "room", "text", raises=raises, timeout=None), Receipt)
        assert_type(gateway.edit(sent.ref, "new", interim=True), Delivered)
        ticket = gateway.enqueue("bot", "room", "text", timeout=0.5)
        assert_type(ticket, blocking.Ticket)
        assert_type(ticket.receipt(timeout=1), Receipt)
        assert_type(gateway.delete(ticket, timeout=1), Receipt)
        assert_type(gateway.react(ticket, "👍", ttl=9, timeout=1), Receipt)
        assert_type(gateway.unreact(sent.ref, "👍", raises=raises), Receipt)
        assert_type(gateway.pin(sent.ref, silent=True, timeout=1), Receipt)
        assert_type(gateway.unpin(ticket, priority="urgent"), Receipt)
        assert_type(gateway.status(ticket), Status | None)
        assert_type(gateway.endings(), Items[Ended])
        assert_type(next(gateway.endings()), Ended)
        assert_type(gateway.statistics(), Statistics)
        assert_type(gateway.reply({}, "text", quote=False, timeout=1), Delivered)
        assert_type(gateway.reply({}, "text", raises=raises), Receipt)
        with gateway.typing({}) as nothing, gateway.stream({}, timeout=9, silent=True) as out:
            assert_type(nothing, None)
            assert_type(out, blocking.Stream)
            assert_type(out.finish("whole", timeout=1), Delivered)
        assert_type(gateway.stream({}, ["one", "two"]), Delivered)
        job = gateway.broadcast("bot", ["room"], "text", ttl=9, timeout=1)
        assert_type(job, blocking.Job)
        assert_type(job.wait(timeout=1), Progress)
        assert_type(job.failed(), Items[Receipt])
        assert_type(gateway.groups("bot", timeout=1), list[blocking.Job])
    blocking.celery.connect(gateway)
