"""What the public face gives, as types: checked by `mypy --strict`, never run.

A name that loses its type, or an argument that is renamed, fails here before it fails a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import assert_type

from gateway_core import (
    Button,
    Delivered,
    DeliveryError,
    Disposition,
    Edit,
    Envelope,
    Gateway,
    GatewayConfig,
    Instance,
    KeyRef,
    MessageRef,
    Problem,
    Reason,
    Receipt,
    Send,
    Status,
    Ticket,
    Verdict,
    from_json,
    load_config,
    open_gateway,
)
from gateway_core.authors import Answer, Attempt, Delay, OnCancel, Pressure, Rows, hookimpl


class Policy:
    """Hookimpls keep their own types: the marker does not hide them."""

    @hookimpl
    def validate(self, envelope: Envelope) -> Sequence[Problem] | None:
        """Sync and typed."""
        return [Problem("text", "empty")] if isinstance(envelope, Send) else None

    @hookimpl
    def rewrite(self, envelope: Envelope) -> Envelope | None:
        """Sync and typed."""
        return envelope if isinstance(envelope, Send) else None

    @hookimpl
    def admit(self, envelope: Envelope, pressure: Pressure) -> str | Delay | None:
        """Sync and typed."""
        if envelope.priority == "bulk":
            return Delay(until=2e9)
        return "shed" if pressure.occupancy > 1 and envelope.key is None else None


@hookimpl
async def send(instance: Instance, attempt: Attempt) -> Answer:
    """Async and typed."""
    return Answer(message_id=f"{instance.id}:{attempt.number}")


def blocked(error: DeliveryError) -> bool:
    """The reason is there even if the receipt has no verdict."""
    assert_type(error.reason, Reason | None)
    return error.reason == "forbidden"


async def embed() -> None:
    """The calls of the tutorial and a few more."""
    config = load_config("gateway.toml")
    assert_type(config, GatewayConfig)
    async with open_gateway(config, plugins=[Policy()], rng=Random("seed")) as gateway:
        assert_type(gateway, Gateway)
        receipt = await gateway.send(
            "support-bot",
            "C024BE91L",
            "text",
            thread="1700000000.000100",
            reply_to=None,
            key="key",
            ttl=600,
            priority="urgent",
            order="none",
            on_unknown="give_up",
            extra={"blocks": []},
            raises=False,
        )
        assert_type(receipt, Receipt)
        told(receipt)
        await verbs(gateway, raises=bool(receipt.parts), on_cancel="detach")
        envelope = Send(instance_id="support-bot", external_room_id="C024BE91L", text="text")
        ticket = await gateway.submit(envelope, wait=False)
        assert_type(ticket, Ticket)
        assert_type(ticket.ref, MessageRef)
        change = Edit(
            instance_id="support-bot", external_room_id="C024BE91L", target=ticket.ref, text="new"
        )
        assert_type(await (await gateway.submit(change)).receipt(), Receipt)


async def verbs(gateway: Gateway, *, raises: bool, on_cancel: OnCancel) -> None:
    """What each verb returns: a ref only where the ending is known to be a delivery."""
    sent = await gateway.send("support-bot", "C024BE91L", "text", on_cancel=on_cancel)
    assert_type(sent, Delivered)
    assert_type(sent.ref, MessageRef)
    rows = [[Button("Yes", "yes", style="primary")], [Button("Guide", url="https://a.example")]]
    asked = await gateway.send("support-bot", "C024BE91L", "text", buttons=rows)
    assert_type(await gateway.edit(asked.ref, buttons=rows[0]), Delivered)
    assert_type(await gateway.edit(asked.ref, "text", buttons=()), Delivered)
    assert_type(
        Send(instance_id="bot", external_room_id="7", text="text", buttons=rows[0]).buttons, Rows
    )
    assert_type(await gateway.send("support-bot", "r", "text", raises=True), Delivered)
    assert_type(await gateway.send("support-bot", "r", "text", raises=raises), Receipt)
    edited = await gateway.edit(sent.ref, "new", on_cancel=on_cancel)
    assert_type(edited.ref, MessageRef)
    assert_type(await gateway.edit(edited.ref, "new", raises=raises), Receipt)
    ticket = await gateway.enqueue("support-bot", "r", "text", key="key")
    assert_type(ticket, Ticket)
    assert_type(await gateway.status(ticket), Status | None)
    assert_type(await gateway.cancel(ticket), bool)
    assert_type(await gateway.delete(ticket, on_cancel=on_cancel), Receipt)
    assert_type(await gateway.call("support-bot", "r", "pin", on_cancel=on_cancel), Receipt)
    assert_type(await gateway.react(ticket, "👍", order="none", on_cancel=on_cancel), Receipt)
    assert_type(await gateway.unreact(sent.ref, "👍", key="key"), Receipt)
    assert_type(await gateway.pin(sent.ref, silent=True, raises=raises), Receipt)
    key = KeyRef(instance_id="support-bot", external_room_id="r", key="key")
    assert_type(await gateway.unpin(key), Receipt)


async def by_path(path: str, file: Path) -> None:
    """A configuration is read where a path is given."""
    async with open_gateway(path) as gateway:
        assert_type(gateway, Gateway)
    async with open_gateway(file):
        pass


def kept(plain: object) -> None:
    """What comes back of what was stored."""
    assert_type(from_json(MessageRef, plain), MessageRef)
    assert_type(from_json(Envelope, plain), Envelope)


def told(receipt: Receipt) -> None:
    """What a receipt tells."""
    assert_type(receipt.disposition, Disposition)
    assert_type(receipt.ref, MessageRef | None)
    assert_type(receipt.verdict, Verdict | None)
    assert_type(receipt.parts[0].message_id, str | None)
