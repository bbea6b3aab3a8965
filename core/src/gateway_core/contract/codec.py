"""Writes values as plain JSON and reads them back without loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, TypeVar, overload

import cattrs
from cattrs.gen import make_dict_structure_fn

from gateway_core.contract import envelopes
from gateway_core.contract.envelopes import (
    REF_VERSION,
    Call,
    Delete,
    Edit,
    Json,
    KeyRef,
    MessageRef,
    Send,
)
from gateway_core.contract.errors import FormatVersionError, Invalid, Problem
from gateway_core.contract.problems import problems_in, take_no_other_for

T = TypeVar("T")

FORMAT_VERSION = 1
"""Written into every stored envelope; a release reads its own and all earlier ones."""

_KINDS: Mapping[str, Any] = {"send": Send, "edit": Edit, "delete": Delete, "call": Call}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_WRITERS: dict[type, Callable[[Any], Any]] = {}
"""Writers of envelopes by class; every accepted envelope is written."""


def _make() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, omit_if_default=True)
    take_no_other_for(converter)
    ref = make_dict_structure_fn(MessageRef, converter)
    converter.register_structure_hook(MessageRef, lambda v, t: ref(_readable(v, REF_VERSION), t))
    converter.register_structure_hook(envelopes.Target, _target(converter))
    for kind in _KINDS.values():
        _register(converter, kind)
    converter.register_structure_hook(envelopes.Envelope, _envelope(converter))
    return converter


def _register(converter: cattrs.Converter, kind: Any) -> None:
    """An envelope carries its kind and the format version."""
    plain = cattrs.gen.make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True)
    structure = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
    head = {"kind": _NAMES[kind], "version": FORMAT_VERSION}

    def write(value: Any) -> Any:
        fields = plain(value)
        fields.update(head)
        return fields

    converter.register_unstructure_hook(kind, write)
    _WRITERS[kind] = write

    def read(value: Any, kind: Any) -> Any:
        fields = dict(_readable(value, FORMAT_VERSION))
        fields.pop("version", None)
        if fields.pop("kind", head["kind"]) != head["kind"]:
            raise Invalid([Problem("kind", f"is {value['kind']!r}, not {head['kind']!r}")])
        return structure(fields, kind)

    converter.register_structure_hook(kind, read)


def _target(converter: cattrs.Converter) -> Any:
    def read(value: Any, _: Any) -> Any:
        return converter.structure(value, KeyRef if "key" in _table(value) else MessageRef)

    return read


def _envelope(converter: cattrs.Converter) -> Any:
    def read(value: Any, _: Any) -> Any:
        kind = _KINDS.get(str(_table(value).get("kind")))
        if kind is None:
            raise Invalid([Problem("kind", f"{value.get('kind')!r} is no kind of envelope")])
        return converter.structure(value, kind)

    return read


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid([Problem("", "must be a table")])
    return value


def _readable(value: Any, newest: int) -> Mapping[str, Any]:
    """The value, if this release reads the version it was written in."""
    version = _table(value).get("version", newest)
    if not isinstance(version, int) or not 1 <= version <= newest:
        raise FormatVersionError(
            f"written in format version {version!r}; this release reads 1 to {newest}"
        )
    return value  # type: ignore[no-any-return]  # a table, as looked at


_CONVERTER = _make()


def to_json(value: Any) -> Json:
    """A value as plain JSON; defaults are left out."""
    write = _WRITERS.get(type(value))
    if write is not None:
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
    """The value of plain JSON; with `Envelope` as `kind`, any of the four.

    Raises `FormatVersionError` if a later release wrote it, and `Invalid` with every field that
    does not fit.
    """
    wanted: Any = kind  # cattrs' own types know no unions
    try:
        return _CONVERTER.structure(_table(plain), wanted)  # type: ignore[no-any-return]  # of `kind`
    except cattrs.BaseValidationError as error:
        version = _version_error(error)
        if version is not None:
            raise version from None
        raise Invalid(problems_in(error)) from None


def _version_error(error: BaseException) -> FormatVersionError | None:
    if isinstance(error, FormatVersionError):
        return error
    for part in getattr(error, "exceptions", ()):
        found = _version_error(part)
        if found is not None:
            return found
    return None
