"""A stream that its platform shows natively: what stands of it, what may follow. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping

from gateway_core.clock import SECOND
from gateway_core.contract.envelopes import Json
from gateway_core.contract.hookspecs import Streaming
from gateway_core.deliveries.steps import Step


class Native:
    """How a stream is shown natively. Its methods alone write it; times are nanoseconds.

    stands      the text that its message has for certain; `going`: once the attempt under way is
                acknowledged
    ends_at     when its message is stopped, to be edited from then on
    ends        its message is to be stopped with what stands, since more may not be appended
    held_until  no passing state is shown before
    """

    __slots__ = ("_how", "ends", "ends_at", "going", "held_until", "stands")

    def __init__(self, how: Streaming) -> None:
        self._how = how
        self.stands = self.going = ""
        self.ends = False
        self.ends_at = self.held_until = 0

    @classmethod
    def restored(cls) -> Native:
        """A previous run started its message, and nobody knows what was appended since."""
        native = cls(Streaming(how="append"))
        native.ends = True
        return native

    @property
    def is_draft(self) -> bool:
        """Whether it leaves nothing; else its message is appended to."""
        return self._how.how == "draft"

    @property
    def arguments(self) -> Mapping[str, Json]:
        """What its attempts carry besides."""
        return self._how.arguments

    @property
    def repeat(self) -> int:
        """After how long a draft is shown again."""
        return round(self._how.repeat * SECOND)

    def goes(self, text: str) -> None:
        """The next attempt, once it is acknowledged, leaves this text."""
        self.going = text

    def arrived(self) -> None:
        """The attempt was acknowledged."""
        self.stands = self.going

    def begins(self, now: int) -> None:
        """Its message is started now."""
        self.ends_at = now + round(self._how.lasts * SECOND)

    def hold(self, until: int) -> None:
        """Show no passing state before."""
        self.held_until = until

    def end(self) -> None:
        """Append nothing more."""
        self.ends = True

    def takes(self, text: str) -> bool:
        """Whether its message can have this text by being appended to."""
        return not self.ends and len(text) <= self._how.most and text.startswith(self.stands)

    def takes_fields(self, extra: Mapping[str, Json] | None) -> bool:
        """Whether a stop can carry these fields of the platform's own."""
        return not extra or extra.keys() <= self._how.extra


def is_plain_stop(step: Step) -> bool:
    """Whether it stops a message and adds nothing to it: if that is refused, no other can pass."""
    part = step.part
    return step.kind == "stop" and not step.extra and (part is None or not part.payload["text"])
