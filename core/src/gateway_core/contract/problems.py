"""Turns cattrs' errors into problems, each with its place. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

import attrs
import cattrs

from gateway_core.contract.errors import Invalid, Problem


def problems_in(error: BaseException, place: str = "", kind: object = None) -> list[Problem]:
    """Every leaf of cattrs' error, by its place below `place`; `kind` is what was wanted there."""
    if isinstance(error, cattrs.ClassValidationError | cattrs.IterableValidationError):
        return [
            problem
            for child in error.exceptions
            for problem in problems_in(child, *_where(child, place))
        ]
    if isinstance(error, Invalid):
        return [Problem(join(place, problem.place), problem.text) for problem in error.problems]
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        names = [field.name for field in attrs.fields(error.cl)] if attrs.has(error.cl) else []
        extra = sorted(map(str, error.extra_fields))
        return [Problem(join(place, key), f"is not a setting{meant(key, names)}") for key in extra]
    if isinstance(error, KeyError):
        return [Problem(place or str(error.args[0]), "is missing")]
    if isinstance(error, AttributeError | TypeError):  # cattrs looked into what is no table or list
        is_table = get_origin(kind) is Mapping or (isinstance(kind, type) and attrs.has(kind))
        return [Problem(place, "must be a table" if is_table else "does not fit")]
    return [Problem(*_validated(error, place))]


def _where(error: BaseException, place: str) -> tuple[str, object]:
    """The place of a child, and what was wanted there, as cattrs noted it."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            return join(place, note.name), note.type
        if isinstance(note, cattrs.IterableValidationNote):
            return join(place, str(note.index)), note.type
    return place, None


_NAMED = re.compile(r"'(\w+)' (must .*)", re.DOTALL)
"""How attrs' validators speak: they name the field in words."""


def _validated(error: BaseException, place: str) -> tuple[str, str]:
    """What an attrs validator says: it names the field itself."""
    args = error.args
    text = str(args[0]).partition(" (got ")[0] if args else type(error).__name__
    named = _NAMED.fullmatch(text)
    return (join(place, named[1]), named[2]) if named else (place, text)


def out_of_range(kind: Any, value: object, structure: Callable[[Any, Any], Any]) -> list[Problem]:
    """Every fault that the attrs class `kind` finds in the fields of `value`.

    The class itself would stop at the first. Fields that do not structure are left out.
    """
    problems: list[Problem] = []
    for field in attrs.fields(kind):
        if isinstance(value, Mapping) and field.name in value:
            try:
                read = structure(value[field.name], field.type)
            except Exception:  # noqa: BLE001, S112 - reported as a value that does not fit
                continue
            try:
                _look_at(field, read)
            except Exception as error:  # noqa: BLE001 - a validator may raise what it likes
                found = problems_in(error)
                problems += [Problem(p.place or field.name, p.text) for p in found]
    return problems


def _look_at(field: attrs.Attribute[Any], value: Any) -> None:
    """Do with the value what the class' `__init__` does; raises what that raises."""
    converter: Any = field.converter
    if converter is not None and not isinstance(converter, attrs.Converter):  # it asks for more
        value = converter(value)
    if field.validator is not None:
        field.validator(None, field, value)


def meant(word: str, known: Iterable[str]) -> str:
    """The known word that it looks like, as the end of a sentence; else nothing."""
    alike = get_close_matches(word, list(known), n=1)
    return f"; did you mean {alike[0]!r}?" if alike else ""


def join(place: str, name: str) -> str:
    """The place of `name` within `place`."""
    return ".".join(part for part in (place, name) if part)


# -- exactly what is asked for: cattrs by itself makes a text of a number, and true of any text


def take_no_other_for(converter: cattrs.Converter) -> None:
    """Let the converter read numbers, texts and booleans from nothing but such."""
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(bool, _exactly(bool, "true or false"))
    converter.register_structure_hook(str, _exactly(str, "a text"))
    converter.register_structure_hook_factory(_is_literal, _one_of)
    _take_only_lists(converter)


def _take_only_lists(converter: cattrs.Converter) -> None:
    """A text is no list of its letters."""
    asked: set[Any] = set()

    def is_list(kind: Any) -> bool:
        return get_origin(kind) in {tuple, list} and kind not in asked

    def make(kind: Any) -> Any:
        asked.add(kind)  # so that the converter answers with its own hook
        read = converter.get_structure_hook(kind, cache_result=False)
        asked.discard(kind)
        length = _length(kind)

        def only_lists(value: Any, wanted: Any) -> Any:
            if not isinstance(value, list | tuple):
                raise ValueError("must be a list")  # noqa: TRY004 - one kind for all
            if length is not None and len(value) != length:
                raise ValueError(f"must be a list of {length}, not {list(value)!r}")
            return read(value, wanted)

        return only_lists

    converter.register_structure_hook_factory(is_list, make)


def _length(kind: Any) -> int | None:
    """How many a tuple of so many holds; None: any number."""
    fields = get_args(kind)
    return len(fields) if get_origin(kind) is tuple and Ellipsis not in fields else None


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _one_of(kind: Any) -> Callable[[Any, Any], Any]:
    words = get_args(kind)
    wanted = f"must be one of {', '.join(map(repr, words))}"

    def read(value: Any, _: Any) -> Any:
        if value not in words:
            raise ValueError(f"{wanted}, not {value!r}{meant(str(value), map(str, words))}")
        return value

    return read


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, wanted: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"must be {words}, not {value!r}")  # noqa: TRY004 - one kind for all
        return value if wanted is kind else wanted(value)  # an enum of texts, for one

    return read


def _number(value: Any, wanted: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - nan
        raise ValueError(f"must be a number, not {value!r}")
    return wanted(value)  # type: ignore[no-any-return]  # `float`, or a kind of it


def _whole(value: Any, wanted: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {value!r}")  # noqa: TRY004 - likewise
    return value if wanted is int else wanted(value)
