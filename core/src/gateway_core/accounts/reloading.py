"""Compares a new configuration's instances with those at run time. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from gateway_core.contract.envelopes import Undelivered
from gateway_core.contract.instances import Instance


@attrs.frozen(kw_only=True)
class Reloaded:
    """What `Gateway.reload` changed, by the ids of instances.

    replaced     instances with new settings or a new secret
    restart      other settings that changed; they take effect when a gateway is opened with them
    undelivered  envelopes that removals left undelivered
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    undelivered: tuple[Undelivered, ...] = ()


@attrs.frozen
class Changes:
    """The instances to add, to replace, and to remove."""

    added: tuple[Instance, ...]
    replaced: tuple[Instance, ...]
    removed: tuple[Instance, ...]


def compare(present: Iterable[Instance], wanted: Iterable[Instance]) -> Changes:
    """The changes from the present instances to the wanted ones; secrets compare by their value."""
    before, after = ({one.id: one for one in some} for some in (present, wanted))
    return Changes(
        added=tuple(one for name, one in after.items() if name not in before),
        replaced=tuple(
            one for name, one in after.items() if name in before and one != before[name]
        ),
        removed=tuple(one for name, one in before.items() if name not in after),
    )
