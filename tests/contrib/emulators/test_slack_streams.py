"""Streams and statuses of the emulated Slack."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.slack import SlackLimits, visible_text

ROOM = "C024BE91L"
DIRECT = "D024BE7LH"
TO = {"recipient_user_id": "U024BE7LH", "recipient_team_id": "T0EMULATOR"}


@pytest.fixture
async def slack(workspace, unlimited):
    return await workspace(limits=unlimited)


def question(slack, room=ROOM):
    """Somebody asks; the thread for the answer."""
    return slack.emulator.people.say(room, "why?")["event"]["ts"]


async def started(slack, room=ROOM, **fields):
    """A stream in a thread: its place, for the calls that follow."""
    thread = question(slack, room)
    answer = await slack.ask("chat.startStream", channel=room, thread_ts=thread, **TO, **fields)
    assert answer["ok"], answer
    return {"channel": answer["channel"], "ts": answer["ts"]}


async def test_a_stream_grows_and_is_stopped(slack, autojump_clock):
    where = await started(slack, markdown_text="**one**")
    message = slack.emulator.rooms.get(ROOM, where["ts"])
    await trio.sleep(6)
    assert {"ok": True, **where} == await slack.ask(
        "chat.appendStream", **where, markdown_text=" two"
    )
    assert message.streaming
    await trio.sleep(6)
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "sources"}}
    metadata = {"event_type": "answered", "event_payload": {}}
    end = await slack.ask(
        "chat.stopStream", **where, markdown_text=" three", blocks=[block], metadata=metadata
    )
    assert ("**one** two three", where["ts"]) == (end["message"]["text"], end["ts"])
    assert metadata == end["message"]["metadata"]
    assert not message.streaming
    assert "**one** two three\nsources" == message.text == visible_text(message)
    assert [(0.0, "**one**"), (6.0, "**one** two"), (12.0, message.text)] == message.states
    assert message.thread == end["message"]["thread_ts"]
    assert (None, 1, 1, 1) == (
        message.edited_at,
        *(slack.emulator.counters[name] for name in ("stored", "appended", "streamed")),
    )


async def test_whether_a_message_streams_may_be_asked_in_any_thread(slack, autojump_clock):
    where = await started(slack, markdown_text="one")
    message = slack.emulator.rooms.get(ROOM, where["ts"])
    with ThreadPoolExecutor() as threads:
        assert threads.submit(lambda: message.streaming).result()
        assert (await slack.ask("chat.stopStream", **where))["ok"]
        assert not threads.submit(lambda: message.streaming).result()


async def test_a_stream_may_begin_and_end_with_nothing_in_between(slack, autojump_clock):
    """As slack_sdk's helper does it: all the text comes with the end."""
    where = await started(slack)
    chunks = [{"type": "markdown_text", "text": "all"}]
    assert (await slack.ask("chat.stopStream", **where, chunks=chunks))["ok"]
    assert ["why?", "all"] == slack.texts(ROOM)
    assert "no_text" == (await slack.ask("chat.stopStream", **await started(slack)))["error"]


async def test_chunks_are_texts_tasks_plans_and_blocks(slack, autojump_clock):
    where = await started(slack)
    task = {"type": "task_update", "id": "1", "title": "search", "status": "in_progress"}
    chunks = [{"type": "plan_update", "title": "Plan"}, task]
    assert (await slack.ask("chat.appendStream", **where, chunks=chunks))["ok"]
    divider = {"type": "blocks", "blocks": [{"type": "divider"}]}
    text = {"type": "markdown_text", "text": "found"}
    chunks = [{**task, "status": "complete"}, text, divider]
    assert (await slack.ask("chat.appendStream", **where, chunks=chunks))["ok"]
    message = slack.emulator.rooms.get(ROOM, where["ts"])
    assert ("found", "Plan", ["complete"]) == (
        message.text,
        message.fields["plan"],
        [one["status"] for one in message.fields["tasks"].values()],
    )


