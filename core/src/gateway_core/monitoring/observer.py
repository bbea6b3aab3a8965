"""The interface that the engine reports to, which is also the observer that does nothing."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step


class Observer:
    """Gets reports about every envelope's life. This class ignores them, and costs a call.

    listens  whether it wants to know how long envelopes wait, and for what
    """

    listens = False

    # -- at the door

    def submitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> str:
        """The outbox is asked to store the envelope; `submit` was called at `begun`.

        Returns its trace context as a text; empty: it has none.
        """
        del delivery, account, partition, begun
        return ""

    def accepted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int, asked: int
    ) -> None:
        """The outbox, asked at `asked`, has stored it; its caller is about to learn that."""

    def admitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> None:
        """The envelope is accepted into memory, and its caller is about to learn that."""

    def refused(self, instance_id: str, error: str) -> None:
        """An envelope was refused before anything was reported of it; the caller has the error."""

    def taken_back(self, delivery: Delivery, error: BaseException) -> None:
        """The envelope was not accepted after all."""

    def resumed(self, delivery: Delivery, account: InstanceState, partition: int) -> None:
        """The envelope is in memory again: a previous run accepted it, or it was spilled."""

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
        """An attempt begins; returns what is to be awaited in place of `performing`."""
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
        """The attempt that began at `begun` has ended; no verdict: the platform said yes."""

    def transformed(self, delivery: Delivery, how: str) -> None:
        """A refused part was changed."""

    # -- the end

    def ended(
        self, delivery: Delivery, receipt: Receipt, account: InstanceState, partition: int
    ) -> None:
        """The envelope has its disposition."""

    def stored(
        self, delivery: Delivery, account: InstanceState | None = None, partition: int = 0
    ) -> None:
        """Only a durable outbox has the envelope now; its trace goes on when it is back.

        If it was in memory, for an `account`, its waits there are reported.
        """


NOBODY = Observer()
