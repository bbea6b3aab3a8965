"""Uses an application's accounts for a command, without touching what the application owns.

The outbox with its waiting envelopes, the operators' requests and the exporter's port belong to the
application's own gateway, whether it runs or not. If it runs, the command asks it to send.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs
import trio

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.engines import Stored, stored
from gateway_core import (
    Disposition,
    Envelope,
    GatewayConfig,
    KeyRef,
    MessageRef,
    Receipt,
    Send,
)

PATIENCE = 10.0
"""Seconds to wait for a running gateway, which looks for requests about once a second."""


def accounts_of(config: GatewayConfig) -> GatewayConfig:
    """The configuration without an outbox and without an exporter."""
    telemetry = attrs.evolve(config.telemetry, export={})
    return attrs.evolve(config, outbox=None, telemetry=telemetry)


@attrs.frozen
class Application:
    """The application whose accounts a command uses.

    outbox   its outbox; None: it has no durable outbox, or none was made yet
    running  whether its gateway has the outbox open
    unmade   its outbox if it was not made yet
    """

    outbox: Stored | None
    running: bool = False
    unmade: Stored | None = None

    @classmethod
    def of(cls, config: GatewayConfig) -> Application:
        """The application that has this configuration."""
        outbox = stored(config.outbox)
        if outbox is None or not outbox.is_there:
            return cls(None, unmade=outbox)
        return cls(outbox, running=outbox.is_owned)

    def refuse_known(self, instance: str, room: str, key: str | None) -> None:
        """Raise `Ended` if the outbox has a message with this key, which must not be sent twice.

        A running gateway checks its keys itself.
        """
        if key is None or self.running:
            return
        named = KeyRef(instance_id=instance, external_room_id=room, key=key)
        self._refuse_asked(named)
        found = self._keyed(named)
        if found is not None:
            state = found.receipt.disposition if found.receipt is not None else "unfinished"
            raise Ended(
                f"nothing was sent: envelope {found.envelope_id} ({state}) in the outbox already"
                f" has the key {key!r}"
            )

    def refuse_known_group(self, instance: str, key: str | None) -> None:
        """Raise `Ended` if the outbox has a group with this key; like `refuse_known`."""
        if key is None or self.running or self.outbox is None:
            return
        with self.outbox.operator() as operator:
            found = operator.group_of_key(instance, key)
        if found is not None:
            raise Ended(
                f"nothing was sent: group {found.group.id} in the outbox already has the key"
                f" {key!r}"
            )

    def message_of(self, target: MessageRef | KeyRef) -> MessageRef | KeyRef:
        """The message's newest ref, if the outbox knows its key and no gateway runs."""
        if self.running or not isinstance(target, KeyRef):
            return target
        self._refuse_asked(target)
        found = self._keyed(target)
        if found is None:
            return target
        if found.receipt is None:
            raise Ended(
                f"envelope {found.envelope_id} still waits in the outbox {self.outbox}: start the"
                " application's gateway, since only that can change it"
            )
        if found.receipt.ref is None:
            disposition: Disposition = found.receipt.disposition
            raise Ended(f"envelope {found.envelope_id} did not arrive: it ended {disposition}")
        return found.newest or found.receipt.ref  # type: ignore[no-any-return]  # of an extra

    def _refuse_asked(self, key: KeyRef) -> None:
        """Raise `Ended` if a requested message with this key still waits for a gateway."""
        if self.outbox is None:
            return
        with self.outbox.operator() as operator:
            asked = operator.asked(key.instance_id, key.external_room_id)
        if any(isinstance(each, Send) and each.key == key.key for each in asked):
            raise Ended(
                f"nothing was done: a message with the key {key.key!r} already waits in the outbox"
                f" {self.outbox} for the application's gateway"
            )

    def _keyed(self, key: KeyRef) -> Any:
        if self.outbox is None:
            return None
        with self.outbox.operator() as operator:
            return operator.find_key(key)

    async def deliver(self, envelope: Envelope, patience: float) -> Receipt:
        """Have the running gateway deliver the envelope; returns the receipt.

        A message sent without that gateway would break its rooms' order. Raises `OutboxError` if
        the envelope is not accepted, and `Ended` if it has not ended after `patience` seconds and a
        moment more.
        """
        from gateway_contrib.durable.operators import asking  # noqa: PLC0415 - an extra

        assert self.outbox is not None  # noqa: S101 - somebody has it open
        with self.outbox.operator() as operator:
            name = ""
            try:
                name = await asking.submit(operator, envelope, patience=patience)
                receipt = await asking.ended(operator, name, patience=patience + asking.GRACE)
            except asking.Unanswered as error:
                raise Ended(str(error), 1) from None
            except trio.Cancelled:
                known = f"the envelope goes on; to see how it ends: gateway outbox show {name}"
                note(known if name else asking.LEFT)
                raise
        if receipt is None:
            raise Ended(
                f"the application's gateway has accepted envelope {name}, which has not ended yet;"
                f" to see how it ends: gateway outbox show {name}",
                1,
            )
        return receipt

    async def cancel(self, envelope_id: str) -> str:
        """The running gateway's answer. Raises `Ended` without a running gateway or an outbox."""
        from gateway_contrib.durable.operators import asking  # noqa: PLC0415 - an extra

        if self.outbox is None:
            none = "the application has no outbox in a file or in PostgreSQL"
            raise Ended(f"{none}: there is nothing to cancel")
        with self.outbox.operator() as operator:
            if operator.show(envelope_id) is None:
                raise Ended(f"the outbox does not know {envelope_id}")
            if not self.running:
                raise Ended("no gateway has the outbox open: use gateway outbox discard instead")
            try:
                said = await asking.cancel(operator, envelope_id, patience=PATIENCE)
            except asking.Unanswered as error:
                raise Ended(str(error), 1) from None
            found = operator.find(envelope_id)
            ended = found.receipt if found is not None else None
            if ended is None or said == "cancelled":
                return said
            return f"it has ended {ended.disposition}"

    def say(self) -> None:
        """Say on standard error who sent, and that the outbox was left alone."""
        if self.running:
            note(f"done by the gateway that has the outbox {self.outbox} open")
        elif self.outbox is not None:
            note(f"sent without the outbox {self.outbox}: what waits there was left alone")
        elif self.unmade is not None:
            note(f"sent without the outbox {self.unmade}, which a program's gateway makes")


def note(line: str) -> None:
    """Print a line on standard error."""
    print(f"gateway: {printable(line)}", file=sys.stderr)
