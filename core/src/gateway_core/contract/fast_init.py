"""Makes and changes frozen values as attrs does, at a third of the cost. Sans-I/O.

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
    "__delattr__": object.__delattr__,  # only with both of object's, Python writes directly
}
"""Attributes of the class that a value has while its fields are written."""


def fast_init(kind: Callable[P, T]) -> Callable[P, T]:
    """A faster constructor for the attrs class `kind`, with the same arguments and result.

    Validators do not check a field's default, and defaults from a factory are not converted.
    """
    cls: Any = kind
    unfinished = type(cls.__name__, (cls,), _OPEN)
    names = {"NEW": object.__new__, "UNFINISHED": unfinished, "KIND": cls, "MISSING": attrs.NOTHING}
    parameters, lines, checks = [], ["self = NEW(UNFINISHED)"], []
    for field in attrs.fields(cls):
        name = field.name
        parameters.append(name if field.default is attrs.NOTHING else f"{name}=default_{name}")
        lines += _written(field, names)
        if field.validator is not None:
            names |= {f"field_{name}": field, f"check_{name}": field.validator}
            checks.append(
                f"if {name} is not default_{name}: check_{name}(self, field_{name}, {name})"
            )
    body = "\n    ".join([*lines, *checks, "self.__class__ = KIND", "return self"])
    exec(f"def make(*, {', '.join(parameters)}):\n    {body}\n", names)  # noqa: S102 - as attrs itself does, of the class's own fields
    return names["make"]  # type: ignore[no-any-return]  # made one line above


def fast_evolve(kind: type[T]) -> Callable[..., T]:
    """A faster `attrs.evolve` for values of exactly the class `kind`.

    It checks and converts nothing: new values must have the form that the class would give them.
    """
    cls: Any = kind
    names = {
        "NEW": object.__new__,
        "UNFINISHED": type(cls.__name__, (cls,), _OPEN),
        "KIND": cls,
        "SAME": attrs.NOTHING,
    }
    fields = [field.name for field in attrs.fields(cls)]
    parameters = ", ".join(f"{name}=SAME" for name in fields)
    lines = [f"made.{name} = value.{name} if {name} is SAME else {name}" for name in fields]
    body = "\n    ".join(["made = NEW(UNFINISHED)", *lines, "made.__class__ = KIND", "return made"])
    exec(f"def evolve(value, *, {parameters}):\n    {body}\n", names)  # noqa: S102 - as above
    return names["evolve"]  # type: ignore[no-any-return]  # made one line above


def _written(field: attrs.Attribute[Any], names: dict[str, Any]) -> Iterator[str]:
    name, default = field.name, cast("Any", field.default)
    converted = ""
    if field.converter is not None:
        names[f"converted_{name}"] = field.converter
        converted = f"{name} = converted_{name}({name})"
    if hasattr(default, "takes_self"):  # a factory makes a new default for each value
        names |= {f"default_{name}": attrs.NOTHING, f"made_{name}": default.factory}
        yield f"if {name} is MISSING: {name} = made_{name}({'self' if default.takes_self else ''})"
        converted = converted and f"else: {converted}"
    else:
        names[f"default_{name}"] = default
    if converted:
        yield converted
    yield f"self.{name} = {name}"
