"""The Web API's methods, each a function from arguments to the answer's fields.

Source: docs.slack.dev, the page of each method. Every one raises Refusal to say no.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack import reactions
from gateway_contrib.emulators.slack.content import accepted, shown_text
from gateway_contrib.emulators.slack.limits import SlackLimits
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import (
    TEAM,
    Arguments,
    Bot,
    Channel,
    Fields,
    World,
    found,
    is_ts,
    opened,
)

TOKEN_LASTS = 43_200
"""Seconds that an exchanged token is good for, as the answer says."""


Method: TypeAlias = Callable[[World, Bot, Arguments], Fields]


def api_test(_: World, __: Bot | None, given: Arguments) -> Fields:
    """api.test: what was given, or the error that was asked for."""
    arguments = {name: value for name, value in given.items() if name != "token"}
    if "error" in arguments:
        raise Refusal(str(arguments["error"]), args=arguments)
    return {"args": arguments}


def auth_test(_: World, bot: Bot, __: Arguments) -> Fields:
    """auth.test: whom the token speaks for."""
    return {
        "url": "https://emulator.slack.com/",
        "team": "Emulator",
        "user": bot.name,
        "team_id": TEAM,
        "user_id": bot.user_id,
        "bot_id": bot.bot_id,
        "is_enterprise_install": False,
    }


def post_message(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.postMessage: a new message in a channel or thread."""
    channel = opened(world.directory.channel(given.get("channel")))
    fields, warnings = _cut(accepted(given, world.limits), world.limits)
    message = _made(world, bot, channel, fields)
    world.rooms.add(message)
    world.counters["stored"] += 1
    return {"channel": channel.id, "ts": message.id, "message": _shown(message), **warnings}


