"""Puts the groups of a gateway together: in its outbox, or in memory. Never waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway_core.backlog.pager import Pager
from gateway_core.deliveries.delivery import Delivery
from gateway_core.files.keeper import KeptFiles
from gateway_core.groups.memory import MemoryGroups
from gateway_core.groups.registry import Groups
from gateway_core.groups.taking import DurableTaking, MemoryTaking, Taking
from gateway_core.outboxes.interface import Outbox
from gateway_core.submission.draft import Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.in_memory import InMemoryWay


def groups_of(
    drafting: Drafting,
    way: InMemoryWay | DurableWay,
    outbox: Outbox | None,
    pager: Pager | None,
    spawn: Callable[[Callable[[], Any]], None],
    withdraw: Callable[[Delivery], bool],
    files: KeptFiles,
) -> Groups:
    """The groups of one gateway."""
    store: Outbox | MemoryGroups
    taking: Taking
    if isinstance(way, InMemoryWay):
        store = MemoryGroups(files.release_nowait)
        taking = MemoryTaking(drafting, way, store)
    else:
        assert outbox is not None  # noqa: S101 - a durable way has one
        assert pager is not None  # noqa: S101 - likewise
        store, taking = outbox, DurableTaking(drafting, way, outbox, pager)
    return Groups(drafting, store, taking, spawn, withdraw, files)
