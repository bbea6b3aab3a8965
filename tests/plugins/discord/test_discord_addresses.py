"""Where incoming events came from."""

from __future__ import annotations

import warnings

import pytest

from gateway_core import Address, Interaction, Secret
from gateway_plugin_discord.addresses import address_of

with warnings.catch_warnings():
    # discord.py's voice part imports a deprecated module of the standard library.
    warnings.simplefilter("ignore", DeprecationWarning)
    discord = pytest.importorskip("discord", reason="discord.py is not installed")
    commands = pytest.importorskip("discord.ext.commands", reason="discord.py is not installed")


ROOM = "1100000000000000001"
EVENTS = {
    "a message": (
        {"op": 0, "t": "MESSAGE_CREATE", "d": {"id": "5", "channel_id": ROOM, "content": "hi"}},
        Address(external_room_id=ROOM, reply_to="5", key="5"),
    ),
    "its inner part": (
        {"id": "5", "channel_id": ROOM},
        Address(external_room_id=ROOM, reply_to="5", key="5"),
    ),
    "a reaction": (
        {"t": "MESSAGE_REACTION_ADD", "d": {"channel_id": ROOM, "message_id": "5"}},
        Address(external_room_id=ROOM, reply_to="5"),
    ),
    "a command": (
        {"id": "9", "type": 2, "token": "t", "channel_id": ROOM},
        Address(external_room_id=ROOM, key="9"),
    ),
    "a button": (
        {"id": "9", "type": 3, "token": "t", "channel_id": ROOM, "message": {"id": "5"}},
        Address(external_room_id=ROOM, reply_to="5", key="9"),
    ),
    "a guild": ({"t": "GUILD_CREATE", "d": {"id": "1"}}, None),
    "a channel that is no text": ({"channel_id": 5}, None),
    "no inner part": ({"op": 11, "d": None}, None),
    "no event": ("hello", None),
}


def place(address):
    """Where an answer goes, without who asked."""
    if address is None:
        return None
    room, reply, key = address.external_room_id, address.reply_to, address.key
    return Address(external_room_id=room, thread_id=address.thread_id, reply_to=reply, key=key)


@pytest.mark.parametrize("name", EVENTS)
def test_address(name):
    event, expected = EVENTS[name]
    assert expected == place(address_of(event))


USER = {"id": "7", "username": "ada", "discriminator": "0", "avatar": None}
WRITTEN = {
    "id": "5",
    "channel_id": ROOM,
    "author": USER,
    "content": "hello",
    "timestamp": "2026-01-01T00:00:00+00:00",
    "edited_timestamp": None,
    "type": 0,
    **dict.fromkeys(("tts", "mention_everyone", "pinned"), False),
    **{name: [] for name in ("mentions", "mention_roles", "attachments", "embeds")},
}


EDITED = {**WRITTEN, "edited_timestamp": "2026-01-01T00:00:01.500000+00:00"}
COMMAND = {
    "id": "9",
    "application_id": "3",
    "type": 2,
    "token": "t",
    "version": 1,
    "channel_id": ROOM,
    "channel": {"id": ROOM, "type": 1, "recipients": [USER]},
    "user": USER,
    "data": {"id": "1", "name": "deploy", "type": 1},
    "entitlements": [],
    "authorizing_integration_owners": {},
    "locale": "de",
    "attachment_size_limit": 10,
}


PRESS = {**COMMAND, "type": 3, "data": {"custom_id": "x", "component_type": 2}, "message": WRITTEN}
REACTION = {
    "user_id": "7",
    "channel_id": ROOM,
    "message_id": "5",
    "emoji": {"id": None, "name": "x"},
    "burst": False,
    "type": 0,
}


DELETED = {"id": "5", "channel_id": ROOM, "guild_id": "1"}


@pytest.fixture(name="of_discord_py")
def _of_discord_py():
    """Makes discord.py's own object of an event's JSON."""
    client = discord.Client(intents=discord.Intents.none())
    state, channel = client._connection, client.get_partial_messageable(int(ROOM))

    def made(event):
        if "emoji" in event:
            emoji = discord.PartialEmoji(name="x")
            return discord.RawReactionActionEvent(event, emoji, "REACTION_ADD")
        if "application_id" in event:
            return discord.Interaction(data=event, state=state)
        if event is DELETED:
            return discord.RawMessageDeleteEvent(event)
        return discord.Message(state=state, channel=channel, data=event)

    return made


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (WRITTEN, Address(external_room_id=ROOM, reply_to="5", key="5")),
        (EDITED, Address(external_room_id=ROOM, reply_to="5", key="5-1767225601500")),
        (COMMAND, Address(external_room_id=ROOM, key="9")),
        (PRESS, Address(external_room_id=ROOM, reply_to="5", key="9")),
        (REACTION, Address(external_room_id=ROOM, reply_to="5")),
        (DELETED, Address(external_room_id=ROOM, key="5-deleted")),
    ],
)
def test_the_objects_of_discord_py_say_the_same_as_their_json(of_discord_py, event, expected):
    assert expected == place(address_of(event))
    assert address_of(event) == address_of(of_discord_py(event))


def test_what_discord_py_wraps_a_message_in_says_the_same_as_the_message(of_discord_py):
    """The raw event of an edit, a command's context, and a reaction, which has no key."""
    message, view = of_discord_py(EDITED), commands.view.StringView("!deploy")
    context = commands.Context(message=message, bot=commands.Bot, view=view)
    counts = {
        "count": 1,
        "me": False,
        "me_burst": False,
        "count_details": {"burst": 0, "normal": 1},
    }
    reaction = discord.Reaction(message=message, data={**counts, "burst_colors": []}, emoji="x")
    for told in (discord.RawMessageUpdateEvent(EDITED, message), context):
        assert address_of(EDITED) == address_of(told)
    assert Address(external_room_id=ROOM, reply_to="5") == place(address_of(reaction))


def test_an_interaction_that_calls_a_command_is_no_context(of_discord_py):
    pressed = of_discord_py(COMMAND)
    pressed._cs_command = object()
    assert address_of(COMMAND) == address_of(pressed)


def test_an_event_of_another_make_has_no_address():
    assert address_of(object()) is None
    odd = {**WRITTEN, "edited_timestamp": "yesterday"}
    assert "5" == address_of(odd).key


def test_who_asked_and_where():
    written = address_of(WRITTEN)
    assert ("7", None, True, "5") == (
        written.user_id, written.team_id, written.direct, written.message_id
    )  # fmt: skip
    member = {"user": {"id": "8"}}
    in_server = {**COMMAND, "guild_id": "1", "user": None, "member": member}
    command = address_of(in_server)
    assert ("8", "1", False, None) == (
        command.user_id, command.team_id, command.direct, command.message_id
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "asked"), [(2, "command"), (3, "press"), (5, "form")])
def test_an_interaction_is_answered_by_its_token(kind, asked):
    found = address_of({**COMMAND, "type": kind}).interaction
    expected = Interaction(
        token=Secret("t"), id="9", app_id="3", asked=asked, lasts=900, edits=True
    )
    assert expected == found


@pytest.mark.parametrize("kind", [1, 4, None, "2"])
def test_what_has_no_answer_by_a_message_is_no_interaction(kind):
    """A ping and a question for completions."""
    assert address_of({**COMMAND, "type": kind}).interaction is None


def test_an_event_of_slack_is_none_of_discords():
    assert address_of({"channel_id": "C024BE91L", "command": "/deploy"}) is None