@pytest.mark.parametrize(
    "chunk",
    [
        "text",
        {"type": "image"},
        {"type": "markdown_text"},
        {"type": "markdown_text", "text": ""},
        {"type": "task_update", "id": "1", "title": "t", "status": "soon"},
        {"type": "task_update", "title": "t", "status": "pending"},
        {"type": "plan_update"},
        {"type": "blocks", "blocks": {}},
    ],
)
async def test_chunks_that_are_none_are_refused(slack, chunk, autojump_clock):
    where = await started(slack)
    answer = await slack.ask("chat.appendStream", **where, chunks=[chunk])
    assert "invalid_chunks" == answer["error"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"channel": "general"}, "channel_not_found"),
        ({"channel": "U024BE7LH"}, "channel_not_found"),
        ({"thread_ts": None}, "invalid_arguments"),
        ({"thread_ts": "soon"}, "invalid_arguments"),
        ({"recipient_user_id": None}, "missing_recipient_user_id"),
        ({"recipient_team_id": ""}, "missing_recipient_team_id"),
        ({"recipient_user_id": "somebody"}, "user_not_found"),
        ({"recipient_team_id": "here"}, "team_not_found"),
        ({"markdown_text": "x" * 12_001}, "msg_blocks_too_long"),
        ({"chunks": {"type": "markdown_text"}}, "invalid_chunks"),
    ],
)
async def test_streams_that_do_not_begin(slack, fields, error, autojump_clock):
    thread = question(slack)
    start = {"channel": ROOM, "thread_ts": thread, **TO, **fields}
    assert error == (await slack.ask("chat.startStream", **start))["error"]
    assert ["why?"] == slack.texts(ROOM)


async def test_in_a_direct_message_nobody_needs_to_be_named(slack, autojump_clock):
    thread = question(slack, DIRECT)
    answer = await slack.ask("chat.startStream", channel=DIRECT, thread_ts=thread)
    assert answer["ok"]
    assert "invalid_arguments" == (await slack.ask("chat.startStream", channel=DIRECT))["error"]


async def test_where_streams_are_not_supported(slack, autojump_clock):
    where = await started(slack)
    slack.emulator.refuse_streams(ROOM)
    thread = question(slack)
    for method in ("chat.startStream", "chat.appendStream", "chat.stopStream"):
        fields = {**where, "thread_ts": thread, "markdown_text": "x", **TO}
        assert "channel_type_not_supported" == (await slack.ask(method, **fields))["error"]


async def test_a_streaming_message_is_not_edited(slack, autojump_clock):
    where = await started(slack, markdown_text="a")
    edit = {**where, "text": "b"}
    assert "streaming_state_conflict" == (await slack.ask("chat.update", **edit))["error"]
    assert (await slack.ask("chat.stopStream", **where))["ok"]
    assert (await slack.ask("chat.update", **edit))["ok"]
    assert ["why?", "b"] == slack.texts(ROOM)


async def test_what_does_not_stream_takes_no_piece(slack, autojump_clock):
    plain = await slack.ask("chat.postMessage", channel=ROOM, text="a")
    done = await started(slack, markdown_text="a")
    await slack.ask("chat.stopStream", **done)
    gone = await started(slack, markdown_text="a")
    assert (await slack.ask("chat.delete", **gone))["ok"]
    other = await started(slack, markdown_text="a")
    for method in ("chat.appendStream", "chat.stopStream"):
        for ts, error in [
            (plain["ts"], "message_not_in_streaming_state"),
            (done["ts"], "message_not_in_streaming_state"),
            (gone["ts"], "message_not_found"),
            ("1700000009.000100", "message_not_found"),
        ]:
            answer = await slack.ask(method, channel=ROOM, ts=ts, markdown_text="b")
            assert error == answer["error"]
        answer = await slack.ask(method, token="xoxb-another", **other, markdown_text="b")
        assert "message_not_owned_by_app" == answer["error"]
    assert "no_text" == (await slack.ask("chat.appendStream", **other))["error"]


