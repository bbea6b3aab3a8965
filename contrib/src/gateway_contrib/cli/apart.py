"""What a command takes of an application's configuration: its accounts, and nothing that it owns.

The outbox with all that waits in it, the operators' requests and the exporter's port belong to the
application's own gateway, whether it runs or not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.outboxes import path_of
from gateway_core import Disposition, GatewayConfig, KeyRef, MessageRef


def accounts_of(config: GatewayConfig) -> GatewayConfig:
    """The configuration without an outbox and without an exporter."""
    telemetry = attrs.evolve(config.telemetry, export={})
    return attrs.evolve(config, outbox=None, telemetry=telemetry)


@attrs.frozen
class Application:
    """The application whose accounts a command uses.

    outbox  the file of its outbox; None: it has none, or none in a file
    """

    outbox: Path | None

    @classmethod
    def of(cls, config: GatewayConfig) -> Application:
        """The application that has this configuration.

        Raises `Ended` where it runs: a message sent beside it would break its rooms' order.
        """
        path = path_of(config.outbox) if config.outbox is not None else None
        if path is None or not path.exists():
            return cls(None)
        from gateway_contrib.sqlite.files.ownership import Ownership  # noqa: PLC0415 - an extra

        owner = Ownership(path).present()
        if owner is not None:
            raise Ended(
                f"the outbox {path} belongs to {owner}, which is running: no command sends beside"
                " it, since rooms would lose their order; send through that application"
            )
        return cls(path)

    def refuse_known(self, instance: str, room: str, key: str | None) -> None:
        """Raise `Ended` where the file has a message of that key: it is not to be sent twice."""
        if key is None:
            return
        found = self._keyed(KeyRef(instance_id=instance, external_room_id=room, key=key))
        if found is not None:
            state = found.receipt.disposition if found.receipt is not None else "unfinished"
            raise Ended(
                f"the outbox knows the key {key!r}: envelope {found.envelope_id} ({state})"
                " has it, and nothing was sent"
            )

    def message_of(self, target: MessageRef | KeyRef) -> MessageRef | KeyRef:
        """The message's newest ref, where the file knows its key."""
        found = self._keyed(target) if isinstance(target, KeyRef) else None
        if found is None:
            return target
        if found.receipt is None:
            raise Ended(
                f"envelope {found.envelope_id} waits in the outbox {self.outbox}: only the"
                " application's gateway changes it"
            )
        if found.receipt.ref is None:
            disposition: Disposition = found.receipt.disposition
            raise Ended(f"envelope {found.envelope_id} did not arrive: it ended {disposition}")
        return found.newest or found.receipt.ref  # type: ignore[no-any-return]  # of an extra

    def _keyed(self, key: KeyRef) -> Any:
        if self.outbox is None:
            return None
        from gateway_contrib.sqlite.operating import Operator  # noqa: PLC0415 - an extra

        with Operator(self.outbox) as operator:
            return operator.find_key(key)

    def say(self) -> None:
        """On standard error, what the command did not do."""
        if self.outbox is not None:
            line = f"sent from memory: what the outbox {self.outbox} has was left alone"
            print(f"gateway: {printable(line)}", file=sys.stderr)
