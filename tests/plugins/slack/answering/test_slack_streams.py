"""Answers that Slack streams, on the emulated workspace."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.slack.messages.streams import stop_by_user
from gateway_core import Instance, Secret
from gateway_core.testing import MemoryOutbox
from gateway_plugin_slack.settings import Settings

CHANNEL, DIRECT, ASKED = "C024BE91L", "D024BE91L", "1700000000.000200"


def asked(room=CHANNEL, **fields):
    """A question, as the Events API tells of it."""
    event = {"type": "message", "channel": room, "user": "U012AB3CD", "ts": ASKED, **fields}
    return {"type": "event_callback", "event_id": "Ev1", "team_id": "T012AB3CD", "event": event}


class Bot:
    def __init__(self, open_to, **settings):
        self.emulator = SlackEmulator()
        self._open_to = open_to
        self._settings = Settings(token=Secret("xoxb-1"), **settings)

    @asynccontextmanager
    async def opened(self, outbox=None):
        instance = Instance("bot", "slack", self._settings)
        async with self._open_to("https://slack.com", self.emulator.app, instance, outbox) as bot:
            yield bot

    def stands(self, room=CHANNEL):
        return self.emulator.rooms.conversation(room)

    def counts(self):
        counters = self.emulator.counters
        return tuple(counters[name] for name in ("stored", "appended", "streamed", "edited"))


@pytest.fixture
def bot(open_to):
    return lambda **settings: Bot(open_to, **settings)


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


async def test_an_answer_is_streamed_in_the_thread_of_its_question(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway:
        async with gateway.stream(asked()) as out:
            await say(out, "The *answer* is", " **for", "ty-two**", ".")
            [message] = bot.stands()
            assert message.streaming
            assert message.fields["markdown_text"] == "The *answer* is **forty-two**."
            blocks = [{"type": "divider"}]
            receipt = await out.finish(extra={"blocks": blocks})
        assert receipt.delivered
        assert receipt.ref is not None
        [message] = bot.stands()
        assert not message.streaming
        assert message.fields["thread_ts"] == ASKED
        assert blocks[0] in message.fields["blocks"]
        assert bot.counts() == (1, 2, 1, 0)
        await gateway.edit(receipt.ref, "edited")
        assert [message.text for message in bot.stands()] == ["edited"]
    assert bot.emulator.counters["rate_limited"] == 0


@pytest.mark.parametrize("threads", [True, False])
async def test_in_a_direct_message_it_stands_under_the_question(bot, autojump_clock, threads):
    bot = bot(stream_threads=threads)
    event = asked(DIRECT, channel_type="im")
    async with bot.opened() as gateway, gateway.stream(event) as out:
        await say(out, "The answer", " is 42")
    [message] = bot.stands(DIRECT)
    assert message.text == "The answer is 42"
    assert message.fields.get("thread_ts") == (ASKED if threads else None)
    assert bot.counts()[2] == threads


@pytest.mark.parametrize(
    ("event", "settings"),
    [
        (asked(), {"streaming": "edits"}),
        (asked(user=None), {}),
        (("bot", CHANNEL), {}),
        (("bot", "#general"), {}),
    ],
)
async def test_what_slack_cannot_stream_goes_by_edits(bot, autojump_clock, event, settings):
    bot = bot(**settings)
    async with bot.opened() as gateway, gateway.stream(event) as out:
        await say(out, "The answer", " is 42")
    room = "C0NAMED0001" if event == ("bot", "#general") else CHANNEL
    assert [message.text for message in bot.stands(room)] == ["The answer is 42"]
    assert bot.counts() == (1, 0, 0, 1)


@pytest.mark.parametrize(
    "fields",
    [{"extra": {"blocks": [{"type": "divider"}]}}, {"mentions": True}, {"format": "plain"}],
)
async def test_what_a_stream_does_not_know_goes_by_edits(bot, autojump_clock, fields):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(asked(), **fields) as out:
        await say(out, "The answer", " is 42")
    assert bot.counts() == (1, 0, 0, 1)


async def test_a_channel_that_takes_no_streams_gets_edits_at_once(bot, autojump_clock):
    bot = bot()
    bot.emulator.refuse_streams(CHANNEL)
    async with bot.opened() as gateway, gateway.stream(asked()) as out:
        await say(out, "The answer", pause=0.6)
        assert [message.text for message in bot.stands()] == ["The answer"]
        await say(out, " is 42")
    assert [message.text for message in bot.stands()] == ["The answer is 42"]
    assert bot.counts() == (1, 0, 0, 1)


async def test_a_stream_that_slack_would_end_goes_on_by_edits(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(asked()) as out:
        await say(out, "The answer", pause=235)
        await say(out, *[" is long"] * 10, pause=10)
        assert not bot.stands()[0].streaming
    assert [message.text for message in bot.stands()] == ["The answer" + " is long" * 10]
    assert bot.counts()[2] == 1


async def test_a_stream_that_slack_has_ended_goes_on_by_edits(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(asked()) as out:
        await say(out, "The answer")
        bot.stands()[0].streaming_until = trio.current_time()
        await say(out, " is", " 42")
        assert not out.stopped
    assert [message.text for message in bot.stands()] == ["The answer is 42"]


async def test_its_reader_stops_it(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(asked()) as out:
        await say(out, "The answer")
        stop_by_user(bot.stands()[0])
        await say(out, " is", " long")
        assert out.stopped
        assert [message.text for message in bot.stands()] == ["The answer"]
    assert [message.text for message in bot.stands()] == ["The answer is long"]


async def test_nobody_is_pinged(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(asked()) as out:
        await say(out, "Hello <!channel>", " and <@U012AB3CD>, hello")
    [message] = bot.stands()
    assert "<" not in message.fields["markdown_text"]


async def test_the_next_run_finishes_it(bot, autojump_clock):
    bot, outbox = bot(), MemoryOutbox()
    with trio.move_on_after(7):
        async with bot.opened(outbox) as gateway:
            out = await gateway.stream(asked()).__aenter__()
            await say(out, "The answer", " is", " 42", " or so")
            await trio.sleep_forever()
    [message] = bot.stands()
    assert message.streaming
    async with bot.opened(outbox) as gateway:
        await trio.sleep(10)
        status = await gateway.status(out.ticket)
        assert status.receipt.delivered
    [message] = bot.stands()
    assert not message.streaming
    assert message.text == "The answer is 42 or so […]"


async def test_a_workspace_whose_streams_are_spent_gets_edits(bot, autojump_clock):
    """Twenty start in a minute; nothing is refused, and no final waits."""
    bot = bot()
    late = []

    async def answer(gateway, number):
        async with gateway.stream(asked(f"C{number:08}", ts=f"1700000000.{number:06}")) as out:
            await say(out, *["word "] * 30, pause=1.0)
            ended = trio.current_time()
            await out.finish()
            late.append(trio.current_time() - ended)

    async with bot.opened() as gateway, trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(answer, gateway, number)
    assert max(late) < 2
    assert bot.counts()[2] == 20
    assert bot.emulator.counters["rate_limited"] == 0
