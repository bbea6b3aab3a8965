"""Turns cattrs' errors into problems, each with its place. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import inf
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import attrs
import cattrs

from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.validators import cut, is_finite, shown

_NAMED = re.compile(r"'(\w+)' (must .*)", re.DOTALL)
"""The form of a validator's message, which names the field."""


def problems_in(error: BaseException, place: str = "", kind: object = None) -> list[Problem]:
    """Every leaf of cattrs' error, with its place below `place`, where `kind` was wanted."""
    if isinstance(error, cattrs.ClassValidationError | cattrs.IterableValidationError):
        children = [problems_in(child, *_where(child, place)) for child in error.exceptions]
        return [problem for child in children for problem in child]
    if isinstance(error, Invalid | Mistakes):
        return [Problem(join(place, problem.place), problem.text) for problem in error.problems]
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)] if attrs.has(error.cl) else []
        found = _unknown_ones(sorted(map(str, error.extra_fields)), known)
        return [Problem(join(place, each.place), each.text) for each in found]
    if isinstance(error, KeyError):
        is_missing = place.rpartition(".")[2] == str(error.args[0] if error.args else "")
        return [Problem(place, "is missing" if is_missing else _raised(error))]
    if isinstance(error, AttributeError | TypeError):  # it is no table or list, as cattrs assumed
        is_table = get_origin(kind) is Mapping or (isinstance(kind, type) and attrs.has(kind))
        return [Problem(place, "must be a table" if is_table else "has the wrong type")]
    text = str(error.args[0]).partition(" (got ")[0] if error.args else type(error).__name__
    named = _NAMED.fullmatch(text)
    return [Problem(join(place, named[1]), named[2]) if named else Problem(place, text)]


def _where(error: BaseException, place: str) -> tuple[str, object]:
    """The place of a child error, and the type wanted there, from cattrs' notes."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            return join(place, note.name), note.type
        if isinstance(note, cattrs.IterableValidationNote):
            return join(place, str(note.index)), note.type
    return place, None


def mistakes_in(kind: Any, values: Mapping[str, Any], place: str = "") -> list[Problem]:
    """Every mistake in `values` for the attrs class `kind`, each with its place below `place`."""
    known = attrs.fields_dict(kind)
    found = _unknown_ones([name for name in map(str, values) if name not in known], known)
    found += [
        Problem(name, "is missing")
        for name, field in known.items()
        if field.init and field.default is attrs.NOTHING and name not in values
    ]
    found += out_of_range(kind, values, lambda value, _: value)
    return [Problem(join(place, problem.place), problem.text) for problem in found]


class Mistakes(ValueError):
    """Several mistakes in one class of settings; in `problems`, a field's name is the place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"'{each.place}' {each.text}" for each in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        """For copying and pickling; otherwise Python would pass only the text."""
        return Mistakes, (self.problems,)


class CheckedSettings:
    """A base for attrs classes of settings, which alone would stop at the first mistake.

    If there are several mistakes, creating the settings raises one ValueError with all of them, as
    reading a configuration does.
    """

    __slots__ = ()

    def __attrs_pre_init__(self, *in_turn: Any, **by_name: Any) -> None:
        """Raises `Mistakes` if there are several; attrs itself reports a single mistake."""
        kind: Any = type(self)
        fields = [field for field in attrs.fields(kind) if field.init]
        given = dict(zip((f.name for f in fields if not f.kw_only), in_turn, strict=False))
        given |= {f.name: by_name[f.alias] for f in fields if f.alias in by_name}
        for name, value in tuple(given.items()):
            if value is attrs.NOTHING or isinstance(value, Iterator):  # which can be read only once
                del given[name]
        problems = out_of_range(kind, given, lambda value, _: value)
        if len(problems) > 1:
            raise Mistakes(problems)


def out_of_range(kind: Any, value: object, structure: Callable[[Any, Any], Any]) -> list[Problem]:
    """Every fault that converters and validators of the attrs class `kind` find in its fields.

    A validator that looks at other fields sees the fields that can be read, and the defaults.
    """
    problems: list[Problem] = []
    given = value if isinstance(value, Mapping) else {}
    settings = SimpleNamespace()
    for field in (field for field in attrs.fields(kind) if field.init):
        try:
            if field.name in given:
                read = structure(given[field.name], field.type)
            else:
                read = _own(field, settings)
        except Exception:  # noqa: BLE001, S112 - reported as what does not fit, or is missing
            continue
        try:
            setattr(settings, field.name, _converted(field, read, settings))
        except Exception as error:  # noqa: BLE001 - a converter may raise what it likes
            problems += _of_field(field, error)
    for field in attrs.fields(kind):
        if field.validator is None or not hasattr(settings, field.name):
            continue
        try:
            field.validator(settings, field, getattr(settings, field.name))
        except Exception as error:  # noqa: BLE001 - likewise
            if isinstance(error, AttributeError) and error.obj is settings:
                continue  # the field that it looks at has a mistake of its own
            problems += _of_field(field, error)
            delattr(settings, field.name)  # a wrong field takes part in no relation
    return problems


def _own(field: attrs.Attribute[Any], settings: Any) -> Any:
    """A field's default. Raises LookupError if there is none."""
    default: Any = field.default
    if default is attrs.NOTHING:
        raise LookupError
    if not hasattr(default, "takes_self"):
        return default
    return default.factory(settings) if default.takes_self else default.factory()


