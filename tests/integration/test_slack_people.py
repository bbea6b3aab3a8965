"""Over real sockets: an unmodified slack_bolt app is sent what people do, and answers in time."""

import sys
import time
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path

import trio
from needed import need

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.slack.incoming.requests import request_of

need("slack_bolt")

PROGRAM = Path(__file__).parent / "clients" / "with_slack_bolt.py"
ROOM = "C024BE91L"
USER = "U024BE7LH"
SECRET = "s3cret"


@asynccontextmanager
async def app(emulator):
    """Sends payloads to the program, as Slack does; for at most half a minute."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            emulator.hooks_url = await nursery.start(serve, emulator.app)
            command = [sys.executable, str(PROGRAM), emulator.hooks_url]
            process = await nursery.start(started, command)
            port = int(await process.stdout.receive_some())

            async def deliver(payload, secret=SECRET):
                body, headers = request_of(payload, secret=secret, timestamp=int(time.time()))
                status, answer = await trio.to_thread.run_sync(posted, port, body, headers)
                if status == 200 and "trigger_id" in payload:
                    emulator.people.acknowledge(payload, answer)
                return status

            yield deliver
            process.kill()
            nursery.cancel_scope.cancel()


async def started(command, *, task_status):
    await trio.run_process(
        command, stdout=-1, capture_stdout=False, check=False, task_status=task_status
    )


def posted(port, body, headers):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/slack/events", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


async def until(condition):
    """Wait for it; the tests of this file end after half a minute."""
    while not condition():  # noqa: ASYNC110 - what a program in another process does has no event
        await trio.sleep(0.01)


def whispered(emulator):
    return [(s.text, s.user) for s in emulator.screen.now() if s.what == "ephemeral"]


async def test_bolt_answers_commands_presses_forms_and_messages():
    emulator = SlackEmulator()
    people = emulator.people
    async with app(emulator) as deliver:
        assert 200 == await deliver(people.command(ROOM, "/quick", user=USER))
        assert [("At once.", USER)] == whispered(emulator)

        emulator.leave_room(ROOM)  # A response_url works where the bot is no member.
        assert 200 == await deliver(people.command(ROOM, "/ask", "Why?", user=USER))
        await until(lambda: emulator.rooms.conversation(ROOM))
        assert ("Why? Only for you.", USER) == whispered(emulator)[-1]
        assert "Why? For all." == emulator.rooms.conversation(ROOM)[-1].text
        emulator.restore_room(ROOM)

        public = emulator.rooms.conversation(ROOM)[-1]
        assert 200 == await deliver(people.press(ROOM, public.id, "yes", user=USER))
        await until(lambda: public.text == "Done.")

        assert 200 == await deliver(people.command(ROOM, "/order", user=USER))
        await until(lambda: emulator.views)
        values = {"name": {"input": {"type": "plain_text_input", "value": "Ada"}}}
        assert 200 == await deliver(people.submit(emulator.views[0][1], values, user=USER))
        await until(lambda: emulator.rooms.conversation("D024BE7LH"))
        assert "Thanks, Ada." == emulator.rooms.conversation("D024BE7LH")[0].text

        event = people.say(ROOM, "hello", user=USER)
        assert 200 == await deliver(event)
        await until(lambda: emulator.counters["streamed"])
        answer = emulator.rooms.conversation(ROOM)[-1]
        assert ("You said hello", event["event"]["ts"]) == (answer.text, answer.thread)
        assert ["You ", "You said ", "You said hello"] == [text for _, text in answer.states]
        assert {} == emulator.statuses
    assert ({}, False) == (
        emulator.limited,
        any(sight.what == "failed" for sight in emulator.screen.log()),
    )


async def test_what_bolt_does_not_answer_is_seen_to_fail():
    """A request that is not Slack's own, and a command that nobody handles."""
    emulator = SlackEmulator()
    async with app(emulator) as deliver:
        forged = emulator.people.command(ROOM, "/ask", user=USER)
        assert 401 == await deliver(forged, secret="another")
        assert 404 == await deliver(emulator.people.command(ROOM, "/nothing", user=USER))
        await trio.sleep(3.1)
        assert 2 == sum(sight.what == "failed" for sight in emulator.screen.now(ROOM))
