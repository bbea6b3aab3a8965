"""Settings, what is refused at the door, addresses, limits, nonces and the meter."""

import warnings

import pytest
from structlog.testing import capture_logs

from gateway_core import (
    Address,
    Call,
    Delete,
    Edit,
    KeyRef,
    Limit,
    MessageRef,
    PartRef,
    Secret,
    Send,
    Traits,
)
from gateway_plugin_discord import hooks
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswers, InvalidAnswersError
from gateway_plugin_discord.methods import REPEAT_SAFE_CALLS, route_of
from gateway_plugin_discord.requests import nonce_of
from gateway_plugin_discord.settings import DiscordSettings

with warnings.catch_warnings():
    # discord.py's voice part imports a deprecated module of the standard library.
    warnings.simplefilter("ignore", DeprecationWarning)
    discord = pytest.importorskip("discord", reason="discord.py is not installed")
    commands = pytest.importorskip("discord.ext.commands", reason="discord.py is not installed")

ROOM = "1100000000000000001"
TYPING = "POST /channels/{channel}/typing"
CALLBACK = "POST /interactions/{interaction}/{token}/callback"
HERE = {"instance_id": "support", "external_room_id": ROOM}


def ref(**fields):
    return MessageRef(envelope_id="e1", **{**HERE, **fields})


def test_the_defaults():
    settings = hooks.settings_type()(token=Secret("abc"))
    assert "https://discord.com/api/v10" == settings.base_url
    assert (2000, 5, 5.0, 48, 50, 10_000) == (
        settings.max_length,
        settings.message_count,
        settings.message_per,
        settings.global_count,
        settings.global_window,
        settings.invalid_answers,
    )
    assert "abc" not in repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": Secret("two words")},
        {"token": Secret("café")},
        {"base_url": "http://discord.com/api/v10"},
        {"base_url": "https://discord.com/api/v10?x=1"},
        {"user_agent_url": "no url"},
        {"max_length": 0},
        {"message_count": 0},
        {"message_per": 0.0},
        {"global_count": 0},
        {"invalid_answers": 1},
        {"total_timeout": -1.0},
    ],
)
def test_settings_refuse(wrong):
    with pytest.raises(ValueError, match=r".+"):
        DiscordSettings(**{"token": Secret("abc"), **wrong})


def test_a_token_must_be_a_secret():
    with pytest.raises(TypeError, match="token: a secret is expected"):
        DiscordSettings(token="abc")


def test_http_to_loopback_is_taken():
    settings = DiscordSettings(token=Secret("abc"), base_url="http://127.0.0.1:8080/api/v10/")
    assert "http://127.0.0.1:8080/api/v10" == settings.base_url


def test_traits():
    expected = Traits(
        independent_threads=True,
        deduplicates_for=120.0,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        names_limits=True,
    )
    assert expected == hooks.traits()
    assert all(route_of(f"call:{method}") for method in REPEAT_SAFE_CALLS)


GOOD = [
    Send(**HERE, text="hi"),
    Send(**HERE, text="hi", thread_id="2", reply_to="3"),
    Send(**HERE, text="", extra={"embeds": [{"title": "hi"}]}),
    Send(**HERE, text="hi", extra={"components": [], "flags": 4, "allowed_mentions": {}}),
    Edit(**HERE, target=ref(parts=(PartRef(message_id="5"),)), text="ho"),
    Send(**HERE, text="", extra={"flags": 1 << 15, "components": [{"type": 10}]}),
    Edit(**HERE, target=KeyRef(**HERE, key="k"), text="ho", extra={"attachments": []}),
    Delete(**HERE, target=ref()),
    Call(**HERE, method=TYPING),
    Call(**HERE, method=CALLBACK, arguments={"interaction": 7, "token": "t", "type": 5}),
]


@pytest.mark.parametrize("envelope", GOOD)
def test_good_envelopes_pass(envelope):
    assert () == hooks.validate(envelope=envelope)


BAD = [
    (Send(**{**HERE, "external_room_id": "#general"}, text="hi"), ["external_room_id"]),
    (Send(**{**HERE, "external_room_id": "18446744073709551616"}, text="hi"), ["external_room_id"]),
    (Send(**{**HERE, "external_room_id": "٣"}, text="hi"), ["external_room_id"]),
    (Send(**HERE, text="hi", thread_id="0", reply_to="x"), ["thread_id", "reply_to"]),
    (Send(**HERE, text=" \n"), ["text"]),
    (Send(**HERE, text="hi", extra={"nonce": "1", "embed": {}}), ["extra.embed", "extra.nonce"]),
    (Send(**HERE, text="hi", extra={"attachments": []}), ["extra.attachments"]),
    (Send(**HERE, text="hi", extra={"flags": "4"}), ["extra.flags"]),
    (Send(**HERE, text="hi", extra={"flags": 1 << 15, "embeds": []}), ["text", "extra.embeds"]),
    (Edit(**HERE, target=ref(), text=""), ["text"]),
    (Edit(**HERE, target=ref(), text="hi", extra={"tts": True}), ["extra.tts"]),
    (
        Delete(**HERE, target=ref(thread_id="t", parts=(PartRef(message_id="m"),))),
        ["target.thread_id", "target.parts[0].message_id"],
    ),
    (Call(**HERE, method="sendMessage"), ["method"]),
    (Call(**HERE, method="GET /users/../@me"), ["method"]),
    (Call(**HERE, method="GET https://evil.example/"), ["method"]),
    (Call(**HERE, method=TYPING, arguments={"channel": "5"}), ["arguments.channel"]),
    (
        Call(**HERE, method=CALLBACK, arguments={"interaction": True, "token": ".."}),
        ["arguments.interaction", "arguments.token"],
    ),
]