def _converted(field: attrs.Attribute[Any], value: Any, settings: Any) -> Any:
    convert: Any = field.converter
    if isinstance(convert, attrs.Converter):
        return convert.__call__(value, settings, field)  # type: ignore[operator]  # set by attrs
    return value if convert is None else convert(value)


def _raised(error: Exception) -> str:
    """What is said of an error in a class's own code; its words may have a secret's value."""
    return f"cannot be read: its converter or validator raised {type(error).__name__}"


def _of_field(field: attrs.Attribute[Any], error: Exception) -> list[Problem]:
    if isinstance(error, KeyError | AttributeError):
        return [Problem(field.name, _raised(error))]
    if isinstance(error, TypeError) and error.args:  # some of attrs' own validators raise it
        error = ValueError(*error.args)
    return [Problem(p.place or field.name, p.text) for p in problems_in(error)]


_FEW = 12
"""Settings of a table that can be listed in an error."""
_MOST_UNKNOWN = 20
"""Unknown names of a table that are reported one by one: each is compared with all known names."""


def _unknown_ones(names: Sequence[str], known: Collection[str]) -> list[Problem]:
    """A problem for each of the names, which are no settings; one for all after the first ones."""
    found = [Problem(cut(name), _unknown(cut(name), known)) for name in names[:_MOST_UNKNOWN]]
    if more := len(names) - len(found):
        found.append(Problem("", f"has {more} more names that are no settings"))
    return found


def _unknown(name: str, known: Collection[str]) -> str:
    """Say that `name` is no setting, and which settings there are."""
    listed = f"; the settings here are {', '.join(known)}" if 0 < len(known) <= _FEW else ""
    return f"is not a setting{meant(name, known) or listed}"


def meant(word: str, known: Iterable[str]) -> str:
    """The known word that `word` resembles, as the end of a sentence; or nothing."""
    alike = get_close_matches(word, list(known), n=1)
    return f"; did you mean {alike[0]!r}?" if alike else ""


def join(place: str, name: str) -> str:
    """The place of `name` within `place`."""
    return ".".join(part for part in (place, name) if part)


# -- read exactly the wanted type: cattrs alone turns a number into a text, and a text into true

_PLAIN = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


def take_no_other_for(converter: cattrs.Converter) -> None:
    """Make the converter read numbers, texts and booleans only from values of that type."""
    for kind, words in _PLAIN.items():
        converter.register_structure_hook(kind, _exactly(kind, words))
    converter.register_structure_hook_factory(_is_literal, _one_of)
    _take_only_lists(converter)


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, wanted: Any) -> Any:
        if kind is float:
            fits = is_finite(value) or value in (inf, -inf)
        else:
            fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits:
            raise ValueError(f"must be {words}, not {shown(value)}")
        return value if isinstance(value, wanted) else wanted(value)  # an enum of texts, for one

    return read


_AT_ONCE = 16
"""Items of a list that are read before the mistakes in them are reported: whoever sends a list of
thousands of wrong items gets the first mistakes, and soon."""


def _count_from(start: int, error: cattrs.IterableValidationError) -> None:
    """Correct the places of an error: the list that was read begins at that place of another."""
    for child in error.exceptions:
        notes = child.__notes__
        for at, note in enumerate(notes):
            if isinstance(note, cattrs.IterableValidationNote) and isinstance(note.index, int):
                notes[at] = cattrs.IterableValidationNote(note, note.index + start, note.type)


def _take_only_lists(converter: cattrs.Converter) -> None:
    """Make the converter read lists only from lists, and not from a text's letters."""
    making: set[Any] = set()

    def is_list(kind: Any) -> bool:
        return get_origin(kind) in {tuple, list} and kind not in making

    def make(kind: Any) -> Any:
        making.add(kind)  # so that the converter answers with its own hook
        read = converter.get_structure_hook(kind, cache_result=False)
        making.discard(kind)
        fields = get_args(kind)
        any_length = get_origin(kind) is list or Ellipsis in fields

        origin: Any = get_origin(kind)

        def only_lists(value: Any, wanted: Any) -> Any:
            if not isinstance(value, list | tuple):
                raise ValueError(f"must be a list, not {shown(value)}")  # noqa: TRY004 - one kind for all
            if not any_length and len(value) != len(fields):
                raise ValueError(f"must be a list of {len(fields)}, not {shown(list(value))}")
            if not any_length or len(value) <= _AT_ONCE:
                return read(value, wanted)
            found: list[Any] = []
            for start in range(0, len(value), _AT_ONCE):
                try:
                    found += read(value[start : start + _AT_ONCE], wanted)
                except cattrs.IterableValidationError as error:
                    _count_from(start, error)
                    raise
            return origin(found)

        return only_lists

    converter.register_structure_hook_factory(is_list, make)


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _one_of(kind: Any) -> Callable[[Any, Any], Any]:
    words = get_args(kind)
    wanted = f"must be one of {', '.join(map(repr, words))}"

    def read(value: Any, _: Any) -> Any:
        if value in words:
            return value
        raise ValueError(f"{wanted}, not {shown(value)}{meant(str(value), map(str, words))}")

    return read
