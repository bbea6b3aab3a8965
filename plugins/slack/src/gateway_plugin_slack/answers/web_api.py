"""Reads the answers of the Web API's methods (docs.slack.dev, "using the Web API"). Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gateway_core.http import Response, foreign_verdict, is_page, retry_after_seconds
from gateway_plugin_slack.errors import SlackApiError
from gateway_plugin_slack.ids import message_id


def read(
    method: str, response: Response, *, redact: Callable[[str], str] = str
) -> Mapping[str, Any] | None:
    """The object of a successful answer; None if it came with 2xx but cannot be read.

    Raises SlackApiError for `ok: false` with any status, for a status other than 2xx, for an HTML
    page, and for an object without `ok`, which cannot be Slack's.
    """
    answer = object_of(response)
    ok = answer.get("ok")
    foreign_object = bool(answer) and "ok" not in answer
    if successful(response.status) and not (ok is False or is_page(response) or foreign_object):
        return answer if ok is True else None
    foreign = None if _is_slacks(response, ok) else foreign_verdict(response, redact)
    raise SlackApiError(
        method,
        status=response.status,
        error=redact(word_of(answer.get("error"))),
        detail=redact(_detail(answer)),
        retry_after=retry_after_seconds(response.headers.get("retry-after")),
        foreign=foreign,
    )


def _is_slacks(response: Response, ok: Any) -> bool:
    """Whether Slack itself refused; Slack's 429 may be empty (docs.slack.dev, rate limits)."""
    return ok is False or (response.status == 429 and not response.body)  # noqa: PLR2004 - HTTP's


def successful(status: int) -> bool:
    """Whether the HTTP status is a success."""
    return 200 <= status < 300  # noqa: PLR2004 - HTTP's own numbers


def object_of(response: Response) -> Mapping[str, Any]:
    """The answer's JSON object; empty if the answer is not an object."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, Mapping) else {}


def word_of(error: Any) -> str:
    """The answer's `error`, as a text."""
    if error is None:
        return ""
    return error if isinstance(error, str) else json.dumps(error)


def _detail(answer: Mapping[str, Any]) -> str:
    """The missing scope and the wrong arguments, in words for a person to read."""
    metadata = answer.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, Mapping) else None
    words = [x for x in messages if isinstance(x, str)] if isinstance(messages, list) else []
    needed = answer.get("needed")
    if isinstance(needed, str):
        words.append(f"needed: {needed}")
    return f"({'; '.join(words)})" if words else ""


def id_in(answer: Mapping[str, Any] | None, room: str) -> str | None:
    """The id of the message that an answer names; None: it names none."""
    answer = answer or {}
    return message_id(room=room, channel=answer.get("channel"), ts=answer.get("ts"))


def made_in(answer: Mapping[str, Any] | None, room: str) -> str | None:
    """The id of a call's message; it includes the conversation if that is not the call's room."""
    elsewhere = answer is not None and answer.get("channel") != room
    return id_in(answer, "" if elsewhere else room)
