"""Unmodified python-telegram-bot, and our adapter, against the emulated Telegram on loopback."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the loop of a foreign client, in a thread of its own
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

import attrs
import pytest
import telegram
import trio
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_core import Edit, Instance, MessageRef, Reason, Secret, Send
from gateway_core.authors import Attempt, TransportError
from gateway_plugin_telegram import TelegramSettings, hooks

TOKEN = "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp"
FREE = TelegramLimits(chat_seconds=0.0, group_count=1_000_000, bot_count=1_000_000)
ROOM = "-1001234567890"
WHERE = {"instance_id": "support", "external_room_id": ROOM}


@attrs.frozen
class Server:
    """An emulator on a socket."""

    emulator: TelegramEmulator
    base_url: str

    async def with_bot(self, use: Callable[[telegram.Bot], Awaitable[Any]], token: str = TOKEN):
        """Run the client's coroutine in its own thread and loop, a minute at most."""

        async def main() -> Any:
            async with telegram.Bot(token, base_url=f"{self.base_url}/bot") as bot:
                return await use(bot)

        def run() -> Any:
            return asyncio.run(asyncio.wait_for(main(), 60))

        return await trio.to_thread.run_sync(run)


@pytest.fixture
async def serving(nursery):
    """Starts an emulator that was made with the given fields."""

    async def start(**fields: Any) -> Server:
        emulator = TelegramEmulator(**{"tokens": [TOKEN], "limits": FREE, **fields})
        return Server(emulator, await nursery.start(serve, emulator.app))

    return start


@pytest.fixture
async def server(serving):
    return await serving()


async def test_python_telegram_bot_sends_edits_and_deletes(server):
    async def use(bot: telegram.Bot) -> None:
        assert 123456789 == bot.id
        sent = await bot.send_message(ROOM, "first  line\nsecond 👍🏽 🇪🇺")
        assert "first  line\nsecond 👍🏽 🇪🇺" == sent.text
        edited = await bot.edit_message_text("edited", ROOM, sent.message_id)
        assert ("edited", sent.message_id) == (edited.text, edited.message_id)
        gone = await bot.send_message(ROOM, "soon gone")
        assert await bot.delete_message(ROOM, gone.message_id)

    await server.with_bot(use)
    [message] = server.emulator.rooms.conversation(ROOM)
    assert ("edited", ["first  line\nsecond 👍🏽 🇪🇺"]) == (message.text, message.revisions)
    assert (2, 1, 1) == tuple(
        server.emulator.counters[name] for name in ("stored", "edited", "deleted")
    )


async def test_python_telegram_bot_reads_what_surrounds_a_message(server):
    topic = server.emulator.create_topic(ROOM)
    keyboard = telegram.InlineKeyboardMarkup.from_button(
        telegram.InlineKeyboardButton("Yes", callback_data="y")
    )

    async def use(bot: telegram.Bot) -> None:
        first = await bot.send_message(
            ROOM,
            "<b>bold 😀</b> plain",
            parse_mode="HTML",
            message_thread_id=int(topic),
            reply_markup=keyboard,
            disable_notification=True,
            link_preview_options=telegram.LinkPreviewOptions(is_disabled=True),
        )
        assert {"bold 😀"} == set(first.parse_entities(["bold"]).values())
        assert (keyboard, True) == (first.reply_markup, first.is_topic_message)
        second = await first.reply_text("answer", entities=[telegram.MessageEntity("code", 0, 6)])
        assert second.reply_to_message is not None
        assert first.message_id == second.reply_to_message.message_id
        assert (await first.edit_reply_markup(None)).reply_markup is None
        assert await bot.set_message_reaction(ROOM, first.message_id, "👍")
        assert await bot.pin_chat_message(ROOM, first.message_id)
        assert await bot.unpin_all_chat_messages(ROOM)
        assert await bot.send_chat_action(ROOM, "typing", message_thread_id=int(topic))
        assert await bot.answer_callback_query("1", "done")
        assert "supergroup" == (await bot.get_chat(ROOM)).type
        assert await bot.delete_messages(ROOM, [first.message_id, second.message_id])

    await server.with_bot(use)
    assert [] == server.emulator.rooms.conversation(ROOM)


async def test_python_telegram_bot_opens_and_closes_a_poll(server):
    async def use(bot: telegram.Bot) -> None:
        sent = await bot.send_poll(ROOM, "Tea?", ["Yes", "No"], is_anonymous=False)
        assert ("Tea?", False, False) == (
            sent.poll.question,
            sent.poll.is_anonymous,
            sent.poll.is_closed,
        )
        assert 2 == len({option.persistent_id for option in sent.poll.options})
        assert (await bot.stop_poll(ROOM, sent.message_id)).is_closed

    await server.with_bot(use)


