"""Whom the engine reports to: the interface, which is also the observer that does nothing."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step


class Observer:
    """Hears of every envelope's life. This one ignores it, and costs a call.

    listens  it wants to know how long envelopes wait for what
    """

    listens = False

    # -- at the door

    def submitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> str:
        """The outbox is asked to store it, `submit` having been called at `begun`.

        Its trace context as a text; empty: it has none.
        """
        del delivery, account, partition, begun
        return ""

    def accepted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int, asked: int
    ) -> None:
        """The outbox, asked at `asked`, has it; its caller is about to hear that it is accepted."""

    def admitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> None:
        """It is accepted into memory, and its caller is about to hear that."""

    def refused(self, instance_id: str, error: str) -> None:
        """It was refused before anything was known of it; the caller has the exception."""

    def taken_back(self, delivery: Delivery, error: BaseException) -> None:
        """It was not accepted after all."""

    def resumed(self, delivery: Delivery, account: InstanceState, partition: int) -> None:
        """A previous process run accepted it; or this one, and it was spilled meanwhile."""

    # -- attempts

    def attempting(
        self,
        delivery: Delivery,
        step: Step,
        account: InstanceState,
        partition: int,
        now: int,
        performing: Awaitable[Answer],
    ) -> Awaitable[Answer]:
        """An attempt begins; what is to be awaited in its place."""
        del delivery, step, account, partition, now
        return performing

    def attempted(
        self,
        delivery: Delivery,
        step: Step,
        account: InstanceState,
        partition: int,
        verdict: Verdict | None,
        begun: int,
        now: int,
    ) -> None:
        """The attempt that began then ended; no verdict: the platform said yes."""

    def transformed(self, delivery: Delivery, how: str) -> None:
        """A refused part was changed."""

    # -- the end

    def ended(
        self, delivery: Delivery, receipt: Receipt, account: InstanceState, partition: int
    ) -> None:
        """It has its disposition."""

    def stored(
        self, delivery: Delivery, account: InstanceState | None = None, partition: int = 0
    ) -> None:
        """A durable outbox has it: its trace goes on when it is back.

        Where it was in memory, of an `account`, what it waited for there is reported.
        """


NOBODY = Observer()
