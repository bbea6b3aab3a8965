"""Writes values as plain JSON and reads them back without loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, TypeVar, overload

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from gateway_core.contract import envelopes
from gateway_core.contract.beside.buttons import Button, Rows, rows_of
from gateway_core.contract.envelopes import REF_VERSION, Json, KeyRef, MessageRef
from gateway_core.contract.errors import FormatVersionError, Invalid, Problem
from gateway_core.contract.files import MOST_FILES, File, too_many
from gateway_core.contract.instances import Secret
from gateway_core.contract.problems import problems_in, take_no_other_for
from gateway_core.contract.validators import shown

T = TypeVar("T")

FORMAT_VERSION = 1
"""Written into every stored envelope; a release reads its own version and all earlier ones."""

_KINDS: Mapping[str, Any] = {
    "send": envelopes.Send,
    "edit": envelopes.Edit,
    "delete": envelopes.Delete,
    "call": envelopes.Call,
}
_SOURCE: Any = attrs.fields(attrs.resolve_types(File)).source.type
_WRITERS: dict[type, Callable[[Any], Any]] = {}
"""Writers of envelopes by class; every accepted envelope is written."""


def _make() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, omit_if_default=True)
    take_no_other_for(converter)
    converter.register_unstructure_hook(Secret, Secret.reveal)
    converter.register_structure_hook(Secret, lambda value, _: Secret(value))
    converter.register_structure_hook(envelopes.Mentions, _mentions)
    converter.register_structure_hook_func(lambda kind: kind == Rows, _rows(converter))
    converter.register_structure_hook(_SOURCE, _source)
    converter.register_unstructure_hook(_SOURCE, _written)
    ref = make_dict_structure_fn(MessageRef, converter)
    converter.register_structure_hook(MessageRef, lambda v, t: ref(_readable(v, REF_VERSION), t))

    def target(value: Any, _: Any) -> Any:
        return converter.structure(value, KeyRef if "key" in _table(value) else MessageRef)

    def envelope(value: Any, _: Any) -> Any:
        kind = _KINDS.get(str(_table(value).get("kind")))
        if kind is None:
            text = f"must be one of {', '.join(_KINDS)}, not {shown(value.get('kind'))}"
            raise Invalid([Problem("kind", text)])
        return converter.structure(value, kind)

    def perhaps_target(value: Any, kind: Any) -> Any:
        return None if value is None else target(value, kind)

    converter.register_structure_hook(envelopes.Target, target)
    converter.register_structure_hook(envelopes.Target | None, perhaps_target)
    converter.register_structure_hook(envelopes.Envelope, envelope)
    for name, kind in _KINDS.items():
        _register(converter, name, kind)
    return converter


def _register(converter: cattrs.Converter, name: str, kind: Any) -> None:
    """Write and read envelopes of class `kind` with their kind and the format version."""
    plain = cattrs.gen.make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True)
    structure = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
    head = {"kind": name, "version": FORMAT_VERSION}

    def write(value: Any) -> Any:
        fields = plain(value)
        fields.update(head)
        return fields

    converter.register_unstructure_hook(kind, write)
    _WRITERS[kind] = write

    def read(value: Any, kind: Any) -> Any:
        fields = dict(_readable(value, FORMAT_VERSION))
        fields.pop("version", None)
        if fields.pop("kind", name) != name:
            raise Invalid([Problem("kind", f"is {shown(value['kind'])}, not {name!r}")])
        if isinstance(files := fields.get("files"), list) and len(files) > MOST_FILES:
            raise Invalid([Problem("files", too_many(files))])  # reading them all takes seconds
        return structure(fields, kind)

    converter.register_structure_hook(kind, read)


def _mentions(value: Any, _: Any) -> Any:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"must be true, false or a list of ids, not {shown(value)}")
    return tuple(value)


def _rows(converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """A reader of buttons, given as one row or as a list of rows."""
    row = tuple[Button, ...]

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list of buttons, or of rows of them, not {shown(value)}")  # noqa: TRY004 - one kind for all
        if value and all(isinstance(each, Mapping) for each in value):
            return rows_of(converter.structure(value, row))
        return converter.structure(value, tuple[list[Button], ...])

    return read


def _source(value: Any, _: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"must be a path or a URL, not {shown(value)}")
    return value


def _written(source: Any) -> Any:
    if isinstance(source, bytes):
        raise TypeError("a file's bytes cannot be written as JSON: give a path instead")
    return None if source is None else os.fspath(source)


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid([Problem("", "must be a table")])
    return value


def _readable(value: Any, newest: int) -> Mapping[str, Any]:
    """The table, if this release reads the format version that the table was written in."""
    table = _table(value)
    version = table.get("version", newest)
    if not isinstance(version, int) or not 1 <= version <= newest:
        text = f"written in format version {version!r}; this release reads 1 to {newest}"
        raise FormatVersionError(text)
    return table


_CONVERTER = _make()


def to_json(value: Any) -> Json:
    """A value as plain JSON; defaults are left out."""
    if write := _WRITERS.get(type(value)):
        return write(value)
    plain = _CONVERTER.unstructure(value)
    if isinstance(value, MessageRef):
        plain["version"] = value.version
    return plain


@overload
def from_json(kind: type[T], plain: Json) -> T: ...
@overload
def from_json(kind: UnionType, plain: Json) -> envelopes.Envelope: ...
def from_json(kind: type[T] | UnionType, plain: Json) -> T | envelopes.Envelope:
    """Read a value of class `kind` from plain JSON; with `Envelope` as `kind`, any envelope.

    Raises `FormatVersionError` if a later release wrote it, and `Invalid` with every field that
    does not fit.
    """
    wanted: Any = kind  # cattrs' own types know no unions
    try:
        return _CONVERTER.structure(_table(plain), wanted)  # type: ignore[no-any-return]  # of `kind`
    except cattrs.BaseValidationError as error:
        later: BaseException | None = error.subgroup(FormatVersionError)
        while isinstance(later, BaseExceptionGroup):
            later = later.exceptions[0]
        raise later or Invalid(problems_in(error)) from None