async def test_python_telegram_bot_understands_the_refusals(serving, monkeypatch):
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # Else it warns, on its own RetryAfter, of its future.
    server = await serving(limits=TelegramLimits(bot_count=1000))
    server.emulator.remove_room("8")
    moved = server.emulator.migrate_room("-9")

    async def use(bot: telegram.Bot) -> None:
        message = await bot.send_message(7, "x")
        with pytest.raises(RetryAfter):
            await bot.send_message(7, "y")
        with pytest.raises(Forbidden, match="blocked by the user"):
            await bot.send_message(8, "x")
        with pytest.raises(ChatMigrated) as caught:
            await bot.send_message(-9, "x")
        assert int(moved) == caught.value.new_chat_id
        with pytest.raises(BadRequest, match="Message is not modified"):
            await message.edit_text("x")
        with pytest.raises(BadRequest, match="Message is too long"):
            await bot.send_message(10, "x" * 4097)

    await server.with_bot(use)
    with pytest.raises(InvalidToken):
        await server.with_bot(use, token="99:other")


@pytest.fixture(scope="module")
def aiogram():
    """Imported by what uses it: it takes seconds, and each worker imports every file of tests."""
    return import_module("aiogram")


async def with_aiogram(aiogram, server, use):
    """Run the coroutine on an aiogram bot in its own thread and loop, a minute at most."""

    async def main() -> Any:
        api = aiogram.client.telegram.TelegramAPIServer.from_base(server.base_url)
        session = aiogram.client.session.aiohttp.AiohttpSession(api=api)
        async with aiogram.Bot(TOKEN, session=session) as bot:
            return await use(bot)

    return await trio.to_thread.run_sync(lambda: asyncio.run(asyncio.wait_for(main(), 60)))


async def test_aiogram_sends_edits_and_deletes(aiogram, server):
    async def use(bot) -> None:
        assert 123456789 == (await bot.me()).id
        keyboard = aiogram.types.InlineKeyboardMarkup(
            inline_keyboard=[[aiogram.types.InlineKeyboardButton(text="Yes", callback_data="y")]]
        )
        text = "<b>one</b> 👍🏽"
        sent = await bot.send_message(ROOM, text, parse_mode="HTML", reply_markup=keyboard)
        assert ("one 👍🏽", text) == (sent.text, sent.html_text)
        assert keyboard.model_dump() == sent.reply_markup.model_dump()
        edited = await bot.edit_message_text("edited", chat_id=ROOM, message_id=sent.message_id)
        assert ("edited", sent.message_id) == (edited.text, edited.message_id)
        gone = await sent.reply("soon gone")
        assert gone.reply_to_message.message_id == sent.message_id
        assert await gone.delete()

    await with_aiogram(aiogram, server, use)
    [message] = server.emulator.rooms.conversation(ROOM)
    assert ("edited", ["one 👍🏽"]) == (message.text, message.revisions)


async def test_aiogram_opens_and_closes_a_poll_and_reads_the_chat(aiogram, server):
    async def use(bot) -> None:
        options = [aiogram.types.InputPollOption(text=text) for text in ("Yes", "No")]
        sent = await bot.send_poll(ROOM, "Tea?", options)
        assert ("Tea?", True, False) == (
            sent.poll.question,
            sent.poll.allows_revoting,
            sent.poll.is_closed,
        )
        assert (await bot.stop_poll(ROOM, sent.message_id)).is_closed
        assert "supergroup" == (await bot.get_chat(ROOM)).type

    await with_aiogram(aiogram, server, use)


async def test_aiogram_waits_as_long_as_a_429_says_and_understands_the_refusals(aiogram, serving):
    says = aiogram.exceptions
    server = await serving(limits=TelegramLimits(bot_count=1000))
    server.emulator.remove_room("8")
    moved = server.emulator.migrate_room("-9")

    async def use(bot) -> None:
        await bot.send_message(7, "x")
        with pytest.raises(says.TelegramRetryAfter) as refused:
            await bot.send_message(7, "y")
        await asyncio.sleep(refused.value.retry_after)
        message = await bot.send_message(7, "y")
        with pytest.raises(says.TelegramForbiddenError, match="blocked by the user"):
            await bot.send_message(8, "x")
        with pytest.raises(says.TelegramMigrateToChat) as migrated:
            await bot.send_message(-9, "x")
        assert int(moved) == migrated.value.migrate_to_chat_id
        with pytest.raises(says.TelegramBadRequest, match="message is not modified"):
            await message.edit_text("y")
        server.emulator.revoke(TOKEN)
        with pytest.raises(says.TelegramUnauthorizedError):
            await bot.send_message(10, "x")

    await with_aiogram(aiogram, server, use)
    assert 1 == server.emulator.counters["rate_limited"]


SCRIPTS = {
    "latin": "Zażółć gęślą jaźń — Übergrößenträger, cœur, naïveté.",
    "greek": "Η γρήγορη αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה.",
    "arabic": "نصٌّ حكيمٌ له سِرٌّ قاطِعٌ وذو شأنٍ عظيمٍ مكتوبٌ على ثوبٍ أخضر.",
    "devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश।",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "han": "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。",
    "kana": "いろはにほへと ちりぬるを わかよたれそ つねならむ。",
    "hangul": "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "tamil": "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம்.",
    "georgian": "გთხოვთ ახლავე გაიაროთ რეგისტრაცია.",
    "emoji": "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇪🇺🇯🇵 1️⃣ ❤️‍🔥 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ✈️",
    "markup": "<b>&amp;</b> *x* _y_ `z` [a](b) @everyone #tag \\ \" ' % {secret}",
}


