"""Reads the answers of response_urls and incoming webhooks. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway_core.http import Response, foreign_verdict, is_page, retry_after_seconds
from gateway_plugin_slack.answers.web_api import object_of, successful, word_of
from gateway_plugin_slack.errors import URL, SlackApiError

MOST_WORD = 200
TOO_MANY = 429
_A_WORD = re.compile(r"[a-z][a-z0-9_]*")


def read_word(response: Response, *, redact: Callable[[str], str]) -> None:
    """Read the answer of a URL for messages: `ok`, an object, or a word for the error.

    Raises SlackApiError if the answer is not a success.
    """
    answer, ok = object_of(response), response.status
    if successful(ok) and not is_page(response) and answer.get("ok") is not False:
        return
    word = (
        word_of(answer.get("error")) or response.body[:MOST_WORD].decode(errors="replace").strip()
    )
    is_word = "error" in answer or bool(_A_WORD.fullmatch(word))
    is_word = is_word or (response.status == TOO_MANY and not word)
    raise SlackApiError(
        URL,
        status=response.status,
        error=redact(word) if is_word else "",
        retry_after=retry_after_seconds(response.headers.get("retry-after")),
        foreign=None if is_word else foreign_verdict(response, redact),
    )
