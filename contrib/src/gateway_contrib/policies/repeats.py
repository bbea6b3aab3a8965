"""Sheds messages that repeat a recent one: an alert that fires ten times is sent once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeGuard

import attrs

from gateway_contrib.policies.arguments import function
from gateway_core import Disposition, Envelope, Receipt, Send
from gateway_core.authors import digest_of, hookimpl
from gateway_core.settings import number, whole

LONGEST = 30 * 86_400.0
"""Seconds for which a message may count that never ends: policies delay none for longer."""


@attrs.frozen
class _Said:
    """When some content was said.

    envelope  the message that was let through with it and has not ended; None: it was delivered
    at        POSIX time at which it was let through, or was delivered
    """

    envelope: Envelope | None
    at: float


@attrs.define(eq=False)
class NoRepeats:
    """Sheds a message whose content was sent to the same room and thread within `within` seconds.

    within  seconds
    most    how many messages are remembered
    clock   gives the POSIX time

    The content is text, format, files, poll and the platform's own fields, but not the key. While a
    message waits, for example until quiet hours end, messages with the same content are shed too;
    the time counts from its delivery. If a message was not delivered, the next one is sent. Streams
    are not affected. Nothing is remembered from a previous process run.
    """

    within: float = attrs.field(validator=number(above=0))
    most: int = attrs.field(default=10_000, kw_only=True, validator=whole(least=1))
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True, validator=function)
    _said: OrderedDict[str, _Said] = attrs.field(factory=OrderedDict, init=False, repr=False)

    @hookimpl
    def admit(self, envelope: Envelope) -> str | None:
        """Shed a message if the same content waits, or was sent within `within` seconds."""
        if not _is_message(envelope):
            return None
        now, name = self.clock(), _name(envelope)
        said = self._said.get(name)
        if said is not None and said.envelope is envelope:  # it was delayed, and is due now
            return None
        if said is not None:
            counts = self.within if said.envelope is None else max(self.within, LONGEST)
            if now - said.at < counts:
                return "shed"
        self._remember(name, _Said(envelope, now))
        return None

    @hookimpl
    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Count the content from now, or forget it if the envelope certainly did not arrive."""
        if not _is_message(envelope):
            return
        if receipt.delivered or receipt.disposition is Disposition.UNKNOWN:
            self._remember(_name(envelope), _Said(None, self.clock()))
        elif receipt.disposition is Disposition.SHED:  # it may be one that repeats what waits
            self._forget(envelope)
        else:
            self._forget(envelope, also_copies=True)

    @hookimpl
    def after_refusal(self, envelope: Envelope) -> None:
        """Forget the content of an envelope that was not accepted."""
        self._forget(envelope)

    def _remember(self, name: str, said: _Said) -> None:
        self._said[name] = said
        self._said.move_to_end(name)
        while len(self._said) > self.most:
            self._said.popitem(last=False)

    def _forget(self, envelope: Envelope, *, also_copies: bool = False) -> None:
        """Forget the content if this envelope waits, or, with `also_copies`, one like it.

        An envelope that left memory during its delay is a copy of the one that was let through.
        """
        if not _is_message(envelope):
            return
        name = _name(envelope)
        said = self._said.get(name)
        if said is None or said.envelope is None:
            return
        if also_copies or said.envelope is envelope:
            del self._said[name]


def _is_message(envelope: Envelope) -> TypeGuard[Send]:
    return isinstance(envelope, Send) and envelope.grows is None


def _name(envelope: Send) -> str:
    place = envelope.instance_id, envelope.external_room_id, envelope.thread_id
    content = envelope.text, envelope.format, dict(envelope.extra)
    files = [[file.digest or file.url or file.id, file.name] for file in envelope.files]
    poll = None if envelope.poll is None else attrs.asdict(envelope.poll)
    return digest_of([*place, *content, files, poll])
