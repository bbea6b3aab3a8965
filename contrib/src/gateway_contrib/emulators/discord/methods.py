"""The routes of Discord's API that the emulator serves, and what each of them does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import GUILD, Bot, Interaction, World, message_wire

Answer = tuple[int, Any]
"""Status and JSON; None: no content."""

_SNOWFLAKE = re.compile(r"[0-9]{1,20}")
_FILLING = ("embeds", "components", "sticker_ids", "poll", "attachments")
_NONCE_LENGTH = 25
_MESSAGE_CALLBACKS = (4, 7)
_PAGE = (("before", 1 << 64), ("after", -1))
_NO_CONTENT: Answer = (204, None)

CREATE = "POST /channels/{channel}/messages"
EDIT = "PATCH /channels/{channel}/messages/{message}"
DELETE = "DELETE /channels/{channel}/messages/{message}"


def _length(content: str) -> int:
    return len(content.encode("utf-16-le", "surrogatepass")) // 2


def _check_content(world: World, posted: Posted, *, prefix: str = "") -> None:
    content, most = posted.fields.get("content"), world.limits.max_length
    if content is not None and not isinstance(content, str):
        raise form(f"{prefix}content", "STRING_TYPE_CONVERT", "Could not interpret as string.")
    if _length(content or "") > most:
        words = f"Must be {most} or fewer in length."
        raise form(f"{prefix}content", "BASE_TYPE_MAX_LENGTH", words)
    flags = posted.fields.get("flags", 0)
    if flags is not None and (not isinstance(flags, int) or isinstance(flags, bool)):
        raise form(f"{prefix}flags", "NUMBER_TYPE_COERCE", f'Value "{flags}" is not int.')


def _check_full(fields: Mapping[str, Any], files: int) -> None:
    full = any(fields.get(name) for name in _FILLING) or files
    if not (fields.get("content") or "").strip() and not full:
        raise coded(50006)


def _check_nonce(posted: Posted) -> None:
    nonce = posted.fields.get("nonce")
    if nonce is not None and len(str(nonce)) > _NONCE_LENGTH:
        words = f"Must be {_NONCE_LENGTH} or fewer in length."
        raise form("nonce", "NONCE_TYPE_TOO_LONG", words)


def _check_reference(world: World, room: str, posted: Posted) -> None:
    reference = posted.fields.get("message_reference")
    if not reference:
        return
    # Clients write ids as numbers, too.
    reference["message_id"] = str(reference.get("message_id"))
    target = world.rooms.get(room, reference["message_id"])
    if (target is None or target.deleted) and reference.get("fail_if_not_exists", True):
        raise form("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
    if target is None or target.deleted:
        del posted.fields["message_reference"]


def _room(world: World, posted: Posted) -> str:
    """The channel of the path, if the bot may use it."""
    room = posted.path["channel"]
    if not _SNOWFLAKE.fullmatch(room):
        raise form("channel_id", "NUMBER_TYPE_COERCE", f'Value "{room}" is not snowflake.')
    world.open_channel(room)
    return room


def _trimmed(fields: dict[str, Any]) -> dict[str, Any]:
    """Discord takes white space off both ends of a message."""
    content = fields.get("content")
    return {**fields, "content": content.strip()} if isinstance(content, str) else fields


def create_message(world: World, bot: Bot, posted: Posted) -> Answer:
    """Make a message, or give the one that its enforced nonce has made already."""
    room = _room(world, posted)
    _check_content(world, posted)
    _check_nonce(posted)
    _check_full(posted.fields, posted.files)
    _check_reference(world, room, posted)
    nonce = posted.fields.get("nonce")
    if posted.fields.get("enforce_nonce") and nonce is not None:
        made = world.remembered(bot, room, str(nonce))
        if made is not None:
            return 200, message_wire(world, made)
    world.wait_for_slow_mode(room)
    return 200, message_wire(world, world.store(bot, room, _trimmed(posted.fields)))


def edit_message(world: World, bot: Bot, posted: Posted) -> Answer:
    """Change a message of the bot's own."""
    message = world.message(_room(world, posted), posted.path["message"])
    if world.author(message) != bot:
        raise coded(50005)
    _check_content(world, posted)
    _check_full({**message.fields, **posted.fields}, posted.files)
    return 200, message_wire(world, world.change(message, _trimmed(posted.fields)))


