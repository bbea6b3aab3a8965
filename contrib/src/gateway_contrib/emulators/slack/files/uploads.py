"""Serves files.getUploadURLExternal, .completeUploadExternal, .info and .delete.

Source: docs.slack.dev, the page of each method, and records of clients: a completed file is shared
only after a while, and two of the methods do not read JSON. Slack does not document the rest, which
is assumed: how long sharing takes; the words for a file whose bytes have not arrived, or that is
completed twice; that a file that cannot be shared when its time comes is silently not shared; that
a file is no longer shared by a deleted message, but that blocks still show it; and that a file can
be deleted once its bytes have arrived, completed or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gateway_contrib.emulators.slack import blocks
from gateway_contrib.emulators.slack.files.stored import SlackFile
from gateway_contrib.emulators.slack.markup import stored
from gateway_contrib.emulators.slack.messages.stored import store, thread_of
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import Arguments, Bot, Channel, Fields, World, opened

MOST_ALT = 1_000
MOST_SNIPPET = 1_000_000
MOST_CHANNELS = 100


def get_upload_url(world: World, bot: Bot, given: Arguments) -> Fields:
    """files.getUploadURLExternal: give out an address to which the bytes are posted."""
    name, length = given.get("filename"), _whole(given.get("length"))
    missing = [n for n, value in (("filename", name), ("length", length)) if not value]
    if missing:
        raise Refusal("invalid_arguments", *(f"missing required field: {n}" for n in missing))
    if length > world.limits.file_bytes:
        raise Refusal("file_upload_size_restricted")
    alt = str(given.get("alt_txt") or "")
    if len(alt) > MOST_ALT:
        raise Refusal("alt_txt_too_large")
    if given.get("snippet_type") and length > MOST_SNIPPET:
        raise Refusal("snippet_too_large")
    file = world.files.reserve(
        name=str(name).replace("/", "_"),
        size=length,
        alt=alt,
        user=bot.user_id,
        created=int(world.clock.posix()),
    )
    return {"upload_url": file.upload_url, "file_id": file.id}


def complete(world: World, bot: Bot, given: Arguments) -> Fields:
    """files.completeUploadExternal: complete the files, and share them after a while.

    With `initial_comment`, `blocks` are ignored.
    """
    files = _files(world, bot, given.get("files"))
    channels = _channels(world, given)
    fields = _message(world, given)
    for channel in channels:
        thread_of(world, channel, fields.get("thread_ts"))
    for file, title in files:
        file.title, file.completed = title or file.title, True
    whole = [file for file, _ in files]
    if world.share_seconds < math.inf:
        for channel in channels:
            world.later(world.share_seconds, _sharing(world, bot, channel, whole, fields))
    return {"files": [file.wire() for file in whole]}


def info(world: World, _: Bot, given: Arguments) -> Fields:
    """files.info: the file as it is now; `shares` is empty until the file is shared."""
    file = _there(world, given.get("file"))
    paging = {"count": 0, "total": 0, "page": 1, "pages": 0}
    return {"file": file.wire(), "comments": [], "paging": paging}


def delete(world: World, bot: Bot, given: Arguments) -> Fields:
    """files.delete: delete the file everywhere; the messages that showed it stay."""
    file = _there(world, given.get("file"), completed=False)
    if file.user != bot.user_id:
        raise Refusal("cant_delete_file")
    file.deleted = True
    for room in world.rooms.names():
        for message in world.rooms.all(room):
            message.files = world.files.seen(message.fields)
    return {}


def _whole(value: Any) -> int:
    try:
        return max(0, int(value or 0))
    except (TypeError, ValueError):
        return 0


def _there(world: World, number: Any, *, completed: bool = True) -> SlackFile:
    file = world.files.get(number)
    if file is None or file.digest is None or (completed and not file.completed):
        raise Refusal("file_not_found")
    if file.deleted:
        raise Refusal("file_deleted")
    return file


def _files(world: World, bot: Bot, named: Any) -> list[tuple[SlackFile, str]]:
    """The files to complete, with their titles."""
    if not isinstance(named, list) or not named:
        raise Refusal("invalid_arguments", "missing required field: files")
    found = []
    for one in named:
        file = world.files.get(one.get("id")) if isinstance(one, Mapping) else None
        if file is None or file.user != bot.user_id or file.digest is None or file.completed:
            raise Refusal("file_not_found")
        found.append((file, str(one.get("title") or "")))
    return found


def _channels(world: World, given: Arguments) -> list[Channel]:
    """The channels in which the files are shared; none if the request names none."""
    names = [name.strip() for name in str(given.get("channels") or "").split(",") if name.strip()]
    if len(names) > MOST_CHANNELS:
        raise Refusal("channels_limit_exceeded")
    channels = [world.directory.channel(name) for name in names]
    if given.get("channel_id"):
        channels = [world.directory.by_id(given["channel_id"])]
    return [opened(channel) for channel in channels]


def _message(world: World, given: Arguments) -> Fields:
    """The fields of the message that shares the files: its comment, or its blocks."""
    comment, shown = given.get("initial_comment") or "", given.get("blocks")
    if shown and not comment:
        blocks.check(shown, world.files)
    fields: Fields = {"text": stored(str(comment)), "upload": True}
    if given.get("thread_ts"):
        fields["thread_ts"] = given["thread_ts"]
    return {**fields, "blocks": shown} if shown and not comment else fields


def _sharing(
    world: World, bot: Bot, channel: Channel, files: list[SlackFile], fields: Fields
) -> Any:
    """A function that shares the files; it gets the moment of sharing, on the loop's clock."""

    def share(moment: float) -> None:
        left = [file for file in files if not file.deleted]
        if channel.closed is not None or not left:
            return
        named = {**fields, "files": [file.id for file in left]}
        try:
            message = store(world, bot, channel, named, moment)
        except Refusal:  # the thread is gone, which was still there at completion
            return
        for file in left:
            file.shares.setdefault(channel.id, []).append((message.id, message.thread))

    return share
