"""Over real sockets: an unmodified discord.py, and our own adapter, against the emulator."""

import asyncio  # noqa: TID251 - the client under test runs on it, in a thread of its own
import io
import logging
import warnings
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pictures
import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_core import Edit, Instance, MessageRef, Secret, Send
from gateway_core.authors import Attempt
from gateway_core.text import neutral
from gateway_plugin_discord import hooks
from gateway_plugin_discord.settings import DiscordSettings

with warnings.catch_warnings():
    # discord.py's voice part imports a deprecated module of the standard library.
    warnings.simplefilter("ignore", DeprecationWarning)
    discord = pytest.importorskip("discord", reason="discord.py is not installed")

ROOM = "1100000000000000001"
WIDE = DiscordLimits(count=1000, global_count=1000)
BUNDLED = {path.name: path.read_text() for path in sorted(Path("tests/texts").glob("*.md"))}


@asynccontextmanager
async def served(emulator):
    """The emulator on a free port of loopback, for at most a minute."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(serve, emulator.app)
            nursery.cancel_scope.cancel()


async def with_discord_py(base_url, script):
    """Run `script(client)` on discord.py, logged in, told only where Discord is."""

    async def main():
        async with discord.Client(intents=discord.Intents.none()) as client:
            await client.login("a.b.c")
            return await script(client)

    base, discord.http.Route.BASE = discord.http.Route.BASE, f"{base_url}/api/v10"
    try:
        return await trio.to_thread.run_sync(asyncio.run, main())
    finally:
        discord.http.Route.BASE = base


async def test_discord_py_sends_edits_and_deletes():
    async def script(client):
        channel = await client.fetch_channel(int(ROOM))
        first = await channel.send("**one** 🙂")
        second = await channel.send("two", reference=first, silent=True)
        await first.edit(content="one, edited")
        await second.add_reaction("👍")
        await second.pin()
        third = await channel.send("three", file=discord.File(Path(__file__)))
        await third.delete()
        return [m.content async for m in channel.history()], (await client.application_info()).name

    emulator = DiscordEmulator()
    async with served(emulator) as base_url:
        assert (["two", "one, edited"], "bot-1") == await with_discord_py(base_url, script)
    first, second = emulator.rooms.conversation(ROOM)
    assert ["one 🙂"] == first.revisions
    assert (first.id, 4096) == (second.reply_to, second.fields["flags"])
    assert [second.id] == emulator.pins(ROOM)
    assert ["👍"] == [emoji for _, emoji in emulator.reactions(ROOM, second.id)]
    assert (3, 1, 1) == tuple(emulator.counters[key] for key in ("stored", "edited", "deleted"))


async def test_discord_py_sends_files_and_replaces_them():
    cat, dog = pictures.png(30, 20), pictures.gif(4, 5)

    def file(data, name, **more):
        return discord.File(io.BytesIO(data), name, **more)

    async def script(client):
        channel = await client.fetch_channel(int(ROOM))
        files = [file(cat, "cat.png", description="a cat"), file(dog, "dog.gif", spoiler=True)]
        sent = await channel.send("**look**", files=files)
        first, second = sent.attachments
        assert ("cat.png", "a cat", "image/png", len(cat), 30, 20) == (
            first.filename,
            first.description,
            first.content_type,
            first.size,
            first.width,
            first.height,
        )
        assert (False, True) == (first.is_spoiler(), second.is_spoiler())
        assert (cat, dog) == (await first.read(), await second.read())
        edited = await sent.edit(attachments=[second, file(cat, "new.png")])
        assert ["SPOILER_dog.gif", "new.png"] == [one.filename for one in edited.attachments]
        edited = await edited.edit(content="only words", attachments=[])
        assert [] == edited.attachments
        with pytest.raises(discord.HTTPException) as large:
            await channel.send(file=file(b"x" * 100_001, "large"))
        with pytest.raises(discord.HTTPException) as long:
            await channel.send(file=file(cat, "c.png", description="x" * 1025))
        return [(one.value.status, one.value.code) for one in (large, long)]

    emulator = DiscordEmulator(limits=attrs.evolve(WIDE, file_bytes=100_000))
    async with served(emulator) as base_url:
        emulator.cdn_url = base_url
        assert [(413, 40005), (400, 50035)] == await with_discord_py(base_url, script)
    [message] = emulator.rooms.conversation(ROOM)
    assert ("only words", ()) == (message.text, message.files)


async def test_a_webhook_of_discord_py_takes_files():
    cat = pictures.png()

    async def script(_):
        webhook = discord.SyncWebhook.partial(int(hook.id), hook.token)
        sent = webhook.send("one", file=discord.File(io.BytesIO(cat), "cat.png"), wait=True)
        new = discord.File(io.BytesIO(cat), "new.png")
        return sent.edit(attachments=[new]).attachments[0].filename

    emulator = DiscordEmulator(limits=WIDE)
    hook = emulator.webhook(ROOM)
    async with served(emulator) as base_url:
        assert "new.png" == await with_discord_py(base_url, script)
    [message] = emulator.rooms.conversation(ROOM)
    assert ["new.png"] == [file.name for file in message.files]


async def test_discord_py_recognises_errors():
    async def script(client):
        channel = await client.fetch_channel(int(ROOM))
        codes = []
        for text in ("", "a" * 2001):
            with pytest.raises(discord.HTTPException) as caught:
                await channel.send(text)
            codes.append((caught.value.status, caught.value.code))
        with pytest.raises(discord.NotFound) as missing:
            await channel.fetch_message(5)
        with pytest.raises(discord.Forbidden) as closed:
            await client.fetch_channel(6)
        return codes, missing.value.code, closed.value.code

    emulator = DiscordEmulator()
    emulator.close_room("6")
    async with served(emulator) as base_url:
        expected = ([(400, 50006), (400, 50035)], 10008, 50001)
        assert expected == await with_discord_py(base_url, script)
        emulator.revoke("a.b.c")
        with pytest.raises(discord.LoginFailure):
            await with_discord_py(base_url, script)


async def test_discord_py_learns_our_buckets_and_waits_out_our_429s(caplog):
    """It paces itself by the headers of six messages, and retries the one that was refused."""

    async def script(client):
        channel = await client.fetch_channel(int(ROOM))
        for number in range(6):
            await channel.send(str(number))

    faults = FaultPlan(script={2: Fault.RATE_LIMITED})
    emulator = DiscordEmulator(limits=DiscordLimits(count=2, per=0.4), faults=faults)
    caplog.set_level(logging.DEBUG, "discord.http")
    async with served(emulator) as base_url:
        await with_discord_py(base_url, script)
    assert list("012345") == [message.text for message in emulator.rooms.conversation(ROOM)]
    assert (1, 0) == (emulator.counters["faults"], emulator.counters["rate_limited"])
    assert "responded with 429. Retrying in 1.00 seconds" in caplog.text
    assert "has found its initial rate limit bucket hash" in caplog.text
    assert "has been exhausted. Pre-emptively rate limiting" in caplog.text


SCRIPTS = {
    "Arabic": "مرحبا بالعالم، كيف حالك؟",
    "Hebrew": "שלום עולם, מה שלומך?",
    "Devanagari": "नमस्ते दुनिया, क्षत्रिय",
    "Thai": "สวัสดีชาวโลก กำลังทำอะไรอยู่",
    "Han": "你好，世界。今天天气怎么样？",
    "Japanese": "こんにちは、世界。元気ですか？",
    "Hangul": "안녕하세요, 세계 여러분",
    "Cyrillic": "Привет, мир! Как дела?",
    "Greek": "Γειά σου Κόσμε, τι κάνεις;",
    "Georgian": "გამარჯობა მსოფლიო",
    "Tamil": "வணக்கம் உலகம்",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 1️⃣ ❤️‍🔥",
    "markup": "**b** _i_ `c` ~~s~~ ||x|| > q\n# h\n- l\n1. n\n[a](https://x.org/_b_) <@1> @here \\",
    "addresses": "see https://example.org/a_(b)_c*?x=~~1~~, <https://x.org> and :tada: a_b_c",
    "control": "tab\there, nbsp\u00a0there, bidi \u202eabc\u202c, joiner a\u200db",
}


@pytest.fixture
def make_instance():
    def make(base_url):
        settings = DiscordSettings(token=Secret("a.b.c"), base_url=f"{base_url}/api/v10")
        return Instance("support", "discord", settings)

    return make


def attempt(operation, **fields):
    return Attempt(
        operation=operation, envelope_id="e1", instance_id="support", room=ROOM, **fields
    )


async def deliver(instance, session, text):
    """Every part of a text through the adapter; the parts with their messages' ids."""
    envelope = Send(instance_id="support", external_room_id=ROOM, text=text, format="plain")
    assert not hooks.validate(instance=instance, envelope=envelope)
    sent = []
    for number, part in enumerate(
        hooks.chunk(instance=instance, envelope=envelope, mode="as_asked")
    ):
        step = attempt("send", part=part, key=f"{text}/{number}")
        sent.append((part, (await hooks.send(session=session, attempt=step)).message_id))
    return sent