def delete_message(world: World, bot: Bot, posted: Posted) -> Answer:
    """Take away a message of the bot's own; another's would need a permission."""
    message = world.message(_room(world, posted), posted.path["message"])
    if world.author(message) != bot:
        raise coded(50013)
    world.remove(message)
    return _NO_CONTENT


def get_message(world: World, _: Bot, posted: Posted) -> Answer:
    """One message."""
    return 200, message_wire(world, world.message(_room(world, posted), posted.path["message"]))


def list_messages(world: World, _: Bot, posted: Posted) -> Answer:
    """The newest messages, newest first, in pages by `limit`, `before` and `after`."""
    before, after = (int(posted.query.get(name) or bound) for name, bound in _PAGE)
    newest = world.rooms.conversation(_room(world, posted))[::-1]
    page = [message for message in newest if after < int(message.id) < before]
    most = int(posted.query.get("limit") or 50)
    return 200, [message_wire(world, message) for message in page[:most]]


def get_channel(world: World, _: Bot, posted: Posted) -> Answer:
    """A text channel of the one guild."""
    room = _room(world, posted)
    return 200, {
        "id": room,
        "type": 0,
        "guild_id": GUILD,
        "name": f"room-{room}",
        "position": 0,
        "permission_overwrites": [],
        "nsfw": False,
        "parent_id": None,
        "topic": None,
        "last_message_id": None,
        "rate_limit_per_user": 0,
    }


def typing(world: World, _: Bot, posted: Posted) -> Answer:
    """Show that the bot is typing: nobody remembers it."""
    _room(world, posted)
    return _NO_CONTENT


def add_reaction(world: World, bot: Bot, posted: Posted) -> Answer:
    """React to a message; once is enough."""
    message = world.message(_room(world, posted), posted.path["message"])
    reactions = world.reactions.setdefault((message.room, message.id), [])
    if (bot.id, posted.path["emoji"]) not in reactions:
        reactions.append((bot.id, posted.path["emoji"]))
    return _NO_CONTENT


def remove_reaction(world: World, bot: Bot, posted: Posted) -> Answer:
    """Take the bot's reaction back."""
    message = world.message(_room(world, posted), posted.path["message"])
    reactions = world.reactions.get((message.room, message.id), [])
    if (bot.id, posted.path["emoji"]) in reactions:
        reactions.remove((bot.id, posted.path["emoji"]))
    return _NO_CONTENT


def pin(world: World, _: Bot, posted: Posted) -> Answer:
    """Pin a message."""
    message = world.message(_room(world, posted), posted.path["message"])
    pins = world.pins.setdefault(message.room, [])
    if message.id not in pins:
        pins.append(message.id)
    return _NO_CONTENT


def unpin(world: World, _: Bot, posted: Posted) -> Answer:
    """Unpin a message."""
    message = world.message(_room(world, posted), posted.path["message"])
    if message.id in world.pins.get(message.room, []):
        world.pins[message.room].remove(message.id)
    return _NO_CONTENT


def current_user(_: World, bot: Bot, __: Posted) -> Answer:
    """Who am I."""
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


def gateway(_: World, __: Bot, ___: Posted) -> Answer:
    """Where the WebSocket gateway would be: there is none."""
    limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
    return 200, {"url": "wss://127.0.0.1/none", "shards": 1, "session_start_limit": limit}


def _application(entry: Interaction) -> Bot:
    return Bot(entry.application, "application")


def _live(world: World, posted: Posted) -> Interaction:
    entry = world.live_interaction(posted.path["token"])
    if entry is None:
        raise coded(50027)
    return entry


