"""Reads a request's parameters as the Bot API does: query, form, multipart or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs
from starlette.requests import Request

from gateway_contrib.emulators.files.forms import (
    FIELD_BYTES,
    Form,
    TooLarge,
    Unreadable,
    Upload,
    is_form,
    read_body,
    read_form,
)
from gateway_contrib.emulators.reading import json_in
from gateway_contrib.emulators.telegram.limits import TelegramLimits
from gateway_contrib.emulators.telegram.refusals import Refusal, bad_request

MOST_FILES = 10
"""Most files of the largest size in one request: an album."""

_YES = {"true", "1", "yes"}


@attrs.frozen
class Parameters:
    """The posted values; in forms every value is a text, and structures are JSON in a text.

    uploads  the files, by the names of their parts; `values` has each file's own name
    """

    values: Mapping[str, Any]
    uploads: Mapping[str, Upload] = attrs.field(factory=dict)

    def text(self, name: str) -> str:
        """A text; empty if it is missing."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str) -> int:
        """A whole number; 0 if it is missing or not a number, as on the real server."""
        try:
            return int(self.values.get(name, 0))
        except (TypeError, ValueError):
            return 0

    def flag(self, name: str) -> bool:
        """A boolean; false if it is missing."""
        value = self.values.get(name, False)
        return value.lower() in _YES if isinstance(value, str) else bool(value)

    def structure(self, name: str, kind: type, words: str) -> Any:
        """An object (`dict`) or array (`list`); None if it is missing or empty."""
        value = self.values.get(name)
        if isinstance(value, str):
            value = _parsed(value, words) if value else None
        if value is not None and not isinstance(value, kind):
            raise bad_request(f"can't parse {words}")
        return value


async def read(request: Request, limits: TelegramLimits) -> Parameters:
    """The parameters of the query and of the body, whatever form the body has.

    Raises `Refusal` if the body cannot be read or is too large.
    """
    query: dict[str, Any] = dict(parse_qsl(request.url.query, keep_blank_values=True))
    try:
        if is_form(request):
            form = await _form(request, limits)
            uploads = {upload.field: upload for upload in form.uploads}
            names = {field: upload.name for field, upload in uploads.items()}
            return Parameters({**query, **form.fields, **names}, uploads)
        return Parameters({**query, **_values(request, await read_body(request))})
    except TooLarge:
        raise Refusal(413, "Request Entity Too Large") from None


def _values(request: Request, body: bytes) -> Mapping[str, Any]:
    """The values in a body without files."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind == "application/json":
        return _json_object(body)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json_in(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad_request("can't parse JSON object")
    return value


async def _form(request: Request, limits: TelegramLimits) -> Form:
    """A form of several parts."""
    most = limits.upload_bytes * MOST_FILES + FIELD_BYTES
    try:
        return await read_form(request, file_bytes=limits.upload_bytes, body_bytes=most)
    except Unreadable:
        raise bad_request("can't parse multipart/form-data") from None


def _parsed(text: str, words: str) -> Any:
    try:
        return json_in(text)
    except ValueError:
        raise bad_request(f"can't parse {words}") from None
