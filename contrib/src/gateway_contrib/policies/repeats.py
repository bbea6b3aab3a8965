"""Sheds messages that repeat a recent one: an alert that fires ten times is sent once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import attrs

from gateway_contrib.policies.arguments import function
from gateway_core import Disposition, Envelope, Receipt, Send
from gateway_core.authors import digest_of, hookimpl
from gateway_core.settings import number, whole


@attrs.define
class _Said:
    """The envelope that was admitted with some content, and when."""

    envelope: Envelope
    at: float


@attrs.define(eq=False)
class NoRepeats:
    """Sheds a message whose content was sent to the same room and thread within `within` seconds.

    within  seconds
    most    how many messages are remembered
    clock   gives the POSIX time

    The content is text, format, files, poll and the platform's own fields, but not the key. If a
    message was not delivered, the next one is sent. Streams are not affected. Nothing is remembered
    from a previous process run.
    """

    within: float = attrs.field(validator=number(above=0))
    most: int = attrs.field(default=10_000, kw_only=True, validator=whole(least=1))
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True, validator=function)
    _said: OrderedDict[str, _Said] = attrs.field(factory=OrderedDict, init=False, repr=False)

    @hookimpl
    def admit(self, envelope: Envelope) -> str | None:
        """Shed a message if the same content was admitted within `within` seconds."""
        if not isinstance(envelope, Send) or envelope.grows is not None:
            return None
        now, name = self.clock(), _name(envelope)
        said = self._said.get(name)
        if said is not None and said.envelope is envelope:  # it was delayed, and is due now
            return None
        if said is not None and now - said.at < self.within:
            return "shed"
        self._said[name] = _Said(envelope, now)
        self._said.move_to_end(name)
        while len(self._said) > self.most:
            self._said.popitem(last=False)
        return None

    @hookimpl
    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Forget the content if the envelope certainly did not arrive."""
        if not receipt.delivered and receipt.disposition is not Disposition.UNKNOWN:
            self._forget(envelope)

    @hookimpl
    def after_refusal(self, envelope: Envelope) -> None:
        """Forget the content of an envelope that was not accepted."""
        self._forget(envelope)

    def _forget(self, envelope: Envelope) -> None:
        if not isinstance(envelope, Send):
            return
        name = _name(envelope)
        said = self._said.get(name)
        if said is not None and said.envelope is envelope:  # not one that repeats it
            del self._said[name]


def _name(envelope: Send) -> str:
    place = envelope.instance_id, envelope.external_room_id, envelope.thread_id
    content = envelope.text, envelope.format, dict(envelope.extra)
    files = [[file.digest or file.url or file.id, file.name] for file in envelope.files]
    poll = None if envelope.poll is None else attrs.asdict(envelope.poll)
    return digest_of([*place, *content, files, poll])