def answer_interaction(world: World, _: Bot, posted: Posted) -> Answer:
    """The first answer to an interaction; one of type 4 makes a message."""
    entry = world.live_interaction(posted.path["token"])
    if entry is None or entry.id != posted.path["interaction"]:
        raise coded(10062)
    if entry.acknowledged:
        raise coded(40060)
    if posted.fields.get("type") in _MESSAGE_CALLBACKS:
        inner = attrs.evolve(posted, fields=posted.fields.get("data") or {})
        _check_content(world, inner, prefix="data.")
        _check_full(inner.fields, posted.files)
        made = world.store(_application(entry), entry.room, _trimmed(inner.fields))
        entry.original = made.id
    entry.acknowledged = True
    return _NO_CONTENT


def follow_up(world: World, _: Bot, posted: Posted) -> Answer:
    """A further message to an interaction's room."""
    entry = _live(world, posted)
    _check_content(world, posted)
    _check_full(posted.fields, posted.files)
    made = world.store(_application(entry), entry.room, _trimmed(posted.fields))
    entry.original = entry.original or made.id
    return 200, message_wire(world, made)


def edit_follow_up(world: World, bot: Bot, posted: Posted) -> Answer:
    """Change an interaction's message; `@original` is its first, made now if it was deferred."""
    entry = _live(world, posted)
    name = posted.path["message"]
    if name == "@original" and entry.original is None:
        return follow_up(world, bot, posted)
    message_id = entry.original if name == "@original" else name
    message = world.message(entry.room, message_id or "")
    _check_content(world, posted)
    return 200, message_wire(world, world.change(message, _trimmed(posted.fields)))


@attrs.frozen(kw_only=True)
class Method:
    """A route: its verb and path, what it does, and how it is limited.

    changes  it makes, edits or deletes a message: the plan of faults is asked
    bot      it needs a bot's token, and counts towards the bot's global limit
    """

    route: str
    does: Callable[[World, Bot, Posted], Answer]
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
_FOLLOW_UP = "/webhooks/{application}/{token}"
METHODS: tuple[Method, ...] = (
    Method(route="GET /users/@me", does=current_user),
    Method(route="GET /gateway", does=gateway, bot=False),
    Method(route="GET /gateway/bot", does=gateway),
    Method(route="GET /oauth2/applications/@me", does=current_application),
    Method(route="GET /channels/{channel}", does=get_channel),
    Method(route="POST /channels/{channel}/typing", does=typing),
    Method(route="GET /channels/{channel}/messages", does=list_messages),
    Method(route=CREATE, does=create_message, changes=True),
    Method(route="GET /channels/{channel}/messages/{message}", does=get_message),
    Method(route=EDIT, does=edit_message, changes=True),
    Method(route=DELETE, does=delete_message, changes=True),
    Method(route=f"PUT {_REACTION}", does=add_reaction),
    Method(route=f"DELETE {_REACTION}", does=remove_reaction),
    Method(route="PUT /channels/{channel}/pins/{message}", does=pin),
    Method(route="DELETE /channels/{channel}/pins/{message}", does=unpin),
    Method(route="PUT /channels/{channel}/messages/pins/{message}", does=pin),
    Method(route="DELETE /channels/{channel}/messages/pins/{message}", does=unpin),
    Method(
        route="POST /interactions/{interaction}/{token}/callback",
        does=answer_interaction,
        changes=True,
        bot=False,
    ),
    Method(route=f"POST {_FOLLOW_UP}", does=follow_up, changes=True, bot=False),
    Method(
        route=f"PATCH {_FOLLOW_UP}/messages/{{message}}",
        does=edit_follow_up,
        changes=True,
        bot=False,
    ),
)


def major_of(posted_path: Mapping[str, str]) -> str:
    """The parameter that buckets are split by: the channel, or the webhook's token."""
    return posted_path.get("channel") or posted_path.get("token") or ""
