"""Reads requests as Discord does: a JSON body, or a form with the JSON in `payload_json`."""

from __future__ import annotations

from typing import Any

import attrs
from starlette.requests import Request

from gateway_contrib.emulators.discord.limits import DiscordLimits
from gateway_contrib.emulators.discord.refusals import coded, form, plain
from gateway_contrib.emulators.files.forms import (
    FIELD_BYTES,
    TooLarge,
    Unreadable,
    Upload,
    is_form,
    read_body,
    read_form,
)
from gateway_contrib.emulators.reading import json_in


@attrs.frozen(kw_only=True)
class Posted:
    """A request's contents: its path's parameters, its fields, its query, its files."""

    path: dict[str, str]
    fields: dict[str, Any]
    query: dict[str, str]
    files: tuple[Upload, ...] = ()


async def read(request: Request, limits: DiscordLimits) -> Posted:
    """The request's contents. Raises Refusal if they are not a JSON object, or too large."""
    try:
        body, files = await _body(request, limits)
    except TooLarge:
        raise coded(40005) from None
    except Unreadable:
        raise plain(400, "Bad Request") from None
    fields = _object(body) if body else {}
    query = dict(request.query_params)
    return Posted(path=dict(request.path_params), fields=fields, query=query, files=files)


async def _body(request: Request, limits: DiscordLimits) -> tuple[bytes, tuple[Upload, ...]]:
    """The JSON and the files."""
    if not is_form(request):
        return await read_body(request), ()
    most = limits.file_bytes * limits.max_files + FIELD_BYTES
    posted = await read_form(request, file_bytes=limits.file_bytes, body_bytes=most)
    return posted.fields.get("payload_json", "").encode(), posted.uploads


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json_in(body)
    except ValueError:
        raise coded(50109) from None
    if not isinstance(fields, dict):
        words = "Only dictionaries may be used in a DictType"
        raise form("_body", "DICT_TYPE_CONVERT", words)
    return fields
