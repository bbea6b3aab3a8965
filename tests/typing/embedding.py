"""What the public face gives, as types: checked by `mypy --strict`, never run.

A name that loses its type, or an argument that is renamed, fails here before it fails a user.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import assert_type

from gateway_core import (
    Disposition,
    Edit,
    Envelope,
    Gateway,
    GatewayConfig,
    Instance,
    MessageRef,
    Problem,
    Receipt,
    Send,
    Ticket,
    Verdict,
    from_json,
    load_config,
    open_gateway,
)
from gateway_core.authors import Answer, Attempt, Pressure, hookimpl


class Policy:
    """Hookimpls keep their own types: the marker does not hide them."""

    @hookimpl
    def validate(self, envelope: Envelope) -> Sequence[Problem] | None:
        """Sync and typed."""
        return [Problem("text", "empty")] if isinstance(envelope, Send) else None

    @hookimpl
    def admit(self, envelope: Envelope, pressure: Pressure) -> str | None:
        """Sync and typed."""
        return "shed" if pressure.occupancy > 1 and envelope.key is None else None


@hookimpl
async def send(instance: Instance, attempt: Attempt) -> Answer:
    """Async and typed."""
    return Answer(message_id=f"{instance.id}:{attempt.number}")


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
        told(receipt)
        envelope = Send(instance_id="support-bot", external_room_id="C024BE91L", text="text")
        ticket = await gateway.submit(envelope, wait=False)
        assert_type(ticket, Ticket)
        assert_type(ticket.ref, MessageRef)
        change = Edit(
            instance_id="support-bot", external_room_id="C024BE91L", target=ticket.ref, text="new"
        )
        assert_type(await (await gateway.submit(change)).receipt(), Receipt)


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
