"""Lists the routes of Discord's API that the emulator serves, and answers their requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from gateway_contrib.emulators.discord import reactions, webhooks
from gateway_contrib.emulators.discord.content import accepted, check_nonce
from gateway_contrib.emulators.discord.interactions import callbacks, follow_ups
from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import (
    NO_CONTENT,
    Answer,
    Bot,
    World,
    channel_wire,
    message_wire,
    room_of,
)

_PAGE = (("before", 1 << 64), ("after", -1))

CREATE = "POST /channels/{channel}/messages"
EDIT = "PATCH /channels/{channel}/messages/{message}"
DELETE = "DELETE /channels/{channel}/messages/{message}"


def _check_reference(world: World, room: str, fields: dict[str, Any]) -> None:
    reference = fields.get("message_reference")
    if not reference:
        return
    # Clients write ids as numbers, too.
    reference["message_id"] = str(reference.get("message_id"))
    target = world.rooms.get(room, reference["message_id"])
    if (target is None or target.deleted) and reference.get("fail_if_not_exists", True):
        raise form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
    if target is None or target.deleted:
        del fields["message_reference"]


def create_message(world: World, bot: Bot, posted: Posted) -> Answer:
    """Make a message, or return the message that was made with the same enforced nonce."""
    room = room_of(world, posted)
    fields = accepted(world.limits, posted)
    check_nonce(posted)
    _check_reference(world, room, fields)
    nonce = posted.fields.get("nonce")
    if posted.fields.get("enforce_nonce") and nonce is not None:
        made = world.remembered(bot, room, str(nonce))
        if made is not None:
            return 200, message_wire(world, made)
    world.wait_for_slow_mode(room)
    return 200, message_wire(world, world.store(bot, room, fields))


def edit_message(world: World, bot: Bot, posted: Posted) -> Answer:
    """Change one of the bot's own messages."""
    message = world.message(room_of(world, posted), posted.path["message"])
    if world.author(message) != bot:
        raise coded(50005)
    if message.fields.get("poll"):
        raise coded(520003)
    fields = accepted(world.limits, posted, before=message.fields)
    return 200, message_wire(world, world.change(message, fields))


def delete_message(world: World, bot: Bot, posted: Posted) -> Answer:
    """Delete one of the bot's own messages; others' messages would need a permission."""
    message = world.message(room_of(world, posted), posted.path["message"])
    if world.author(message) != bot:
        raise coded(50013)
    world.remove(message)
    return NO_CONTENT


def get_message(world: World, _: Bot, posted: Posted) -> Answer:
    """One message."""
    return 200, message_wire(world, world.message(room_of(world, posted), posted.path["message"]))


def list_messages(world: World, _: Bot, posted: Posted) -> Answer:
    """The newest messages, newest first, in pages by `limit`, `before` and `after`."""
    before, after = (int(posted.query.get(name) or bound) for name, bound in _PAGE)
    newest = world.rooms.conversation(room_of(world, posted))[::-1]
    page = [message for message in newest if after < int(message.id) < before]
    most = int(posted.query.get("limit") or 50)
    return 200, [message_wire(world, message) for message in page[:most]]


def get_channel(world: World, _: Bot, posted: Posted) -> Answer:
    """A channel, by its id."""
    return 200, channel_wire(world, room_of(world, posted))


def open_direct(world: World, bot: Bot, posted: Posted) -> Answer:
    """The direct message with a user, which is opened only once."""
    user = str(posted.fields.get("recipient_id") or "")
    if not user.isdecimal():
        words = f'Value "{user}" is not snowflake.'
        raise form("recipient_id", "NUMBER_TYPE_COERCE", words)
    return 200, channel_wire(world, world.direct_channel(bot, user))


def current_user(_: World, bot: Bot, __: Posted) -> Answer:
    """The user that the bot is."""
    account = {"mfa_enabled": False, "verified": True, "email": None, "locale": "en-US"}
    return 200, {**bot.wire(), **account, "flags": 0, "public_flags": 0, "premium_type": 0}


