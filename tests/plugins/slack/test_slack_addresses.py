"""Where incoming events came from."""

import json
from urllib.parse import urlencode

import pytest

from gateway_core import Address, Interaction, Secret
from gateway_plugin_slack.addresses import address_of

TS, THREAD = "1700000000.000200", "1700000000.000100"


def wrapped(**event):
    return {"type": "event_callback", "event_id": "Ev1", "event": event}


def place(address):
    """Where an answer goes, without who asked."""
    if address is None:
        return None
    room, reply, key = address.external_room_id, address.reply_to, address.key
    return Address(external_room_id=room, thread_id=address.thread_id, reply_to=reply, key=key)


@pytest.mark.parametrize(
    ("event", "room", "thread", "reply", "key"),
    [
        (
            wrapped(type="message", channel="C024BE91L", ts=TS),
            "C024BE91L",
            None,
            TS,
            f"C024BE91L:{TS}",
        ),
        (
            wrapped(type="app_mention", channel="C024BE91L", ts=TS, thread_ts=THREAD),
            "C024BE91L",
            THREAD,
            TS,
            f"C024BE91L:{TS}",
        ),
        (
            {"type": "message", "channel": "D024BE91L", "channel_type": "im", "ts": TS},
            "D024BE91L",
            None,
            None,
            f"D024BE91L:{TS}",
        ),
        (
            wrapped(
                type="message",
                subtype="message_changed",
                channel="C024BE91L",
                ts="1700000001.000000",
                message={"ts": TS, "thread_ts": THREAD},
            ),
            "C024BE91L",
            THREAD,
            TS,
            f"C024BE91L:{TS}",
        ),
        (
            wrapped(
                type="reaction_added",
                item={"type": "message", "channel": "C024BE91L", "ts": TS},
                event_ts="1700000002.000000",
            ),
            "C024BE91L",
            None,
            TS,
            "C024BE91L:1700000002.000000",
        ),
        (
            {
                "type": "block_actions",
                "trigger_id": "12.34",
                "channel": {"id": "C024BE91L", "name": "general"},
                "message": {"ts": TS, "thread_ts": THREAD},
            },
            "C024BE91L",
            THREAD,
            TS,
            "C024BE91L:12.34",
        ),
        (
            {"command": "/deploy", "channel_id": "C024BE91L", "trigger_id": "56.78"},
            "C024BE91L",
            None,
            None,
            "C024BE91L:56.78",
        ),
        (
            wrapped(type="member_joined_channel", channel="C024BE91L", event_ts=TS),
            "C024BE91L",
            None,
            None,
            f"C024BE91L:{TS}",
        ),
        (
            wrapped(
                type="message",
                subtype="message_deleted",
                channel="C024BE91L",
                ts="1700000003.000000",
                deleted_ts=TS,
                previous_message={"ts": TS, "thread_ts": THREAD},
            ),
            "C024BE91L",
            THREAD,
            None,
            "C024BE91L:1700000003.000000",
        ),
        (
            wrapped(
                type="assistant_thread_started",
                assistant_thread={"channel_id": "D024BE91L", "thread_ts": THREAD},
                event_ts=TS,
            ),
            "D024BE91L",
            THREAD,
            None,
            f"D024BE91L:{TS}",
        ),
        (
            wrapped(type="link_shared", channel="C024BE91L", message_ts=THREAD, event_ts=TS),
            "C024BE91L",
            None,
            THREAD,
            f"C024BE91L:{TS}",
        ),
    ],
)
def test_an_event_tells_where_to_answer(event, room, thread, reply, key):
    expected = Address(external_room_id=room, thread_id=thread, reply_to=reply, key=key)
    assert expected == place(address_of(event))


@pytest.mark.parametrize(
    ("event", "user", "team", "direct", "message"),
    [
        (
            {**wrapped(type="message", channel="C024BE91L", ts=TS, user="U1"), "team_id": "T1"},
            "U1", "T1", False, TS,
        ),
        ({"type": "message", "channel": "D024BE91L", "ts": TS, "user": "U1", "team": "T2"},
         "U1", "T2", True, TS),
        (
            {"type": "block_actions", "user": {"id": "U2"}, "team": {"id": "T3"},
             "channel": {"id": "C024BE91L"}, "message": {"ts": TS, "user": "U0BOT"}},
            "U2", "T3", False, TS,
        ),
        ({"command": "/ask", "channel_id": "C024BE91L", "user_id": "U3", "team_id": "T4"},
         "U3", "T4", False, None),
        (wrapped(type="message", channel="C024BE91L", ts=TS), None, None, False, TS),
    ],
)  # fmt: skip
def test_an_event_tells_who_asked(event, user, team, direct, message):
    found = address_of(event)
    assert found is not None
    told = (found.user_id, found.team_id, found.direct, found.message_id)
    assert told == (user, team, direct, message)


