"""Makes image blocks, below the text, of pictures by URL, which Slack fetches. Sans-I/O.

Source: docs.slack.dev, block kit, image block: a URL of up to 3,000 characters and `alt_text`.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import attrs

from gateway_core.authors import Attempt, Edit, File, Part, Send, Upload
from gateway_plugin_slack.files.reuse import KINDS, is_given
from gateway_plugin_slack.rendering.plain import escape

SPOILER_OPEN = "spoiler shown openly"
SHOWN = "file shown, not only offered for download"
"""Degradations: Slack cannot hide a file, and always shows pictures, videos and sounds."""


def is_picture(file: File) -> bool:
    """Whether a file by URL is a picture: by its media type, else by its name or its URL."""
    if file.media_type:
        return file.kind == "image"
    path = urlsplit(file.url or "").path
    kind = mimetypes.guess_type(file.name)[0] or mimetypes.guess_type(path)[0] or ""
    return kind.startswith("image/")


def image_blocks(files: Sequence[File]) -> list[dict[str, Any]]:
    """An image block for each file by URL."""
    return [
        {"type": "image", "image_url": file.url, "alt_text": file.alt or file.name}
        for file in files
        if file.url is not None
    ]


def size_of_images(files: Sequence[File] | None) -> int:
    """Characters of JSON that the files' blocks need, or may need if pictures are shown by id."""
    blocks = image_blocks(files or ())
    blocks += [
        {"type": "image", "slack_file": {"id": "F" * 12}, "alt_text": file.alt or file.name}
        for file in files or ()
        if file.url is None and (file.media_type in KINDS or file.id is not None)
    ]
    return len(json.dumps(blocks, ensure_ascii=False)) if blocks else 0


def with_files(message: Send | Edit, parts: Sequence[Part]) -> Sequence[Part]:
    """The plan with all files at its beginning, where an edit finds them however long its text is.

    Uploaded files belong to the first part. Pictures by URL are blocks below the first part's text.
    If there are uploaded files, or if blocks would hide the text, the pictures are a part of their
    own.
    """
    files = message.files or ()
    if not files or not parts:
        return parts
    return [_told(part, [files[place] for place in part.files]) for part in _placed(files, parts)]


def _told(part: Part, files: Sequence[File]) -> Part:
    """The part, with its files' degradations."""
    lost = [SPOILER_OPEN] * any(file.spoiler for file in files)
    lost += [SHOWN] * any(file.as_document and file.kind != "other" for file in files)
    return attrs.evolve(part, degraded=(*part.degraded, *lost)) if lost else part


def _placed(files: Sequence[File], parts: Sequence[Part]) -> Sequence[Part]:
    uploaded = tuple(place for place, file in enumerate(files) if file.url is None)
    by_url = tuple(place for place, file in enumerate(files) if file.url is not None)
    first, *others = parts
    if uploaded:  # each needs an upload URL, and Slack limits how many it gives a minute
        addresses = sum(files[place].id is None for place in uploaded)
        first = attrs.evolve(first, files=uploaded, cost=max(1, addresses))
    if not by_url:
        return [first, *others]
    images = image_blocks(files)
    shown = first.payload.get("blocks") or ()
    if not uploaded and (shown or not str(first.payload.get("text") or "").strip()):
        payload = {**first.payload, "text": _said(first.payload, files)}
        return [_part(first, {**payload, "blocks": [*shown, *images]}, by_url), *others]
    payload = {**first.payload, "text": _said({}, files), "blocks": images}
    own = Part(payload=payload, span=(first.span[1], first.span[1]), files=by_url)
    return [first, own, *others]


def _part(part: Part, payload: Mapping[str, Any], files: tuple[int, ...]) -> Part:
    return Part(payload=payload, span=part.span, degraded=part.degraded, files=files)


def _said(payload: Mapping[str, Any], files: Sequence[File]) -> str:
    """The text of a notification: the message's text, else the pictures' descriptions."""
    text = str(payload.get("text") or "")
    named = (escape(file.alt or file.name) for file in files if file.url is not None)
    return text if text.strip() else ", ".join(named)


def uploads_of(attempt: Attempt) -> list[Upload]:
    """The attempt's files that are stored at Slack; for a new message, those that it uploads."""
    return [
        upload
        for upload in attempt.files
        if upload.file.url is None and not is_given(attempt, upload)
    ]


def is_unfetched(attempt: Attempt, error: str, detail: str) -> bool:
    """Whether Slack refused the blocks because it cannot fetch or show a picture."""
    by_url = any(upload.file.url is not None for upload in attempt.files)
    return by_url and error.startswith("invalid_blocks") and "image" in detail
