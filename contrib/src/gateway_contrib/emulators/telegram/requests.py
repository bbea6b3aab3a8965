"""A request's parameters: query, form, multipart or JSON, as the Bot API reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

import attrs
from starlette.requests import Request

from gateway_contrib.emulators.telegram.refusals import bad_request

_YES = {"true", "1", "yes"}


@attrs.frozen
class Parameters:
    """What was posted; in forms every value is a text, structures are JSON in a text."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A text; empty where it is missing."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str) -> int:
        """A whole number; 0 where it is missing or none, as the real server reads it."""
        try:
            return int(self.values.get(name, 0))
        except (TypeError, ValueError):
            return 0

    def flag(self, name: str) -> bool:
        """A boolean; false where it is missing."""
        value = self.values.get(name, False)
        return value.lower() in _YES if isinstance(value, str) else bool(value)

    def structure(self, name: str, kind: type, words: str) -> Any:
        """An object (`dict`) or array (`list`); None where it is missing or empty."""
        value = self.values.get(name)
        if isinstance(value, str):
            value = _parsed(value, words) if value else None
        if value is not None and not isinstance(value, kind):
            raise bad_request(f"can't parse {words}")
        return value


async def read(request: Request) -> Parameters:
    """The parameters of the query and of the body, whatever form the body has."""
    values: dict[str, Any] = dict(parse_qsl(request.url.query, keep_blank_values=True))
    body = await request.body()
    header = request.headers.get("content-type", "")
    kind = header.partition(";")[0].strip().lower()
    if body and kind == "application/json":
        values.update(_json_object(body))
    elif kind == "multipart/form-data":
        values.update(_multipart(header, body))
    else:
        values.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return Parameters(values)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad_request("can't parse JSON object")
    return value


def _multipart(header: str, body: bytes) -> Mapping[str, str]:
    """The fields of a multipart form; of a file, its name."""
    head = f"Content-Type: {header}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = part.get_filename() or content.decode("utf-8", "replace")
    return fields


def _parsed(text: str, words: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise bad_request(f"can't parse {words}") from None
