"""Serves streams: chat.startStream, chat.appendStream and chat.stopStream.

Source: docs.slack.dev, the page of each method, and their documented errors. A stream is a message
whose `streaming_until` is set. It only grows, and ends when the bot or the user stops it, or by
itself. Slack does not document its answers to a text above 12,000 characters and to a missing
`thread_ts`, so those are assumptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack import blocks
from gateway_contrib.emulators.slack.content import shown_text
from gateway_contrib.emulators.slack.files.stored import Files
from gateway_contrib.emulators.slack.messages import buttons
from gateway_contrib.emulators.slack.messages.stored import shown, store
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import (
    Arguments,
    Bot,
    Channel,
    Fields,
    World,
    found,
    is_team,
    is_ts,
    is_user,
    opened,
)

STOPPED_BY_USER = "stopped_by_user"
TASK_STATUSES = frozenset({"pending", "in_progress", "complete", "error"})


@attrs.define(eq=False)
class _Piece:
    """The content that one call adds to a stream: text, blocks, and tasks by id."""

    files: Files
    text: str = ""
    blocks: list[Any] = attrs.field(factory=list)
    tasks: dict[str, Mapping[str, Any]] = attrs.field(factory=dict)
    plan: str | None = None

    @property
    def empty(self) -> bool:
        return not (self.text or self.blocks or self.tasks or self.plan)


def start(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.startStream: a message in a thread that will grow; it may begin empty."""
    channel = _channel(world, given)
    thread = given.get("thread_ts")
    if not thread:
        raise Refusal("invalid_arguments", "missing required field: thread_ts")
    if not is_ts(thread):
        raise Refusal("invalid_arguments", "must be a ts [json-pointer:/thread_ts]")
    if not channel.private:
        _check_recipient(given)
    piece = _piece(given, world)
    fields = {"thread_ts": thread, "text": "", "markdown_text": ""}
    message = store(world, bot, channel, fields)
    message.stream_for(world.limits.stream_seconds)
    _grow(message, piece, first=True)
    return {"channel": channel.id, "ts": message.id}


def append(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.appendStream: add content to an open stream."""
    channel = _channel(world, given)
    message = _of_app(world, bot, channel, given)
    if message.fields.get(STOPPED_BY_USER):
        raise Refusal(STOPPED_BY_USER)
    _check_open(message)
    piece = _piece(given, world)
    if piece.empty:
        raise Refusal("no_text")
    _grow(message, piece)
    world.counters["appended"] += 1
    return {"channel": channel.id, "ts": message.id}


def stop(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.stopStream: add the last text and blocks, and make it an ordinary message."""
    channel = _channel(world, given)
    message = _of_app(world, bot, channel, given)
    _check_open(message)
    piece = _piece(given, world)
    if given.get("blocks"):
        piece.blocks += _checked_blocks(given["blocks"], world.files, "invalid_blocks")
    if piece.empty and not message.text:
        raise Refusal("no_text")
    _grow(message, piece)
    if given.get("metadata"):
        message.fields["metadata"] = given["metadata"]
    message.streaming_until = trio.current_time()
    world.counters["streamed"] += 1
    return {"channel": channel.id, "ts": message.id, "message": shown(world, message)}


def stop_by_user(message: Message) -> None:
    """Let the user stop a stream, which then takes no more. Raises ValueError if it is none."""
    if not message.streaming:
        raise ValueError(f"message {message.id} does not stream")
    message.fields[STOPPED_BY_USER] = True
    message.streaming_until = trio.current_time()


def _channel(world: World, given: Arguments) -> Channel:
    channel = opened(world.directory.by_id(given.get("channel")))
    if not channel.streams:
        raise Refusal("channel_type_not_supported")
    return channel


def _check_recipient(given: Arguments) -> None:
    """Outside of direct messages, the stream must name the user whom it answers."""
    user, team = given.get("recipient_user_id"), given.get("recipient_team_id")
    if not user:
        raise Refusal("missing_recipient_user_id")
    if not team:
        raise Refusal("missing_recipient_team_id")
    if not is_user(user):
        raise Refusal("user_not_found")
    if not is_team(team):
        raise Refusal("team_not_found")


def _of_app(world: World, bot: Bot, channel: Channel, given: Arguments) -> Message:
    message = found(world, channel, given.get("ts"))
    if message.fields["user"] != bot.user_id:
        raise Refusal("message_not_owned_by_app")
    return message


def _check_open(message: Message) -> None:
    if not message.streaming:
        raise Refusal("message_not_in_streaming_state")


def _piece(given: Arguments, world: World) -> _Piece:
    text, chunks = given.get("markdown_text") or "", given.get("chunks") or []
    if not isinstance(text, str):
        raise Refusal("invalid_arguments", "must be a string [json-pointer:/markdown_text]")
    if not isinstance(chunks, list):
        raise Refusal("invalid_chunks")
    piece = _Piece(world.files, text)
    for chunk in chunks:
        add = _CHUNKS.get(str(chunk.get("type"))) if isinstance(chunk, Mapping) else None
        if add is None:
            raise Refusal("invalid_chunks")
        add(piece, chunk)
    if len(piece.text) > world.limits.markdown_text:
        raise Refusal("msg_blocks_too_long")
    return piece


def _add_text(piece: _Piece, chunk: Mapping[str, Any]) -> None:
    piece.text += _words(chunk, "text")


def _add_task(piece: _Piece, chunk: Mapping[str, Any]) -> None:
    _words(chunk, "title")
    if chunk.get("status") not in TASK_STATUSES:
        raise Refusal("invalid_chunks")
    piece.tasks[_words(chunk, "id")] = chunk


def _add_plan(piece: _Piece, chunk: Mapping[str, Any]) -> None:
    piece.plan = _words(chunk, "title")


def _add_blocks(piece: _Piece, chunk: Mapping[str, Any]) -> None:
    piece.blocks += _checked_blocks(chunk.get("blocks"), piece.files, "invalid_chunks")


_CHUNKS: Mapping[Any, Callable[[_Piece, Mapping[str, Any]], None]] = {
    "markdown_text": _add_text,
    "task_update": _add_task,
    "plan_update": _add_plan,
    "blocks": _add_blocks,
}


def _words(chunk: Mapping[str, Any], name: str) -> str:
    words = chunk.get(name)
    if not isinstance(words, str) or not words:
        raise Refusal("invalid_chunks")
    return words


def _checked_blocks(given: Any, files: Files, refusal: str) -> list[Any]:
    if not isinstance(given, list):
        raise Refusal(refusal)
    blocks.check(given, files)
    return given


def _grow(message: Message, piece: _Piece, *, first: bool = False) -> None:
    """Add the piece. Its blocks are below the text, in the order of their arrival."""
    fields = message.fields
    fields["markdown_text"] += piece.text
    fields["text"] = fields["markdown_text"]
    fields["below"] = [*fields.get("below", ()), *piece.blocks]
    fields["tasks"] = {**fields.get("tasks", {}), **piece.tasks}
    if piece.plan:
        fields["plan"] = piece.plan
    if fields["below"]:
        text = fields["markdown_text"]
        above = [{"type": "markdown", "text": text}] if text else []
        fields["blocks"] = [*above, *fields["below"]]
        message.buttons = buttons.shown(fields["blocks"])
    grown = shown_text(fields)
    if first:
        message.text = grown
    elif grown != message.text:
        message.revise(grown)