async def test_a_stream_ends_by_itself_after_five_minutes(slack, autojump_clock):
    where = await started(slack, markdown_text="a")
    message = slack.emulator.rooms.get(ROOM, where["ts"])
    await trio.sleep(299)
    assert (await slack.ask("chat.appendStream", **where, markdown_text="b"))["ok"]
    await trio.sleep(1)
    assert not message.streaming
    for method in ("chat.appendStream", "chat.stopStream"):
        answer = await slack.ask(method, **where, markdown_text="c")
        assert "message_not_in_streaming_state" == answer["error"]
    assert (await slack.ask("chat.update", **where, text="whole"))["ok"]
    assert "whole" == message.text


async def test_the_user_stops_a_stream(slack, autojump_clock):
    where = await started(slack, markdown_text="a")
    slack.emulator.people.stop_stream(ROOM, where["ts"])
    append = await slack.ask("chat.appendStream", **where, markdown_text="b")
    assert "stopped_by_user" == append["error"]
    stop = await slack.ask("chat.stopStream", **where)
    assert "message_not_in_streaming_state" == stop["error"]
    assert (await slack.ask("chat.update", **where, text="a, stopped"))["ok"]
    with pytest.raises(ValueError, match="does not stream"):
        slack.emulator.people.stop_stream(ROOM, where["ts"])
    with pytest.raises(LookupError):
        slack.emulator.people.stop_stream(ROOM, "1700000009.000100")


@pytest.mark.parametrize(
    ("method", "most"),
    [("chat.startStream", 20), ("chat.appendStream", 100), ("chat.stopStream", 20)],
)
async def test_the_workspace_has_so_many_a_minute(workspace, method, most, autojump_clock):
    """Refused calls draw nothing, and the 429s are counted by method."""
    slack = await workspace()
    places = [await started(slack, f"C{n:08d}", markdown_text="a") for n in range(20)]
    await trio.sleep(61)  # The minute of these starts is over.
    thread = {"thread_ts": "1700000000.000100", **TO}

    async def called(number):
        place = places[number % len(places)]
        fields = {"channel": place["channel"], **thread} if "start" in method else place
        return await slack.ask(method, **fields, markdown_text="b")

    for number in range(most):
        assert (await called(number))["ok"]
    assert {"ok": False, "error": "ratelimited"} == await called(0)
    assert ({method: 1}, 1) == (slack.emulator.limited, slack.emulator.counters["rate_limited"])
    await trio.sleep(60)
    assert "ratelimited" != (await called(0)).get("error")


async def test_faults_hit_streams(workspace, unlimited, autojump_clock):
    faults = FaultPlan(script={1: Fault.MALFORMED})
    slack = await workspace(limits=unlimited, faults=faults)
    where = await started(slack, markdown_text="a")
    headers = {"Authorization": "Bearer xoxb-1111-2222-abc"}
    piece = {**where, "markdown_text": "b"}
    answer = await slack.http.request("POST", "/api/chat.appendStream", headers=headers, json=piece)
    with pytest.raises(ValueError, match=r"."):
        answer.json()
    assert "ab" == slack.emulator.rooms.get(ROOM, where["ts"]).text


async def test_a_form_carries_its_chunks_as_json(slack, autojump_clock):
    where = await started(slack)
    headers = {"Authorization": "Bearer xoxb-1111-2222-abc"}
    for chunks, error in [("[", "invalid_chunks"), ('[{"type":"markdown_text","text":"x"}]', None)]:
        form = {**where, "chunks": chunks}
        answer = await slack.http.request(
            "POST", "/api/chat.appendStream", headers=headers, form=form
        )
        assert error == answer.json().get("error")


STATUS = "assistant.threads.setStatus"


