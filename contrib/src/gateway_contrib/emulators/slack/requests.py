"""Reads a request to Slack: its token, and its arguments from query, form or JSON.

Source: docs.slack.dev, using the Web API. In a form, structured arguments are JSON in a text. With
a JSON body, the token must be in the header.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs
from starlette.requests import Request

from gateway_contrib.emulators.files.forms import TooLarge, read_body
from gateway_contrib.emulators.reading import json_in
from gateway_contrib.emulators.slack.refusals import Refusal

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
STRUCTURED = {
    "blocks": "invalid_blocks_format",
    "attachments": "invalid_attachments",
    "metadata": "invalid_metadata_format",
    "chunks": "invalid_chunks",
    "files": "invalid_arguments",
}
"""Arguments that are JSON, each with Slack's word for an argument that is not."""


@attrs.frozen
class Given:
    """A request's token, arguments, and warnings for the answer.

    query  the arguments in the address, if the body is JSON; None: the body is not JSON
    """

    token: str | None
    arguments: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    query: Mapping[str, Any] | None = None


async def read(request: Request) -> Given:
    """The request's contents. Raises Refusal if Slack cannot read them."""
    query = dict(request.query_params)
    try:
        body = await read_body(request)
    except TooLarge:
        raise Refusal("invalid_arguments", "the request is too large") from None
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    _check_charset(parameters)
    if kind == JSON and body:
        warnings = () if "charset" in parameters else ("missing_charset",)
        arguments = {**query, **_json(body)}
        return Given(_token(request, query), _structured(arguments), warnings, query)
    fields = {**query, **_form(kind, body), **_app(request)}
    return Given(_token(request, fields), _structured(fields))


def _check_charset(parameters: str) -> None:
    name, _, charset = parameters.partition("=")
    if name.strip().lower() == "charset" and charset.strip().lower() not in (
        "utf-8",
        "utf8",
        "iso-8859-1",
    ):
        raise Refusal("invalid_charset")


def _json(body: bytes) -> dict[str, Any]:
    try:
        arguments = json_in(body.decode())
    except ValueError:
        raise Refusal("invalid_json") from None
    if not isinstance(arguments, dict):
        raise Refusal("json_not_object")
    return {name: value for name, value in arguments.items() if name != "token"}


def _form(kind: str, body: bytes) -> dict[str, str]:
    if not body:
        return {}
    if not kind:
        raise Refusal("missing_post_type")
    if kind != FORM:
        raise Refusal("invalid_post_type")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise Refusal("invalid_form_data") from None


def _structured(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    found = dict(arguments)
    for name, error in STRUCTURED.items():
        if isinstance(found.get(name), str):
            try:
                found[name] = json_in(found[name])
            except ValueError:
                raise Refusal(error) from None
    return found


def _token(request: Request, fields: Mapping[str, str]) -> str | None:
    """The header's token, else the form's."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return fields.get("token")


def _app(request: Request) -> dict[str, str]:
    """An app's id and secret, if they come by HTTP Basic (docs.slack.dev, oauth.v2.access)."""
    scheme, _, both = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        client, _, secret = base64.b64decode(both, validate=True).decode().partition(":")
    except ValueError:
        return {}
    return {"client_id": client, "client_secret": secret}
