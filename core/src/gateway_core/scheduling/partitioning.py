"""Decides which partition serves a routing key: the same in every process. Sans-I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

from gateway_core.contract.errors import HookContractError
from gateway_core.contract.validators import is_whole, shown, words_of

T = TypeVar("T")

Strategy: TypeAlias = str | Callable[[str, str], int]
"""`room`, `instance`, or a callable (instance id, room id) -> whole number."""


def by_room(instance_id: str, room_id: str) -> int:
    """The default: rooms are spread evenly, whatever their instance."""
    return _stable(f"{len(instance_id)}:{instance_id}/{room_id}")


def by_instance(instance_id: str, room_id: str) -> int:  # noqa: ARG001 - a strategy's signature
    """All rooms of an instance together: one tenant's flood stays in its partition."""
    return _stable(instance_id)


def _stable(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


STRATEGIES: Mapping[str, Callable[[str, str], int]] = {"room": by_room, "instance": by_instance}


def strategy(named: Strategy) -> Callable[[str, str], int]:
    """The function of a name, or the callable itself."""
    return named if callable(named) else STRATEGIES[named]


def finder(partitions: Sequence[T], named: Strategy) -> Callable[[str, str], T]:
    """A function that finds the partition of a routing key: computed, and never stored.

    It raises `HookContractError` for a callable that raises, or gives no whole number.
    """
    number_of, count = strategy(named), len(partitions)

    @lru_cache(maxsize=16_384)
    def partition_of(instance_id: str, room: str) -> T:
        try:
            number = number_of(instance_id, room)
        except Exception as error:  # an application's code may raise anything
            raise _wrong(named, f"raised {words_of(error)}") from error
        if not is_whole(number):
            raise _wrong(named, f"answered with {shown(number)}, expected a whole number")
        return partitions[number % count]

    return partition_of


def _wrong(named: Strategy, text: str) -> HookContractError:
    name = named if isinstance(named, str) else getattr(named, "__qualname__", repr(named))
    return HookContractError(hook="partition_by", plugin=name, text=text)