def current_application(_: World, bot: Bot, __: Posted) -> Answer:
    """The application of the bot."""
    return 200, {
        "id": bot.id,
        "name": bot.name,
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "",
        "flags": 0,
        "owner": bot.wire(),
        "team": None,
    }


def gateway(world: World, __: Bot, ___: Posted) -> Answer:
    """The address of the WebSocket gateway."""
    limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
    return 200, {"url": world.gateway_url, "shards": 1, "session_start_limit": limit}


Answering: TypeAlias = Callable[[World, Bot, Posted], Answer]


def _unknown(_: World, __: Bot, ___: Posted) -> Answer:
    raise coded(10015)


def _either(webhook: Answering, interaction: Answering) -> Answering:
    """Choose by the id in the path: interactions and incoming webhooks have the same paths."""

    def does(world: World, bot: Bot, posted: Posted) -> Answer:
        incoming = posted.path["application"] in world.webhooks
        return (webhook if incoming else interaction)(world, bot, posted)

    return does


@attrs.frozen(kw_only=True)
class Method:
    """A route: its verb and path, what it does, and how it is limited.

    changes  it makes, edits or deletes a message, so the plan of faults is asked
    bot      it needs a bot's token, and counts towards the bot's global limit
    """

    route: str
    does: Answering
    changes: bool = False
    bot: bool = True

    @property
    def verb(self) -> str:
        """The HTTP verb."""
        return self.route.split()[0]

    @property
    def path(self) -> str:
        """The path, with its parameters in braces."""
        return self.route.split()[1]


_REACTION = "/channels/{channel}/messages/{message}/reactions/{emoji}/@me"
_HOOK = "/webhooks/{application}/{token}"
METHODS: tuple[Method, ...] = (
    Method(route="GET /users/@me", does=current_user),
    Method(route="POST /users/@me/channels", does=open_direct),
    Method(route="GET /gateway", does=gateway, bot=False),
    Method(route="GET /gateway/bot", does=gateway),
    Method(route="GET /oauth2/applications/@me", does=current_application),
    Method(route="GET /channels/{channel}", does=get_channel),
    Method(route="POST /channels/{channel}/typing", does=reactions.typing),
    Method(route="GET /channels/{channel}/messages", does=list_messages),
    Method(route=CREATE, does=create_message, changes=True),
    Method(route="GET /channels/{channel}/messages/{message}", does=get_message),
    Method(route=EDIT, does=edit_message, changes=True),
    Method(route=DELETE, does=delete_message, changes=True),
    Method(route=f"PUT {_REACTION}", does=reactions.add_reaction),
    Method(route=f"DELETE {_REACTION}", does=reactions.remove_reaction),
    Method(route="PUT /channels/{channel}/pins/{message}", does=reactions.pin),
    Method(route="DELETE /channels/{channel}/pins/{message}", does=reactions.unpin),
    Method(route="PUT /channels/{channel}/messages/pins/{message}", does=reactions.pin),
    Method(route="DELETE /channels/{channel}/messages/pins/{message}", does=reactions.unpin),
    Method(
        route="POST /interactions/{interaction}/{token}/callback",
        does=callbacks.answer,
        changes=True,
        bot=False,
    ),
    Method(route=f"GET {_HOOK}", does=_either(webhooks.describe, _unknown), bot=False),
    Method(
        route=f"POST {_HOOK}",
        does=_either(webhooks.execute, follow_ups.create),
        changes=True,
        bot=False,
    ),
    Method(
        route=f"GET {_HOOK}/messages/{{message}}",
        does=_either(webhooks.get, follow_ups.get),
        bot=False,
    ),
    Method(
        route=f"PATCH {_HOOK}/messages/{{message}}",
        does=_either(webhooks.edit, follow_ups.edit),
        changes=True,
        bot=False,
    ),
    Method(
        route=f"DELETE {_HOOK}/messages/{{message}}",
        does=_either(webhooks.delete, follow_ups.delete),
        changes=True,
        bot=False,
    ),
)


def major_of(posted_path: Mapping[str, str]) -> str:
    """The parameter by which buckets are split: the channel, or the webhook's token."""
    return posted_path.get("channel") or posted_path.get("token") or ""
