"""Gives core's own answers if no plugin has one: hookimpls like any plugin's, asked last."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_core.contract.envelopes import Envelope, Mode, Part
from gateway_core.contract.errors import TransportError, UnreadableSource
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.hookspecs import Traits, hookimpl
from gateway_core.contract.validators import words_of
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict

_part = fast_init(Part)


@hookimpl
def traits() -> Traits:
    """Edits, deletes, one lane a room, no deduplication."""
    return Traits()


@hookimpl
def chunk(envelope: Envelope, mode: Mode) -> Sequence[Part]:  # noqa: ARG001 - one plan serves
    """One part that holds the whole text."""
    text = getattr(envelope, "text", "")
    return (_part(payload={"text": text}, span=(0, len(text))),) if text else ()


@hookimpl
def classify_error(error: Exception) -> Verdict:
    """A `TransportError` is retryable, any other error is not; the verdict has its words."""
    if isinstance(error, TransportError):
        return transport_verdict(error)
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.UNCLASSIFIED,
        dispatched="unknown",
        raw=words_of(error),
    )


def transport_verdict(error: TransportError) -> Verdict:
    """The verdict on a transport's error: retry; the error says whether the request was sent.

    If the message's own bytes could not be read, only this message waits for its retry.
    """
    own = isinstance(error, UnreadableSource)
    never = Reason.UNCLASSIFIED if own else Reason.UNREACHABLE
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN if error.dispatched == "unknown" else never,
        scope=Scope.MESSAGE if own else Scope.INSTANCE,
        dispatched=error.dispatched,
        raw=error.text,
    )