async def test_a_status_is_shown_for_two_minutes(slack, autojump_clock):
    thread = question(slack)
    where = {"channel_id": ROOM, "thread_ts": thread}
    assert {"ok": True} == await slack.ask(STATUS, **where, status="is thinking…")
    await trio.sleep(60)
    assert (await slack.ask(STATUS, **where, status="is searching…"))["ok"]
    await trio.sleep(119)
    assert {(ROOM, thread): "is searching…"} == slack.emulator.statuses
    await trio.sleep(1)
    assert {} == slack.emulator.statuses
    log = slack.emulator.screen.log(ROOM)
    assert [(0.0, 60.0), (60.0, 180.0)] == [(sight.since, sight.until) for sight in log]


@pytest.mark.parametrize("how", ["empty", "message", "stream"])
async def test_a_status_goes_with_an_empty_one_and_with_a_message(slack, how, autojump_clock):
    thread, other = question(slack), question(slack)
    for ts in (thread, other):
        await slack.ask(STATUS, channel_id=ROOM, thread_ts=ts, status="thinks")
    where = {"channel": ROOM, "thread_ts": thread}
    if how == "empty":
        await slack.ask(STATUS, channel_id=ROOM, thread_ts=thread, status="")
    elif how == "message":
        await slack.ask("chat.postMessage", token="xoxb-another", **where, text="not the bot's")
        assert 2 == len(slack.emulator.statuses)
        await slack.ask("chat.postMessage", **where, text="done")
    else:
        await slack.ask("chat.startStream", **where, **TO)
    assert {(ROOM, other): "thinks"} == slack.emulator.statuses


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"channel_id": None}, "channel_not_found"),
        ({"thread_ts": None}, "invalid_thread_ts"),
        ({"thread_ts": "soon"}, "invalid_thread_ts"),
        ({"status": None}, "invalid_arguments"),
        ({"loading_messages": []}, "invalid_arguments"),
        ({"loading_messages": ["x" * 51]}, "invalid_arguments"),
        ({"loading_messages": ["x"] * 10}, None),
    ],
)
async def test_statuses_that_are_refused(slack, fields, error, autojump_clock):
    status = {"channel_id": ROOM, "thread_ts": "1700000000.000100", "status": "x", **fields}
    assert error == (await slack.ask(STATUS, **status)).get("error")


async def test_conversations_are_opened_with_people(slack, autojump_clock):
    async def opened(users, **fields):
        return await slack.ask("conversations.open", users=users, **fields)

    assert {"ok": True, "channel": {"id": "D024BE7LH"}} == await opened("U024BE7LH")
    again = await opened("U024BE7LH", return_im=True)
    assert (True, "D024BE7LH", True) == (
        again["already_open"],
        again["channel"]["id"],
        again["channel"]["is_im"],
    )
    group = (await opened("U024BE7LH,U0OTHER"))["channel"]["id"]
    assert group == (await opened("U0OTHER, U024BE7LH"))["channel"]["id"] != "D024BE7LH"
    assert (await slack.ask("chat.postMessage", channel=group, text="hi"))["ok"]
    many = ",".join(f"U0USER{number}" for number in range(9))
    for users, error in [
        ("", "users_list_not_supplied"),
        ("somebody", "user_not_found"),
        (many, "too_many_users"),
    ]:
        assert error == (await opened(users))["error"]


async def test_the_page_shows_a_stream_while_it_grows(slack, autojump_clock):
    where = await started(slack, markdown_text="half")
    await slack.ask(STATUS, channel_id=ROOM, thread_ts=where["ts"], status="is searching…")
    page = (await slack.http.request("GET", "/")).body.decode()
    assert "streaming" in page
    assert "is searching…" in page
    await slack.ask("chat.appendStream", **where, markdown_text=" and half")
    await slack.ask("chat.stopStream", **where)
    page = (await slack.http.request("GET", "/")).body.decode()
    assert "half and half" in page
    assert "streamed" in page


def test_what_a_stream_may_take_is_a_setting():
    assert (300.0, 12_000) == (SlackLimits().stream_seconds, SlackLimits().markdown_text)
