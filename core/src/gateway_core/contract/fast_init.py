"""Makes frozen values as their classes do, at a third of the cost. Sans-I/O.

A frozen class of attrs writes each field through a call. For the seven values that every message
needs, that would be a fifth of the engine's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar, cast

import attrs

P = ParamSpec("P")
T = TypeVar("T")

_OPEN = {
    "__slots__": (),
    "__setattr__": object.__setattr__,
    "__delattr__": object.__delattr__,  # the interpreter writes plainly where both are object's
}
"""Of the class that a value has while its fields are written."""


def fast_init(kind: Callable[P, T]) -> Callable[P, T]:
    """A function that takes what `kind` takes, and makes what `kind` would.

    A field's default is valid: its validator is asked of other values only, and one that is made
    for each value needs no converter.
    """
    cls: Any = kind
    unfinished = type(cls.__name__, (cls,), _OPEN)
    names = {"NEW": object.__new__, "UNFINISHED": unfinished, "KIND": cls, "MISSING": attrs.NOTHING}
    fields = attrs.fields(cls)
    parameters = ", ".join([_parameter(field, names) for field in fields])
    lines = [line for field in fields for line in _written(field, names)]
    lines += [_checked(field, names) for field in fields if field.validator is not None]
    body = "\n    ".join(["self = NEW(UNFINISHED)", *lines, "self.__class__ = KIND", "return self"])
    exec(f"def make(*, {parameters}):\n    {body}\n", names)  # noqa: S102 - as attrs itself does, of the class's own fields
    return names["make"]  # type: ignore[no-any-return]  # made one line above


def _parameter(field: attrs.Attribute[Any], names: dict[str, Any]) -> str:
    if field.default is attrs.NOTHING:
        return field.name
    names[f"default_{field.name}"] = attrs.NOTHING if _is_made(field) else field.default
    return f"{field.name}=default_{field.name}"


def _is_made(field: attrs.Attribute[Any]) -> bool:
    """Whether the default is a new one for each value."""
    return hasattr(field.default, "takes_self")


def _written(field: attrs.Attribute[Any], names: dict[str, Any]) -> Iterator[str]:
    name, default = field.name, cast("Any", field.default)
    converted = ""
    if field.converter is not None:
        names[f"converted_{name}"] = field.converter
        converted = f"{name} = converted_{name}({name})"
    if _is_made(field):
        names[f"made_{name}"] = default.factory
        yield f"if {name} is MISSING: {name} = made_{name}({'self' if default.takes_self else ''})"
        converted = converted and f"else: {converted}"
    if converted:
        yield converted
    yield f"self.{name} = {name}"


def _checked(field: attrs.Attribute[Any], names: dict[str, Any]) -> str:
    name = field.name
    names |= {f"field_{name}": field, f"check_{name}": field.validator}
    names.setdefault(f"default_{name}", attrs.NOTHING)
    return f"if {name} is not default_{name}: check_{name}(self, field_{name}, {name})"