def post_ephemeral(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.postEphemeral: seen by one user only, so it stands in no room."""
    channel = opened(world.directory.channel(given.get("channel")))
    if not given.get("user"):
        raise Refusal("invalid_arguments", "missing required field: user")
    message = _made(world, bot, channel, accepted(given, world.limits))
    world.ephemeral.append(message)
    return {"message_ts": message.id}


def update(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.update: another content for a message of one's own."""
    channel = world.directory.by_id(given.get("channel"))
    if channel.closed is not None:
        raise Refusal("is_inactive" if channel.closed == "is_archived" else channel.closed)
    message = _own(world, bot, channel, given, "cant_update_message")
    text = given.get("text") or ""
    if isinstance(text, str) and len(text.encode()) > world.limits.update_bytes:
        raise Refusal("msg_too_long")
    _revise(message, accepted(given, world.limits))
    world.counters["edited"] += 1
    body = _shown(message)
    return {"channel": channel.id, "ts": message.id, "text": body["text"], "message": body}


def delete(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.delete: a message of one's own goes."""
    channel = world.directory.by_id(given.get("channel"))
    if channel.closed == "channel_not_found":
        raise Refusal(channel.closed)
    message = _own(world, bot, channel, given, "cant_delete_message")
    message.deleted = True
    world.counters["deleted"] += 1
    return {"channel": channel.id, "ts": message.id}


def conversation(world: World, _: Bot, given: Arguments) -> Fields:
    """conversations.info: what kind of conversation it is."""
    channel = world.directory.by_id(given.get("channel"))
    if channel.closed == "channel_not_found":
        raise Refusal(channel.closed)
    return {"channel": _described(channel)}


def open_conversation(world: World, _: Bot, given: Arguments) -> Fields:
    """conversations.open: the direct message with a user, or one that is known by its id."""
    users = str(given.get("users") or "").split(",")
    if given.get("channel"):
        return {"channel": _described(world.directory.by_id(given["channel"]))}
    if users == [""]:
        raise Refusal("users_list_not_supplied")
    return {"channel": _described(world.directory.channel(users[0]))}


def user(_: World, __: Bot, given: Arguments) -> Fields:
    """users.info: the least that clients ask for."""
    user_id = given.get("user")
    if not isinstance(user_id, str) or user_id[:1] not in ("U", "W"):
        raise Refusal("user_not_found")
    name = user_id.lower()
    profile = {"real_name": name, "display_name": name}
    return {"user": {"id": user_id, "team_id": TEAM, "name": name, "profile": profile}}


def exchange(world: World, _: Bot | None, given: Arguments) -> Fields:
    """oauth.v2.access with `grant_type=refresh_token`: a new token for a refresh token."""
    if given.get("grant_type") != "refresh_token":
        raise Refusal("invalid_grant_type")
    if not given.get("client_id"):
        raise Refusal("invalid_client_id")
    if not given.get("client_secret"):
        raise Refusal("bad_client_secret")
    access, following, bot = world.directory.exchange(str(given.get("refresh_token")))
    return {
        "access_token": access,
        "refresh_token": following,
        "expires_in": TOKEN_LASTS,
        "token_type": "bot",
        "scope": "chat:write",
        "bot_user_id": bot.user_id,
        "team": {"id": TEAM, "name": "Emulator"},
    }


def open_view(world: World, _: Bot, given: Arguments) -> Fields:
    """views.open: a view for a trigger, which serves once."""
    trigger, view = given.get("trigger_id"), given.get("view")
    if not isinstance(trigger, str) or not trigger:
        raise Refusal("invalid_trigger_id")
    if any(trigger == seen for seen, _ in world.views):
        raise Refusal("exchanged_trigger_id")
    if not view:
        raise Refusal("invalid_arguments", "missing required field: view")
    world.views.append((trigger, view))
    return {"view": {"id": f"V0VIEW{len(world.views):04d}", "type": "modal"}}


METHODS: Mapping[str, Method] = {
    "assistant.threads.setStatus": reactions.set_status,
    "auth.test": auth_test,
    "chat.delete": delete,
    "chat.postEphemeral": post_ephemeral,
    "chat.postMessage": post_message,
    "chat.update": update,
    "conversations.info": conversation,
    "conversations.open": open_conversation,
    "pins.add": reactions.pin,
    "pins.remove": reactions.unpin,
    "reactions.add": reactions.add_reaction,
    "reactions.remove": reactions.remove_reaction,
    "users.info": user,
    "views.open": open_view,
}
OPEN_METHODS: Mapping[str, Callable[[World, Bot | None, Arguments], Fields]] = {
    "api.test": api_test,
    "oauth.v2.access": exchange,
}
"""Those that ask for no token."""

CHANGING = frozenset({"chat.postMessage", "chat.update", "chat.delete"})
"""Those that a plan of faults is asked about."""

STAYING = ("user", "bot_id", "thread_ts")
"""What of a message an edit leaves."""

STAYING_UNNAMED = ("blocks", "attachments")
"""What of a message an edit leaves unless it names it; an empty list takes it off."""


def _cut(fields: Fields, limits: SlackLimits) -> tuple[Fields, Fields]:
    """The fields with a text that is not too long, and the warning that it was."""
    if len(fields["text"]) <= limits.text_cut:
        return fields, {}
    return {**fields, "text": fields["text"][: limits.text_cut]}, {"warning": "message_truncated"}


def _made(world: World, bot: Bot, channel: Channel, fields: Fields) -> Message:
    return Message(
        thread=_thread(world, channel, fields.get("thread_ts")),
        id=world.clock.ts(),
        room=channel.id,
        text=shown_text(fields),
        fields={**fields, "user": bot.user_id, "bot_id": bot.bot_id},
        stored_at=trio.current_time(),
    )


def _thread(world: World, channel: Channel, ts: Any) -> str | None:
    """The thread of that message. One that was never there passes: Slack lets it, too."""
    if ts in (None, ""):
        return None
    if not is_ts(ts):
        raise Refusal("invalid_thread_ts")
    parent = world.rooms.get(channel.id, ts)
    if parent is not None and parent.deleted:
        raise Refusal("thread_not_found")
    if ts in channel.locked:
        raise Refusal("restricted_action_thread_locked")
    return str(ts)


def _own(world: World, bot: Bot, channel: Channel, given: Arguments, refusal: str) -> Message:
    message = found(world, channel, given.get("ts"))
    if message.fields["user"] != bot.user_id:
        raise Refusal(refusal)
    return message


def _revise(message: Message, fields: Fields) -> None:
    """Blocks and attachments that the edit does not name stay, like thread and author."""
    staying = {name: message.fields[name] for name in STAYING if name in message.fields}
    message.revisions.append(message.text)
    unnamed = {n: message.fields[n] for n in STAYING_UNNAMED if n in message.fields}
    message.fields = {**unnamed, **fields, **staying}
    message.text = shown_text(message.fields)
    message.edited_at = trio.current_time()


def _shown(message: Message) -> Fields:
    """The message as answers carry it."""
    fields = message.fields
    body = {
        "type": "message",
        "user": fields["user"],
        "bot_id": fields["bot_id"],
        "team": TEAM,
        "ts": message.id,
        "text": fields["text"],
    }
    for name in ("thread_ts", "blocks", "attachments", "metadata"):
        if fields.get(name):
            body[name] = fields[name]
    if message.edited_at is not None:
        body["edited"] = {"user": fields["user"], "ts": message.id}
    return body


def _described(channel: Channel) -> Fields:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.private,
        "is_im": channel.private,
        "is_archived": channel.closed == "is_archived",
        "is_member": channel.closed is None,
    }
