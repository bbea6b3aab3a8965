"""Tracks a stream that is shown natively: what stands there, and what may follow. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping

from gateway_core.clock import SECOND
from gateway_core.contract.envelopes import Json
from gateway_core.contract.hookspecs import Streaming
from gateway_core.deliveries.steps import Step


class Native:
    """How a stream is shown natively. Its methods alone write it; times are nanoseconds.

    stands      the text that its message has for certain; `going`: the text that it has once the
                attempt under way is acknowledged
    ends_at     when its message is stopped, to be edited from then on
    ends        its message is to be stopped with the text it has, since nothing may be appended
    held_until  no passing state is shown before that time
    """

    __slots__ = ("_how", "ends", "ends_at", "going", "held_until", "stands")

    def __init__(self, how: Streaming) -> None:
        self._how = how
        self.stands = self.going = ""
        self.ends = False
        self.ends_at = self.held_until = 0

    @classmethod
    def restored(cls) -> Native:
        """For a message that a previous run started: nobody knows what was appended since."""
        native = cls(Streaming(how="append"))
        native.ends = True
        return native

    @property
    def is_draft(self) -> bool:
        """Whether drafts show it, which leave no message; else its message is appended to."""
        return self._how.how == "draft"

    @property
    def arguments(self) -> Mapping[str, Json]:
        """Further arguments of its attempts."""
        return self._how.arguments

    @property
    def repeat(self) -> int:
        """After how long a draft is shown again."""
        return round(self._how.repeat * SECOND)

    def goes(self, text: str) -> None:
        """Note the text that its message has once the next attempt is acknowledged."""
        self.going = text

    def arrived(self) -> None:
        """The attempt was acknowledged."""
        self.stands = self.going

    def begins(self, now: int) -> None:
        """Its message is started now."""
        self.ends_at = now + round(self._how.lasts * SECOND)

    def hold(self, until: int) -> None:
        """Show no passing state before that time."""
        self.held_until = until

    def end(self) -> None:
        """Append nothing more."""
        self.ends = True

    def takes(self, text: str) -> bool:
        """Whether its message can get this text by an append."""
        return not self.ends and len(text) <= self._how.most and text.startswith(self.stands)

    def takes_fields(self, extra: Mapping[str, Json] | None) -> bool:
        """Whether a stop can carry these fields of the platform's own."""
        return not extra or extra.keys() <= self._how.extra


def is_plain_stop(step: Step) -> bool:
    """Whether the step only stops a message: if that is refused, no other stop can succeed."""
    part = step.part
    return step.kind == "stop" and not step.extra and (part is None or not part.payload["text"])
