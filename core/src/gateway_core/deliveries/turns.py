"""A member of a group on its way: whose turn it takes, and when its first attempt begins. Sans-I/O.

A member becomes an accepted envelope as its turn comes; from then on it is a delivery like others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step


class MemberDelivery(Delivery):
    """A delivery that says when an attempt of it begins."""

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
    """Whose turn an envelope takes.

    group_id     the group's, and the member's `number` in it, from 0 on
    accepted_at  POSIX time at which the group was accepted; its deadline likewise
    on_begin     called with its delivery whenever an attempt begins
    files        digests of the stored bytes that it needs
    by_class     its deadline is that of its class: a delay puts it off
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
        """As an outbox names it."""
        return self.group_id, self.number

    @property
    def delivery(self) -> Callable[..., Delivery]:
        """Makes its delivery, of what a `Delivery` is made of."""
        return partial(MemberDelivery, on_begin=self.on_begin)
