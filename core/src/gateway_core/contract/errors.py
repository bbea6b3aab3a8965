"""Every exception of the gateway, in one tree below `GatewayError`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.verdicts import Dispatched, Verdict


@attrs.frozen
class Problem:
    """One mistake: `place` names the field (`instances.support.token`), `text` what is wrong."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


class GatewayError(Exception):
    """The root of the tree: catches everything that the gateway itself raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """To copy and to pickle: Python would call the class with `args` alone."""
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[GatewayError], args: tuple[Any, ...]) -> GatewayError:
    return kind.__new__(kind, *args)


class _ProblemsError(GatewayError):
    """An error that lists every problem found, not the first one only."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class ConfigError(_ProblemsError):
    """The configuration cannot be used; `problems` lists every mistake by its place."""


class PluginError(_ProblemsError):
    """Plugins cannot be bound; `problems` lists every fault by plugin and distribution."""


class FormatVersionError(GatewayError):
    """A stored value was written in a format version that this release does not read."""


class Refused(GatewayError):
    """The envelope was not accepted; nothing was or will be sent for it."""


class Invalid(_ProblemsError, Refused):
    """The envelope is wrong in itself; `problems` names each field."""


class UnknownInstance(Invalid):
    """No instance of that id is configured."""


class Overloaded(Refused):
    """A bound was reached: which one (`bound_of`), how full it is, and when to try again."""

    def __init__(
        self, *, bound_of: str, pressure: str, depth: int, bound: int, retry_in: float
    ) -> None:
        self.bound_of = bound_of
        self.pressure = pressure
        self.depth = depth
        self.bound = bound
        self.retry_in = retry_in
        super().__init__(bound_of, pressure, depth, bound, retry_in)

    def __str__(self) -> str:
        return (
            f"{self.bound_of} is full: {self.depth} of {self.bound} unfinished, pressure"
            f" {self.pressure}; a slot is expected in about {self.retry_in:.3g} s"
        )


class IdempotencyConflict(Refused):
    """The key was used for another payload; `envelope_id` is the first one's."""

    def __init__(self, *, key: str, envelope_id: str) -> None:
        self.key = key
        self.envelope_id = envelope_id
        super().__init__(key, envelope_id)

    def __str__(self) -> str:
        return f"key {self.key!r} was used for another payload by envelope {self.envelope_id}"


class InstanceSuspended(Refused):
    """The instance is suspended and configured to refuse meanwhile (`when_suspended="refuse"`)."""

    def __init__(self, *, instance_id: str, why: str) -> None:
        self.instance_id = instance_id
        self.why = why
        super().__init__(instance_id, why)

    def __str__(self) -> str:
        return f"instance {self.instance_id!r} is suspended: {self.why}"


class GatewayClosed(Refused):
    """The gateway is stopping or has stopped.

    `kept` is true if a durable outbox stores the envelope for the next start.
    """

    def __init__(self, text: str = "the gateway is closed", *, kept: bool = False) -> None:
        self.kept = kept
        super().__init__(text)


class DeliveryError(GatewayError):
    """The envelope was not delivered; `receipt` says how it ended, and why."""

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt
        super().__init__(receipt)

    def __str__(self) -> str:
        receipt = self.receipt
        why = f": {receipt.verdict}" if receipt.verdict is not None else ""
        return f"envelope {receipt.envelope_id} ended {receipt.disposition}{why}"


class ProbeFailed(GatewayError):
    """The platform did not say who the instance is; `verdict` says what that means."""

    def __init__(self, *, instance_id: str, verdict: Verdict) -> None:
        self.instance_id = instance_id
        self.verdict = verdict
        super().__init__(instance_id, verdict)

    def __str__(self) -> str:
        return f"instance {self.instance_id!r}: {self.verdict}"


class PartitionFailed(GatewayError):
    """A partition was restarted too often in a short time; the gateway gives up loudly."""


class HookContractError(GatewayError):
    """A hookimpl raised where it must not, or answered with the wrong type."""

    def __init__(self, *, hook: str, plugin: str, text: str) -> None:
        self.hook = hook
        self.plugin = plugin
        self.text = text
        super().__init__(hook, plugin, text)

    def __str__(self) -> str:
        return f"{self.plugin}: hook {self.hook}: {self.text}"


class OutboxError(GatewayError):
    """The outbox could not do what was asked; nothing was accepted."""


class TransportError(GatewayError):
    """A request failed below the platform: no answer, or none that can be read.

    dispatched  `no`: the platform certainly did not get it; `unknown`: it may have
    """

    def __init__(self, text: str, *, dispatched: Dispatched) -> None:
        self.text = text
        self.dispatched = dispatched
        super().__init__(text, dispatched)

    def __str__(self) -> str:
        return f"{self.text} (dispatched: {self.dispatched})"


class AttemptTimeout(TransportError):
    """A hook did not return within the attempt's time; the outcome is unknown."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the attempt did not end within {seconds:g} s", dispatched="unknown")
