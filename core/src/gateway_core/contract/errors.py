"""Defines every exception of the gateway, in one tree below `GatewayError`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.validators import printable, shown
from gateway_core.contract.verdicts import Dispatched, Reason, Verdict


@attrs.frozen
class Problem:
    """One mistake: `place` names the field (`instances.support.token`), `text` the mistake."""

    place: str
    text: str

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.text}" if self.place else self.text)


class GatewayError(Exception):
    """The root of the tree: catching it catches everything that the gateway itself raises.

    The text may quote a platform or a plugin. It is one line without control characters.
    """

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """For copying and pickling; otherwise Python would call the class with `args` alone."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class _ProblemsError(GatewayError):
    """An error that lists every problem found, not only the first."""

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
    """The envelope itself has mistakes; `problems` names each field."""


class UnknownInstance(Invalid):
    """No instance with that id is configured."""


@attrs.define(kw_only=True, slots=False, repr=False)
class InstanceSourceError(Refused):
    """The `instance_source` did not say who an account is: it raised, or its answer is unusable.

    why  what the source raised, or what is wrong with its answer
    """

    instance_id: str
    why: str

    def __str__(self) -> str:
        return printable(f"instance {self.instance_id!r}: the instance source failed: {self.why}")


_PARSED = "parse JSON first"
_WITHOUT_EVENT = "without an event, use `send(instance, room, …)` or `stream((instance, room))`"
_NO_EVENTS = {
    "str": f": {_PARSED}; {_WITHOUT_EVENT}",
    "bytes": f": {_PARSED}",
    "tuple": f": {_WITHOUT_EVENT}",
    "list": f": {_WITHOUT_EVENT}",
}


@attrs.define(kw_only=True, slots=False, repr=False)
class UnknownEvent(Refused):
    """The event belongs to no conversation of the `instances`, so it cannot be answered.

    Examples are a poll, an inline query, a home tab, and an event of another platform.

    kind  the name of the event's class. If that is no class of an event, such as `bytes`, the error
          also says what to do
    """

    instances: tuple[str, ...]
    kind: str = ""

    def __str__(self) -> str:
        asked = ", ".join(map(repr, self.instances)) or "none is configured"
        what = f"the event, a {self.kind}," if self.kind else "the event"
        hint = _NO_EVENTS.get(self.kind, "")
        return f"{what} belongs to no conversation of an instance (asked: {asked}){hint}"


@attrs.define(kw_only=True, slots=False, repr=False)
class AmbiguousEvent(Refused):
    """The event may belong to any of these `instances`; say which with `instance=`."""

    instances: tuple[str, ...]

    def __str__(self) -> str:
        several = ", ".join(map(repr, self.instances))
        return f"the event may belong to several instances ({several}): name one with instance="


@attrs.define(kw_only=True, slots=False, repr=False)
class Overloaded(Refused):
    """A bound was reached: which one (`bound_of`), how full it is, and when to try again."""

    bound_of: str
    pressure: str
    depth: int
    bound: int
    retry_in: float

    def __str__(self) -> str:
        return (
            f"{self.bound_of} is full: {self.depth} of {self.bound} unfinished, pressure"
            f" {self.pressure}; a slot is expected in about {self.retry_in:.3g} s"
        )


@attrs.define(kw_only=True, slots=False, repr=False)
class DeadlinePassed(Refused):
    """The envelope's deadline passed while it waited for a slot, so it was never accepted.

    bound_of  the bound that was reached
    waited    seconds that the envelope waited for a slot
    """

    bound_of: str
    waited: float

    def __str__(self) -> str:
        return (
            f"the deadline passed after {self.waited:.3g} s of waiting for a slot:"
            f" {self.bound_of} is full"
        )


@attrs.define(kw_only=True, slots=False, repr=False)
class IdempotencyConflict(Refused):
    """The key was used for another payload; `envelope_id` names the envelope that used it first."""

    key: str
    envelope_id: str

    def __str__(self) -> str:
        used = f"key {self.key!r} was used for another payload by envelope {self.envelope_id}"
        return f"{used}: give this one a key of its own"


