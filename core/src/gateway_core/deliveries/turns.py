"""Connects a delivery to its group's member, and reports when its attempts begin. Sans-I/O.

A member becomes an accepted envelope when its turn comes; from then on it is a delivery like
others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step


class MemberDelivery(Delivery):
    """A member's delivery, which reports when one of its attempts begins."""

    __slots__ = ("_on_begin",)

    def __init__(self, *known: Any, on_begin: Callable[[Delivery], None], **more: Any) -> None:
        super().__init__(*known, member=True, **more)
        self._on_begin = on_begin

    def begin(self, step: Step, now: int, *, copy: bool) -> None:
        """An attempt begins."""
        super().begin(step, now, copy=copy)
        self._on_begin(self)


@attrs.frozen(kw_only=True)
class Turn:
    """The turn of a group's member: what is needed to accept its envelope.

    group_id     the group's id; `number`: the member's place in the group, from 0 on
    accepted_at  POSIX time at which the group was accepted; its deadline likewise
    on_begin     called with its delivery whenever an attempt begins
    files        digests of the stored bytes that it needs
    by_class     its deadline is that of its class, so that a delay moves the deadline
    """

    group_id: str
    number: int
    accepted_at: float
    deadline: float
    on_begin: Callable[[Delivery], None]
    files: tuple[str, ...] = ()
    by_class: bool = False

    @property
    def member(self) -> tuple[str, int]:
        """The member, as an outbox names it."""
        return self.group_id, self.number

    @property
    def delivery(self) -> Callable[..., Delivery]:
        """Makes the member's delivery, from the arguments of a `Delivery`."""
        return partial(MemberDelivery, on_begin=self.on_begin)
