"""Counts the things that an object holds: the size of every collection reachable from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

HOUSE = ("gateway_core", "gateway_contrib", "gateway_plugin_")
"""The packages whose objects are searched."""
MANY = (Mapping, AbstractSet, list, deque)


def collections_of(root: Any) -> dict[str, int]:
    """The sizes of all collections below `root`, by path; sizes with the same path are added up.

    A path names classes and attributes, so it is the same for each of a thousand similar objects.
    """
    sizes: dict[str, int] = {}
    seen = {id(root)}
    todo: deque[tuple[str, Any]] = deque([(type(root).__name__, root)])
    while todo:
        path, thing = todo.popleft()
        if isinstance(thing, MANY):
            sizes[path] = sizes.get(path, 0) + len(thing)
        for name, value in _below(path, thing):
            if id(value) not in seen and not isinstance(value, str | bytes | int | float | type):
                seen.add(id(value))
                todo.append((name, value))
    return sizes


def _below(path: str, thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        values = [*thing.keys(), *thing.values()]
        yield from ((f"{path}[]", value) for value in values)
    elif isinstance(thing, list | tuple | deque | AbstractSet):
        yield from ((f"{path}[]", value) for value in thing)
    elif type(thing).__module__.startswith(HOUSE) or hasattr(thing, "__self__"):
        owner = getattr(thing, "__self__", None)
        if owner is not None:  # a bound method
            yield type(owner).__name__, owner
            return
        for name in _names(thing):
            value = getattr(thing, name, None)
            yield f"{type(thing).__name__}.{name}", value


def _names(thing: Any) -> set[str]:
    names = set(getattr(thing, "__dict__", ()))
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    return {
        f"_{type(thing).__name__.lstrip('_')}{name}" if name.startswith("__") else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    }
