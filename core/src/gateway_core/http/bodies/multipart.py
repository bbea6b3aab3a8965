"""Builds request bodies: a form of fields (multipart/form-data), or bytes alone. Sans-I/O.

Names are quoted by the HTML standard's algorithm for multipart/form-data (html.spec.whatwg.org,
4.10.21.8), because servers are tested with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import attrs

from gateway_core.http.bodies.sources import ByteSource, BytesSource

OCTETS = "application/octet-stream"

SMALL = 1 << 12
"""Most bytes of a source in memory that is joined with the bytes around it."""

_NEWLINE = re.compile(r"\r\n|\r|\n")
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_BOUNDARY = re.compile(r"[0-9A-Za-z_-]{1,70}")
_MEDIA_TYPE = re.compile(r"[!-~]+(?:[ -~]*[!-~])?")


@attrs.frozen
class Sourced:
    """A segment of a body whose bytes come from a source; `label` names it in errors.

    size  the size that the source gave once; its bytes must have exactly this size
    """

    label: str
    source: ByteSource
    size: int


Segment: TypeAlias = bytes | Sourced
"""A segment of a body: bytes, or a source of bytes."""


def size_of(segments: Iterable[Segment]) -> int:
    """How many bytes a body has."""
    return sum(len(one) if isinstance(one, bytes) else one.size for one in segments)


def _stretch(label: str, source: ByteSource) -> Segment:
    size = source.size
    if type(source) is BytesSource and size <= SMALL:
        return source.content
    if type(size) is not int or size < 0:
        raise ValueError(f"{label}: its size must be a number of bytes, not {size!r}")
    return Sourced(label, source, size)


def _as_source(content: str | bytes | ByteSource) -> ByteSource:
    if isinstance(content, str):
        content = content.encode()
    return BytesSource(content) if isinstance(content, bytes) else content


def _is_source(_owner: Any, field: Any, value: Any) -> None:
    # The same check as `isinstance` with the protocol, which would search all attributes.
    if not (hasattr(value, "size") and hasattr(value, "open")):
        kind = type(value).__name__
        raise ValueError(f"'{field.name}' must be a text, bytes or a ByteSource, not {kind}")


def _is_text(_owner: Any, field: Any, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"'{field.name}' must be a text that is not empty, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{field.name}' must be Unicode without surrogates: {value!r}") from None


def _is_media_type(_owner: Any, field: Any, value: Any) -> None:
    if not isinstance(value, str) or _MEDIA_TYPE.fullmatch(value) is None:
        raise ValueError(f"'{field.name}' must be a media type, as in image/png, not {value!r}")


@attrs.frozen
class FormField:
    """One field of a form. A text goes out as it is, in UTF-8.

    filename    makes the field a file
    media_type  the type of the content; None: a text has no type, and a file is
                `application/octet-stream`
    """

    name: str = attrs.field(validator=_is_text)
    content: ByteSource = attrs.field(converter=_as_source, validator=_is_source, repr=False)
    filename: str | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_is_text)
    )
    media_type: str | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_is_media_type)
    )

    @property
    def label(self) -> str:
        """The field's name in errors."""
        return f"field {self.name!r}" + (f" ({self.filename!r})" if self.filename else "")

    def head(self) -> str:
        """The field's headers, and the empty line after them."""
        named = _NEWLINE.sub("\r\n", self.name).translate(_QUOTED)
        lines = [f'Content-Disposition: form-data; name="{named}"']
        if self.filename is not None:
            lines[0] += f'; filename="{self.filename.translate(_QUOTED)}"'
        kind = self.media_type or (OCTETS if self.filename is not None else None)
        if kind is not None:
            lines.append(f"Content-Type: {kind}")
        return "\r\n".join([*lines, "", ""])


def _are_fields(_form: Any, _field: Any, value: Sequence[object]) -> None:
    if not value:
        raise ValueError("'fields' must have at least one field")
    for one in value:
        if not isinstance(one, FormField):
            raise ValueError(f"'fields' must be FormFields, not {type(one).__name__}")  # noqa: TRY004 - as attrs' validators


def _is_boundary(_form: Any, _field: Any, value: Any) -> None:
    if not isinstance(value, str) or _BOUNDARY.fullmatch(value) is None:
        raise ValueError(f"'boundary' must be up to 70 letters, digits, '-' and '_': {value!r}")


def _new_boundary() -> str:
    # 128 random bits: no content has them by chance, so contents are not searched for them.
    return secrets.token_hex(16)


@attrs.frozen
class Multipart:
    """A form of fields, in their order, as multipart/form-data; at least one.

    boundary  the separator between fields, random for each form: up to 70 letters, digits, `-` and
              `_`
    """

    fields: Sequence[FormField] = attrs.field(converter=tuple, validator=_are_fields)
    boundary: str = attrs.field(
        factory=_new_boundary,
        kw_only=True,
        validator=_is_boundary,
    )

    @property
    def media_type(self) -> str:
        """The request's content type."""
        return f"multipart/form-data; boundary={self.boundary}"

    def segments(self) -> Sequence[Segment]:
        """The form's segments, in order. Raises ValueError if a source's size is no number."""
        found: list[Segment] = []
        before = f"--{self.boundary}\r\n"
        for field in self.fields:
            found += [f"{before}{field.head()}".encode(), _stretch(field.label, field.content)]
            before = f"\r\n--{self.boundary}\r\n"
        return [*found, f"\r\n--{self.boundary}--\r\n".encode()]


@attrs.frozen
class RawBody:
    """Bytes alone, of any media type."""

    content: ByteSource = attrs.field(converter=_as_source, validator=_is_source, repr=False)
    media_type: str = attrs.field(default=OCTETS, validator=_is_media_type)

    def segments(self) -> Sequence[Segment]:
        """The body's single segment. Raises ValueError if the source's size is no number."""
        return [_stretch("the body", self.content)]