@attrs.frozen
class Bot:
    """Our adapter in one session."""

    instance: Instance
    session: Any

    async def send(self, text: str, **fields: Any) -> list[str | None]:
        """Send it all, as the engine would, part by part; the messages' ids."""
        envelope = Send(**WHERE, text=text, format="plain")
        assert [] == hooks.validate(self.instance, envelope)
        parts = hooks.chunk(self.instance, envelope, "as_asked")
        return [(await hooks.send(self.session, attempt("send", part=part))).message_id
                for part in parts]  # fmt: skip


def attempt(operation: str, **fields: Any) -> Attempt:
    where = {"instance_id": "support", "envelope_id": "e1", "room": ROOM}
    return Attempt(operation=operation, **{**where, **fields})


@pytest.fixture
async def bot(server):
    settings = TelegramSettings(token=Secret(TOKEN), base_url=server.base_url)
    instance = Instance("support", "telegram", settings)
    async with hooks.open_session(instance) as session:
        yield Bot(instance, session)


@pytest.mark.parametrize("name", SCRIPTS)
async def test_our_adapter_keeps_every_byte(server, bot, name):
    text = SCRIPTS[name]
    [number] = await bot.send(text)
    message = server.emulator.rooms.get(ROOM, number)
    assert text.encode() == message.text.encode()


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_text_of_ten_thousand_characters_arrives_whole(server, bot, name):
    """Only white space at the cuts is left out; the cut parts stand in order."""
    text = (f"{SCRIPTS[name]}\n" * 400)[:9_999] + "."
    numbers = await bot.send(text)
    stored = [message.text for message in server.emulator.rooms.conversation(ROOM)]
    assert [str(index + 1) for index in range(len(stored))] == numbers
    assert len(stored) >= 3
    rest = text
    for part in stored:
        assert rest.startswith(part)
        rest = rest.removeprefix(part).lstrip()
    assert "" == rest


async def test_a_text_without_a_space_arrives_byte_for_byte(server, bot):
    text = SCRIPTS["han"] * 500
    assert 10_000 == len(text[:10_000])
    await bot.send(text[:10_000])
    stored = [message.text for message in server.emulator.rooms.conversation(ROOM)]
    assert text[:10_000].encode() == "".join(stored).encode()


async def test_our_adapter_edits_and_deletes(server, bot):
    [number] = await bot.send("old")
    ref = MessageRef(**WHERE, envelope_id="e1")
    [part] = hooks.chunk(bot.instance, Edit(**WHERE, target=ref, text="new"), "as_asked")
    await hooks.edit(bot.session, attempt("edit", part=part, message_id=number))
    again = attempt("edit", part=part, message_id=number)
    with pytest.raises(Exception, match="not modified") as caught:
        await hooks.edit(bot.session, again)
    assert Reason.NOT_MODIFIED == hooks.classify_error(again, caught.value).reason
    assert ["new"] == [message.text for message in server.emulator.rooms.conversation(ROOM)]
    await hooks.delete(bot.session, attempt("delete", message_id=number))
    assert [] == server.emulator.rooms.conversation(ROOM)
    assert "emulated_123456789_bot" == (await hooks.probe(bot.session)).name


async def test_a_cut_connection_leaves_the_outcome_unknown(serving):
    server = await serving(faults=FaultPlan(script={0: Fault.RESET_AFTER}))
    settings = TelegramSettings(token=Secret(TOKEN), base_url=server.base_url)
    instance = Instance("support", "telegram", settings)
    async with hooks.open_session(instance) as session:
        with pytest.raises(TransportError) as caught:
            await Bot(instance, session).send("x")
    assert "unknown" == caught.value.dispatched
    assert TOKEN not in repr(caught.value)
    assert ["x"] == [message.text for message in server.emulator.rooms.conversation(ROOM)]


MARKDOWN = """# Release 👍🏽

**Bold 😀** and *italic*, `code`, [a link](https://example.org/?a=1&b=2).

```python
print("😀")
```

> quoted

- one
- two
"""


async def test_markdown_arrives_as_text_and_entities(server, bot):
    """The server accepts every entity of every part and stores the text unchanged."""
    envelope = Send(**WHERE, text=MARKDOWN * 60, format="markdown")
    parts = hooks.chunk(bot.instance, envelope, "as_asked")
    assert len(parts) > 1
    kinds = set()
    for part in parts:
        answer = await hooks.send(bot.session, attempt("send", part=part))
        stored = server.emulator.rooms.get(ROOM, answer.message_id)
        assert part.payload["text"].strip(" \n") == stored.text
        assert "parse_mode" not in stored.fields
        kinds |= {one["type"] for one in stored.fields["entities"]}
    assert {"bold", "italic", "code", "text_link", "pre", "blockquote"} <= kinds