@pytest.mark.parametrize(
    "event",
    [
        None,
        "text",
        [],
        {},
        {"type": "url_verification", "challenge": "x"},
        wrapped(type="team_join", user={"id": "U1"}),
        wrapped(type="message", channel=7, ts=TS),
        wrapped(type="channel_rename", channel={"name": "no id"}),
    ],
)
def test_what_belongs_to_no_conversation_has_no_address(event):
    assert address_of(event) is None


def test_a_ts_that_is_no_text_is_not_used():
    event = wrapped(type="message", channel="C024BE91L", ts=1700000000.0002)
    assert Address(external_room_id="C024BE91L") == address_of(event)


def test_an_edit_has_a_key_of_its_own_the_same_for_both_of_its_events():
    """Whoever is mentioned by an edit gets an `app_mention` and a `message_changed`."""
    edited = {"user": "U1", "ts": "1700000009.000000"}
    told = {"channel": "C024BE91L", "ts": TS, "edited": edited}
    mention = wrapped(type="app_mention", **told)
    changed = wrapped(
        type="message", subtype="message_changed", channel="C024BE91L", ts="1700000009.000100",
        message={"ts": TS, "edited": edited},
    )  # fmt: skip
    keys = {address_of(event).key for event in (mention, changed)}
    assert {f"C024BE91L:{TS}:1700000009.000000"} == keys


BODIES = {
    "event": wrapped(type="message", channel="C024BE91L", ts=TS, thread_ts=THREAD),
    "command": {"command": "/deploy", "channel_id": "C024BE91L", "trigger_id": "56.78"},
    "action": {
        "type": "block_actions",
        "trigger_id": "12.34",
        "channel": {"id": "C024BE91L"},
        "message": {"ts": TS},
        "actions": [],
    },
}


def posted(name):
    """The request's body and type, as Slack posts it."""
    body = BODIES[name]
    if name == "event":
        return json.dumps(body), "application/json"
    form = body if name == "command" else {"payload": json.dumps(body)}
    return urlencode(form), "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", BODIES)
def test_a_request_of_slack_bolt_says_the_same_as_its_json(name):
    bolt = pytest.importorskip("slack_bolt", reason="slack_bolt is not installed")
    raw, kind = posted(name)
    request = bolt.BoltRequest(body=raw, headers={"content-type": [kind]})
    assert address_of(BODIES[name]) == address_of(request)
    assert address_of(request) is not None


@pytest.mark.parametrize("name", BODIES)
def test_a_request_of_socket_mode_says_the_same_as_its_payload(name):
    slack_sdk = pytest.importorskip("slack_sdk.socket_mode.request", reason="no slack_sdk")
    kind = BODIES[name].get("type", "slash_commands")
    request = slack_sdk.SocketModeRequest(kind, "57d6a792", BODIES[name])
    assert address_of(BODIES[name]) == address_of(request)
    assert address_of(request) is not None


def test_a_home_tab_is_no_conversation_though_it_names_a_channel():
    event = wrapped(
        type="app_home_opened", user="U061F7AUR", channel="D0LAN2Q65", tab="home",
        event_ts="1515449522000016",
    )  # fmt: skip
    assert address_of(event) is None


def test_who_asked_and_where():
    body = wrapped(type="message", channel="D024BE91L", channel_type="im", ts=TS, user="U1")
    found = address_of({**body, "team_id": "T1"})
    assert ("U1", "T1", True, TS) == (
        found.user_id, found.team_id, found.direct, found.message_id
    )  # fmt: skip
    found = address_of(wrapped(type="app_mention", channel="C1AB", ts=TS, team="T2"))
    assert ("T2", False) == (found.team_id, found.direct)


URL = "https://hooks.slack.com/actions/T1/1/abc"


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        (
            {"command": "/deploy", "channel_id": "C024BE91L", "user_id": "U1", "team_id": "T1"}
            | {"response_url": URL, "trigger_id": "1.2"},
            "command",
        ),
        (
            {"type": "block_actions", "channel": {"id": "C024BE91L"}, "response_url": URL}
            | {"user": {"id": "U1", "team_id": "T1"}, "team": {"id": "T1"}},
            "press",
        ),
        (
            {"type": "view_submission", "user": {"id": "U1"}, "team": {"id": "T1"}}
            | {"response_urls": [{"response_url": URL, "channel_id": "C024BE91L"}]},
            "form",
        ),
    ],
)
def test_an_interaction_is_answered_by_its_url(event, asked):
    found = address_of(event)
    assert ("C024BE91L", "U1", "T1") == (found.external_room_id, found.user_id, found.team_id)
    assert Interaction(token=Secret(URL), asked=asked, lasts=1800) == found.interaction