def arrived(emulator, text, sent):
    """What arrived of each part, byte for byte; between parts nothing is lost but white space.

    What would show a text otherwise than it is written does not go out.
    """
    end = 0
    for part, message_id in sent:
        start, after = part.span
        assert text[end:start].strip() == ""
        assert (
            neutral(text[start:after]).encode()
            == emulator.rooms.get(ROOM, message_id).text.encode()
        )
        end = after
    assert text[end:].strip() == ""


async def test_texts_come_back_byte_for_byte(make_instance):
    emulator = DiscordEmulator(limits=WIDE)
    long = {f"{name}, long": (f"{text}\n" * 600)[:10_000] for name, text in SCRIPTS.items()}
    async with served(emulator) as base_url:
        instance = make_instance(base_url)
        async with hooks.open_session(instance=instance) as session:
            for text in {**SCRIPTS, **long, **BUNDLED}.values():
                arrived(emulator, text, await deliver(instance, session, text))
    assert 0 == emulator.counters["rate_limited"]


async def test_an_edit_a_reply_a_delete_and_a_call_over_sockets(make_instance):
    emulator = DiscordEmulator(limits=WIDE)
    async with served(emulator) as base_url:
        instance = make_instance(base_url)
        async with hooks.open_session(instance=instance) as session:
            assert "bot-1" == (await hooks.probe(session=session)).name
            ((part, first),) = await deliver(instance, session, "one")
            reply = attempt("send", part=part, reply=first, key="reply")
            second = (await hooks.send(session=session, attempt=reply)).message_id
            assert second == (await hooks.send(session=session, attempt=reply)).message_id
            ref = MessageRef(instance_id="support", external_room_id=ROOM, envelope_id="e1")
            edit = Edit(
                instance_id="support",
                external_room_id=ROOM,
                target=ref,
                text="*1*",
                format="plain",
            )
            (part,) = hooks.chunk(instance=instance, envelope=edit, mode="as_asked")
            step = attempt("edit", part=part, message_id=first)
            assert first == (await hooks.edit(session=session, attempt=step)).message_id
            react = "PUT /channels/{channel}/messages/{message}/reactions/{emoji}/@me"
            arguments = {"message": first, "emoji": "🏳️‍🌈"}
            step = attempt(f"call:{react}", method=react, arguments=arguments)
            await hooks.call(session=session, attempt=step)
            step = attempt("delete", message_id=second)
            await hooks.delete(session=session, attempt=step)
            with pytest.raises(Exception, match="Unknown Message") as caught:
                await hooks.delete(session=session, attempt=step)
            assert "done" == hooks.classify_error(attempt=step, error=caught.value).error_class
    (stored,) = emulator.rooms.conversation(ROOM)
    assert ("*1*", ["one"]) == (stored.text, stored.revisions)
    assert ["🏳️‍🌈"] == [emoji for _, emoji in emulator.reactions(ROOM, first)]
    assert first == emulator.rooms.get(ROOM, second).reply_to