@attrs.define(kw_only=True, slots=False, repr=False)
class GroupTooLong(Refused):
    """The group cannot end within its time to live, so no member of it was accepted.

    members   how many members it has; `attempts`: how many platform messages they become
    bucket    the limit that decides how long they take, and its `rate` per second
    seconds   how long they take at least; `ttl`: seconds that the group has, from `not_before` on
    """

    instance_id: str
    members: int
    attempts: int
    bucket: str
    rate: float
    seconds: float
    ttl: float

    def __str__(self) -> str:
        return (
            f"{self.members} members of instance {self.instance_id!r} become {self.attempts}"
            f" messages, which take {self.seconds:.0f} s at {self.rate:.3g} per second"
            f" ({self.bucket}), and the group has {self.ttl:.0f} s: give it a longer ttl, or fewer"
            " members"
        )


@attrs.define(kw_only=True, slots=False, repr=False)
class InstanceSuspended(Refused):
    """The instance is suspended, and nobody should wait for it.

    Either `when_suspended` is `refuse`, or the instance's settings cannot be used, or it has never
    worked.
    """

    instance_id: str
    why: str

    def __str__(self) -> str:
        return printable(f"instance {self.instance_id!r} is suspended: {self.why}")


class GatewayClosed(Refused):
    """The gateway is stopping or has stopped.

    `kept` is true if a durable outbox stores the envelope for the next start.
    """

    def __init__(self, text: str = "the gateway is closed", *, kept: bool = False) -> None:
        self.kept = kept
        super().__init__(text)


@attrs.define(slots=False, repr=False)
class EndingsForgotten(GatewayError):
    """Some endings after the cursor `after` are forgotten, or the cursor is another outbox's.

    Follow again with `after=None`, from the oldest ending that is remembered.
    """

    after: str
    why: str

    def __str__(self) -> str:
        gone = f"endings after {shown(self.after)} are not available: {self.why}"
        return f"{gone}; follow from after=None"


@attrs.define(slots=False, repr=False)
class DeliveryError(GatewayError):
    """The envelope was not delivered; `receipt` says how it ended, and why."""

    receipt: Receipt

    @property
    def reason(self) -> Reason | None:
        """The reason in the receipt's verdict; None: no error ended the envelope."""
        return None if self.receipt.verdict is None else self.receipt.verdict.reason

    def __str__(self) -> str:
        why = f": {self.receipt.verdict}" if self.receipt.verdict is not None else ""
        return f"envelope {self.receipt.envelope_id} ended {self.receipt.disposition}{why}"


@attrs.define(kw_only=True, slots=False, repr=False)
class ProbeFailed(GatewayError):
    """The platform did not say who the instance is; `verdict` says why."""

    instance_id: str
    verdict: Verdict

    def __str__(self) -> str:
        return f"instance {self.instance_id!r}: {self.verdict}"


class PartitionFailed(GatewayError):
    """Partitions were restarted too often in a short time, so the gateway stopped."""


@attrs.define(kw_only=True, slots=False, repr=False)
class HookContractError(GatewayError):
    """A hookimpl raised an exception where it must not, or returned a value of the wrong type."""

    hook: str
    plugin: str
    text: str

    def __str__(self) -> str:
        return printable(f"{self.plugin}: hook {self.hook}: {self.text}")


@attrs.define(slots=False, repr=False)
class NotServing(GatewayError):
    """Only a process that delivers can do this; this process only hands over (`serve=False`).

    what  the name of the method that was called
    """

    what: str

    def __str__(self) -> str:
        owner = "the process that owns the outbox"
        return f"this process only hands over (serve=False): call `{self.what}` in {owner}"


class OutboxError(GatewayError):
    """The outbox could not do what it was asked to do; nothing was accepted."""


@attrs.define(slots=False, repr=False)
class TransportError(GatewayError):
    """A request got no answer from the platform, or an answer that cannot be read.

    dispatched  `no`: the platform certainly did not get it; `unknown`: it may have
    """

    text: str
    dispatched: Dispatched = attrs.field(kw_only=True)

    def __str__(self) -> str:
        return printable(f"{self.text} (dispatched: {self.dispatched})")


class UnreadableSource(TransportError):
    """Bytes to send could not be read, or do not have the given size; the text names their source.

    The error says nothing about the platform.
    """


class AttemptTimeout(TransportError):
    """A hook did not return within the attempt's time; the outcome is unknown."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the attempt did not end within {seconds:g} s", dispatched="unknown")