@pytest.mark.parametrize(("envelope", "places"), BAD)
def test_bad_envelopes_name_each_field(envelope, places):
    assert places == [problem.place for problem in hooks.validate(envelope=envelope)]


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


@pytest.mark.parametrize("name", EVENTS)
def test_address(name):
    event, expected = EVENTS[name]
    assert expected == hooks.address(event=event)


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
    assert expected == hooks.address(event=event)
    assert expected == hooks.address(event=of_discord_py(event))


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
        assert hooks.address(event=EDITED) == hooks.address(event=told)
    assert Address(external_room_id=ROOM, reply_to="5") == hooks.address(event=reaction)


def test_an_interaction_that_calls_a_command_is_no_context(of_discord_py):
    pressed = of_discord_py(COMMAND)
    pressed._cs_command = object()
    assert hooks.address(event=COMMAND) == hooks.address(event=pressed)


def test_an_event_of_another_make_has_no_address():
    assert hooks.address(event=object()) is None
    odd = {**WRITTEN, "edited_timestamp": "yesterday"}
    assert "5" == hooks.address(event=odd).key


GLOBAL = [Limit("global", 48, 1.0, "even", most=50)]
MESSAGE = f"/channels/{ROOM}/messages"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("send", [Limit(f"POST {MESSAGE}", 5, 5.0, "learned"), *GLOBAL]),
        ("edit", [Limit(f"PATCH {MESSAGE}/{{message}}", 5, 5.0, "learned"), *GLOBAL]),
        ("delete", [Limit(f"DELETE {MESSAGE}/{{message}}", 5, 5.0, "learned"), *GLOBAL]),
        (
            "call:PUT /channels/{channel}/messages/pins/{message}",
            [Limit(f"PUT {MESSAGE}/pins/{{message}}", 5, 5.0, "learned"), *GLOBAL],
        ),
        ("call:GET /users/@me", GLOBAL),
        (f"call:{TYPING}", []),
        (f"call:{CALLBACK}", []),
        ("call:nonsense", []),
    ],
)
def test_rate_limit(operation, expected, instance):
    asked = {"instance": instance, "room": ROOM, "thread": None, "operation": operation}
    assert expected == hooks.rate_limit(**asked)


def test_a_thread_has_the_bucket_of_a_channel(instance):
    asked = {"instance": instance, "room": ROOM, "thread": "77", "operation": "send"}
    assert hooks.rate_limit(**asked)[0].bucket == "POST /channels/77/messages"


def test_a_nonce_is_stable_fits_and_tells_keys_apart():
    assert "494205c11f8894b4243bd946" == nonce_of("key")
    assert 24 == len(nonce_of("key" * 100))
    assert nonce_of("key") != nonce_of("yek")


def test_the_meter_warns_at_half_stops_at_four_fifths_and_frees_itself():
    meter = InvalidAnswers(10, "support")
    with capture_logs() as logs:
        for second in range(8):
            meter.check(float(second))
            meter.note(403, {}, float(second))
    assert [("discord.invalid_answers_high", 5, "support")] == [
        (log["event"], log["count"], log["instance"]) for log in logs
    ]
    with pytest.raises(InvalidAnswersError, match="8 answers of 401") as caught:
        meter.check(100.0)
    assert 500.0 == caught.value.retry_after
    meter.check(600.0)
    assert 7 == meter.count(600.0)


def test_the_meter_warns_again_after_a_calm():
    meter = InvalidAnswers(10, "support")
    with capture_logs() as logs:
        for at in (*range(5), *range(1000, 1005)):
            meter.note(429, {}, float(at))
    assert 2 == len(logs)


def test_the_meter_passes_over_good_answers_and_shared_limits():
    meter = InvalidAnswers(10, "support")
    meter.note(429, {"x-ratelimit-scope": "shared"}, 0.0)
    meter.note(429, {"x-ratelimit-scope": "Shared"}, 0.0)
    for status in (200, 204, 400, 404, 500):
        meter.note(status, {}, 0.0)
    assert 0 == meter.count(0.0)
