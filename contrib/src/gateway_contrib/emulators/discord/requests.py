"""Requests as Discord reads them: a JSON body, or a form with the JSON in `payload_json`."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import attrs
from starlette.requests import Request

from gateway_contrib.emulators.discord.refusals import coded, form


@attrs.frozen(kw_only=True)
class Posted:
    """What a request says: its path's parameters, its fields, the number of its files."""

    path: dict[str, str]
    fields: dict[str, Any]
    query: dict[str, str]
    files: int = 0


async def read(request: Request) -> Posted:
    """The request's fields. Raises Refusal for a body that is no JSON object."""
    body, files = await request.body(), 0
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        body, files = _payload(kind, body)
    fields = _object(body) if body else {}
    query = dict(request.query_params)
    return Posted(path=dict(request.path_params), fields=fields, query=query, files=files)


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        raise coded(50109) from None
    if not isinstance(fields, dict):
        words = "Only dictionaries may be used in a DictType"
        raise form("_body", "DICT_TYPE_CONVERT", words)
    return fields


def _payload(kind: str, body: bytes) -> tuple[bytes, int]:
    """The bytes of `payload_json` and the number of files in a form of several parts."""
    header = f"Content-Type: {kind}\r\n\r\n".encode()
    payload, files = b"", 0
    for part in BytesParser(policy=HTTP).parsebytes(header + body).iter_parts():
        if part.get_param("name", header="content-disposition") == "payload_json":
            raw: Any = part.get_payload(decode=True)
            payload = raw
        else:
            files += part.get_filename() is not None
    return payload, files
