"""Serves the Web API's methods: each is a function from arguments to the answer's fields.

Source: docs.slack.dev, the page of each method. A method that refuses raises Refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from gateway_contrib.emulators.slack import reactions
from gateway_contrib.emulators.slack.files import uploads
from gateway_contrib.emulators.slack.messages import posts, statuses, streams
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import (
    TEAM,
    Arguments,
    Bot,
    Channel,
    Fields,
    World,
    is_user,
)

MOST_USERS = 8
"""Most people in one direct message, not counting the bot."""

TOKEN_LASTS = 43_200
"""Seconds for which an exchanged token is valid according to the answer."""


Method: TypeAlias = Callable[[World, Bot, Arguments], Fields]


def api_test(_: World, __: Bot | None, given: Arguments) -> Fields:
    """api.test: the given arguments, or the error that was asked for."""
    arguments = {name: value for name, value in given.items() if name != "token"}
    if "error" in arguments:
        raise Refusal(str(arguments["error"]), args=arguments)
    return {"args": arguments}


def auth_test(_: World, bot: Bot, __: Arguments) -> Fields:
    """auth.test: the bot that the token belongs to."""
    return {
        "url": "https://emulator.slack.com/",
        "team": "Emulator",
        "user": bot.name,
        "team_id": TEAM,
        "user_id": bot.user_id,
        "bot_id": bot.bot_id,
        "is_enterprise_install": False,
    }


def conversation(world: World, _: Bot, given: Arguments) -> Fields:
    """conversations.info: what kind of conversation it is."""
    channel = world.directory.by_id(given.get("channel"))
    if channel.closed == "channel_not_found":
        raise Refusal(channel.closed)
    return {"channel": _described(channel)}


def open_conversation(world: World, _: Bot, given: Arguments) -> Fields:
    """conversations.open: the direct message with the users, or the conversation with an id."""
    if given.get("channel"):
        return {"channel": _described(world.directory.by_id(given["channel"]))}
    users = [name.strip() for name in str(given.get("users") or "").split(",") if name.strip()]
    if not users:
        raise Refusal("users_list_not_supplied")
    if len(users) > MOST_USERS:
        raise Refusal("too_many_users")
    if not all(is_user(name) for name in users):
        raise Refusal("user_not_found")
    channel, known = world.directory.direct(users)
    already = {"no_op": True, "already_open": True} if known else {}
    if given.get("return_im") in (True, "true", "1"):
        return {**already, "channel": _described(channel)}
    return {**already, "channel": {"id": channel.id}}


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
    """views.open: open a view for a trigger, which can be used once."""
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
    "assistant.threads.setStatus": statuses.set_status,
    "auth.test": auth_test,
    "chat.appendStream": streams.append,
    "chat.delete": posts.delete,
    "chat.postEphemeral": posts.post_ephemeral,
    "chat.postMessage": posts.post_message,
    "chat.startStream": streams.start,
    "chat.stopStream": streams.stop,
    "chat.update": posts.update,
    "conversations.info": conversation,
    "conversations.open": open_conversation,
    "files.completeUploadExternal": uploads.complete,
    "files.delete": uploads.delete,
    "files.getUploadURLExternal": uploads.get_upload_url,
    "files.info": uploads.info,
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
"""The methods that need no token."""

CHANGING = frozenset(
    {
        "chat.appendStream",
        "chat.delete",
        "chat.postMessage",
        "chat.startStream",
        "chat.stopStream",
        "chat.update",
        "files.completeUploadExternal",
    }
)
"""The methods for which the plan of faults is asked."""


FORM_ONLY = frozenset({"files.getUploadURLExternal", "files.info"})
"""The methods that do not read JSON bodies, and so see none of their fields."""


def _described(channel: Channel) -> Fields:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.private,
        "is_im": channel.private,
        "is_archived": channel.closed == "is_archived",
        "is_member": channel.closed is None,
    }
