"""Finds the instance and the conversation that an incoming event belongs to. Never waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import attrs

from gateway_core.clock import Clock
from gateway_core.contract.addresses import Address
from gateway_core.contract.errors import AmbiguousEvent, HookContractError, UnknownEvent
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.plugins.front import ChannelHooks


class Resolved(NamedTuple):
    """The instance that an event came to, and where an answer to it goes."""

    instance_id: str
    address: Address


def resolve(
    event: Any, instance: str | None = None, *, registry: InstanceRegistry, clock: Clock
) -> Resolved:
    """Which instance the event came to, and its address.

    instance  the instance's id; None: the one instance whose adapter knows the event

    Raises `UnknownEvent` if the event belongs to no conversation, `AmbiguousEvent` if several
    instances know it, `UnknownInstance`, and `HookContractError` if the named instance's hook
    fails, or if the only address is one that no answer could use.
    """
    if instance is not None:
        account = registry.account(instance)
        address = account.hooks.address(account.instance, event)
        if address is None:
            raise UnknownEvent(instances=(instance,), kind=type(event).__name__)
        return Resolved(instance, _dated(address, clock))
    unusable: list[HookContractError] = []
    knowing = list(_knowing(event, registry, unusable))
    if len(knowing) == 1:
        return Resolved(knowing[0].instance_id, _dated(knowing[0].address, clock))
    if knowing:
        raise AmbiguousEvent(instances=tuple(found.instance_id for found in knowing))
    if unusable:
        raise unusable[0]
    raise UnknownEvent(instances=tuple(registry.serving), kind=type(event).__name__)


def _knowing(
    event: Any, registry: InstanceRegistry, unusable: list[HookContractError]
) -> Iterator[Resolved]:
    """Each instance whose adapter knows the event.

    An adapter that fails at another platform's event does not know the event: the failure is logged
    and counted, once for all its instances.

    unusable  gets the failures of adapters that answered
    """
    failed: set[ChannelHooks] = set()
    for name, account in registry.serving.items():
        hooks = account.hooks
        if hooks in failed:
            continue
        try:
            address = hooks.address(account.instance, event)
        except HookContractError as error:
            failed.add(hooks)
            if error.__cause__ is None:  # it raised nothing: it answered
                unusable.append(error)
            continue
        if address is not None:
            yield Resolved(name, address)


def _dated(address: Address, clock: Clock) -> Address:
    """The address, with the time at which its reply token ends."""
    asked = address.interaction
    if asked is None or asked.ends is not None:
        return address
    ends = clock.wall() + asked.lasts
    return attrs.evolve(address, interaction=attrs.evolve(asked, ends=ends))
