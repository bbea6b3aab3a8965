"""The emulated Slack on a socket: with slack_sdk as it is, and with our adapter, there and back."""

from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pictures
import pytest
import trio
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits, pings
from gateway_core import Edit, Instance, MessageRef, PartRef, Secret, Send
from gateway_core.authors import Attempt, TransportError
from gateway_plugin_slack import hooks
from gateway_plugin_slack.errors import PersonOpened
from gateway_plugin_slack.settings import Settings

TOKEN = "xoxb-1111-2222-abc"
ROOM = "C024BE91L"
UNLIMITED = SlackLimits(posts=(10_000, 1.0), tiers={})

SCRIPTS = {
    "latin": "Straße, façade, Łódź: „Grüße“ & <b>naïve</b> &amp; résumé",
    "cyrillic": "Съешь ещё этих мягких французских булок, да выпей чаю",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "arabic": "نص حكيم له سر قاطع وذو شأن عظيم",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "han": "視野無限廣,窗外有藍天",
    "kana": "いろはにほへと ちりぬるを わかよたれそ",
    "hangul": "키스의 고유조건은 입술끼리 만나야 하고",
}
EMOJI = (
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇯🇵 ☝🏿 1️⃣ 🧑🏻‍❤️‍💋‍🧑🏿 "
    "<!channel> <@U024BE7LH> *not bold* _x_ ~y~ `z` :tada: http://x.example/?a=1&b=2"
)


@asynccontextmanager
async def served(emulator):
    """The emulator's base URL while it is served on a free port."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(serve, emulator.app)
            nursery.cancel_scope.cancel()


async def in_thread(work, *args, **kwargs):
    return await trio.to_thread.run_sync(lambda: work(*args, **kwargs))


def client(url, **fields):
    return WebClient(TOKEN, base_url=f"{url}/api/", timeout=60, **fields)


async def test_slack_sdk_sends_edits_and_deletes():
    emulator = SlackEmulator(limits=UNLIMITED)

    def conversation(url):
        web = client(url)
        assert "U0BOT0001" == web.auth_test()["user_id"]
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*shown*"}}]
        first = web.chat_postMessage(channel=ROOM, text="one &amp; only")
        second = web.chat_postMessage(
            channel=ROOM, text="fallback", blocks=blocks, thread_ts=first["ts"]
        )
        third = web.chat_postMessage(channel="#general", text="third")
        web.chat_update(channel=ROOM, ts=first["ts"], text="edited")
        web.chat_delete(channel=third["channel"], ts=third["ts"])
        web.chat_postEphemeral(channel=ROOM, user="U1", text="psst")
        web.reactions_add(channel=ROOM, timestamp=first["ts"], name="eyes")
        assert ROOM == web.conversations_info(channel=ROOM)["channel"]["id"]
        assert "D024BE7LH" == web.conversations_open(users=["U024BE7LH"])["channel"]["id"]
        assert "U1" == web.users_info(user="U1")["user"]["id"]
        assert web.api_test()["ok"]
        return first, second, third

    async with served(emulator) as url:
        first, second, third = await in_thread(conversation, url)
    assert ["edited", "*shown*"] == [m.text for m in emulator.rooms.conversation(ROOM)]
    assert [None, first["ts"]] == [m.thread for m in emulator.rooms.conversation(ROOM)]
    assert emulator.rooms.get(third["channel"], third["ts"]).deleted
    assert [("U0BOT0001", "eyes")] == emulator.reactions(ROOM, first["ts"])
    assert second["message"]["thread_ts"] == first["ts"]


async def test_slack_sdk_uploads_shares_and_deletes_files():
    emulator = SlackEmulator(limits=attrs.evolve(UNLIMITED, share_seconds=0.05, file_bytes=100_000))
    png = pictures.png(30, 20)

    def conversation(url):
        web = client(url)
        parent = web.chat_postMessage(channel=ROOM, text="parent")["ts"]
        sent = web.files_upload_v2(
            channel=ROOM,
            file=png,
            filename="cat.png",
            title="A cat",
            alt_txt="a cat",
            initial_comment="*look*",
            thread_ts=parent,
        )
        assert "A cat" == sent["file"]["title"]
        while not (file := web.files_info(file=sent["file"]["id"])["file"])["shares"]:
            pass
        [share] = file["shares"]["public"][ROOM]
        block = {"type": "image", "alt_text": "again", "slack_file": {"id": file["id"]}}
        web.chat_postMessage(channel=ROOM, text="again", blocks=[block])
        two = [{"file": png, "filename": "a.png"}, {"content": "hi", "filename": "b.txt"}]
        uploaded = web.files_upload_v2(channel=ROOM, file_uploads=two)["files"]
        assert ["a.png", "b.txt"] == [one["name"] for one in uploaded]
        web.chat_update(channel=ROOM, ts=share["ts"], text="edited")
        while not web.files_info(file=uploaded[1]["id"])["file"]["shares"]:
            pass
        web.files_delete(file=uploaded[1]["id"])
        with pytest.raises(SlackApiError, match="file_upload_size_restricted"):
            web.files_upload_v2(channel=ROOM, file=b"x" * 100_001, filename="large")
        with pytest.raises(SlackApiError, match="channel_not_found"):
            web.files_upload_v2(channel="#general", file=png, filename="cat.png")

    async with served(emulator) as url:
        emulator.files_url = url
        await in_thread(conversation, url)
        seen = [(m.text, [f.name for f in m.files]) for m in emulator.rooms.conversation(ROOM)]
    assert [("parent", []), ("edited", ["cat.png"]), ("", ["cat.png"]), ("", ["a.png"])] == seen


async def test_slack_sdk_raises_slacks_own_words():
    emulator = SlackEmulator(limits=UNLIMITED)

    def refusals(url):
        web = client(url)
        where = {"channel": ROOM, "ts": web.chat_postMessage(channel=ROOM, text="x")["ts"]}
        for ask, error in [
            (lambda: web.chat_postMessage(channel="", text="x"), "channel_not_found"),
            (lambda: web.chat_update(**where, text="x" * 4001), "msg_too_long"),
            (lambda: web.api_call("chat.shout"), "unknown_method"),
            (lambda: WebClient("", base_url=f"{url}/api/").auth_test(), "not_authed"),
        ]:
            with pytest.raises(SlackApiError) as caught:
                ask()
            assert error == caught.value.response["error"]
        web.oauth_v2_access(
            client_id="1.2",
            client_secret="s",
            grant_type="refresh_token",
            refresh_token=emulator.grant_refresh(TOKEN),
        )
        emulator.revoke(TOKEN)
        with pytest.raises(SlackApiError, match="token_revoked"):
            web.auth_test()

    async with served(emulator) as url:
        await in_thread(refusals, url)


async def test_slack_sdk_knows_a_rate_limit_and_waits_it_out():
    emulator = SlackEmulator()

    def burst(url):
        impatient = client(url)
        impatient.chat_postMessage(channel=ROOM, text="0")
        with pytest.raises(SlackApiError) as caught:
            impatient.chat_postMessage(channel=ROOM, text="refused")
        assert (429, "1", "ratelimited") == (
            caught.value.response.status_code,
            caught.value.response.headers["Retry-After"],
            caught.value.response["error"],
        )
        patient = client(url, retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=2)])
        patient.chat_postMessage(channel=ROOM, text="1")

    async with served(emulator) as url:
        await in_thread(burst, url)
    assert ["0", "1"] == [m.text for m in emulator.rooms.conversation(ROOM)]
    assert 2 == emulator.counters["rate_limited"]


@asynccontextmanager
async def adapter(emulator):
    """An instance and its session against the served emulator."""
    async with served(emulator) as url:
        settings = Settings(token=Secret(TOKEN), base_url=f"{url}/api", timeout=5.0)
        instance = Instance("support", "slack", settings)
        async with hooks.open_session(instance=instance) as session:
            yield instance, session


def step(operation, **fields):
    fields = {"room": ROOM, **fields}
    return Attempt(operation=operation, envelope_id="e", instance_id="support", **fields)


async def deliver(instance, session, text, **fields):
    """Send the text as its parts; the ids of the messages."""
    fields = {"format": "plain"} | fields
    envelope = Send(instance_id="support", external_room_id=ROOM, text=text, **fields)
    assert [] == list(hooks.validate(instance=instance, envelope=envelope))
    parts = hooks.chunk(instance=instance, envelope=envelope, mode="as_asked")
    return [
        (await hooks.send(session=session, attempt=step("send", part=part))).message_id
        for part in parts
    ]


def without_space(text):
    return "".join(text.split())


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_text_of_each_script_comes_back_byte_for_byte(name):
    emulator = SlackEmulator(limits=UNLIMITED)
    async with adapter(emulator) as (instance, session):
        await deliver(instance, session, SCRIPTS[name])
        await deliver(instance, session, (SCRIPTS[name] + ". ") * (10_000 // len(SCRIPTS[name])))
    short, *long = [m.text for m in emulator.rooms.conversation(ROOM)]
    assert SCRIPTS[name].encode() == short.encode()
    assert len(long) > 1
    whole = (SCRIPTS[name] + ". ") * (10_000 // len(SCRIPTS[name]))
    assert without_space(whole).encode() == without_space("".join(long)).encode()


async def test_emoji_and_markup_come_back_as_they_were_and_call_nobody():
    emulator = SlackEmulator(limits=UNLIMITED)
    async with adapter(emulator) as (instance, session):
        await deliver(instance, session, EMOJI)
        await deliver(instance, session, EMOJI * 80)
    first, *rest = emulator.rooms.conversation(ROOM)
    assert EMOJI == first.text
    assert without_space(EMOJI * 80) == without_space("".join(m.text for m in rest))
    assert [()] * (1 + len(rest)) == [pings(message) for message in [first, *rest]]


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "texts").glob("*.md")), ids=lambda p: p.stem
)
async def test_every_part_of_a_real_text_can_be_edited_to_itself(path):
    emulator = SlackEmulator(limits=UNLIMITED)
    text = path.read_text()
    async with adapter(emulator) as (instance, session):
        ids = await deliver(instance, session, text)
        before = [m.text for m in emulator.rooms.conversation(ROOM)]
        refs = tuple(PartRef(message_id=i) for i in ids)
        target = MessageRef(
            instance_id="support", external_room_id=ROOM, envelope_id="e", parts=refs
        )
        edit = Edit(
            instance_id="support",
            external_room_id=ROOM,
            target=target,
            text=text,
            format="plain",
        )
        parts = hooks.chunk(instance=instance, envelope=edit, mode="as_asked")
        for message_id, part in zip(ids, parts, strict=True):
            attempt = step("edit", part=part, message_id=message_id)
            await hooks.edit(session=session, attempt=attempt)
    after = emulator.rooms.conversation(ROOM)
    assert before == [m.text for m in after]
    assert [1] * len(ids) == [len(m.revisions) for m in after]
    assert without_space(text) == without_space("".join(before))


async def test_the_adapter_deletes_and_calls():
    emulator = SlackEmulator(limits=UNLIMITED)
    async with adapter(emulator) as (instance, session):
        kept, gone = await deliver(instance, session, "a") + await deliver(instance, session, "b")
        await hooks.delete(session=session, attempt=step("delete", message_id=gone))
        arguments = {"channel": ROOM, "timestamp": kept, "name": "tada"}
        call = step("call:reactions.add", method="reactions.add", arguments=arguments)
        assert {"ok": True} == (await hooks.call(session=session, attempt=call)).result
        assert "U0BOT0001" == (await hooks.probe(session=session)).id
    assert ["a"] == [m.text for m in emulator.rooms.conversation(ROOM)]
    assert [("U0BOT0001", "tada")] == emulator.reactions(ROOM, kept)


async def test_a_message_to_a_user_can_be_edited_by_its_id():
    emulator = SlackEmulator(limits=UNLIMITED)
    async with adapter(emulator) as (instance, session):
        part = hooks.chunk(
            instance=instance,
            envelope=Send(instance_id="s", external_room_id="U024BE7LH", text="hi"),
            mode="as_asked",
        )[0]
        to_user = step("send", room="U024BE7LH", part=part)
        with pytest.raises(PersonOpened) as caught:
            await hooks.send(session=session, attempt=to_user)
        assert 0 == emulator.counters["stored"]
        room = hooks.classify_error(attempt=to_user, error=caught.value).moved_to
        answer = await hooks.send(session=session, attempt=step("send", room=room, part=part))
        attempt = step("edit", room=room, part=part, message_id=answer.message_id)
        await hooks.edit(session=session, attempt=attempt)
        [message] = emulator.rooms.conversation("D024BE7LH")
        assert (["hi"], message.id) == (message.revisions, answer.message_id)
        named = f"{room}:{answer.message_id}"  # it tells the conversation: the user's id will do
        attempt = step("edit", room="U024BE7LH", part=part, message_id=named)
        await hooks.edit(session=session, attempt=attempt)
    assert ["hi", "hi"] == message.revisions
    assert 1 == emulator.counters["stored"]


@pytest.mark.parametrize(
    ("fault", "dispatched", "stored"),
    [(Fault.RESET_BEFORE, "unknown", 0), (Fault.RESET_AFTER, "unknown", 1)],
)
async def test_a_cut_connection_leaves_the_outcome_unknown(fault, dispatched, stored):
    emulator = SlackEmulator(limits=UNLIMITED, faults=FaultPlan(script={0: fault}))
    async with adapter(emulator) as (instance, session):
        with pytest.raises(TransportError) as caught:
            await deliver(instance, session, "hello")
        assert (dispatched, stored) == (caught.value.dispatched, emulator.counters["stored"])
        await deliver(instance, session, "again")


async def test_an_expired_token_is_renewed_and_used():
    emulator = SlackEmulator(limits=UNLIMITED, tokens=[TOKEN])
    async with served(emulator) as url:
        settings = Settings(
            token=Secret(TOKEN),
            base_url=f"{url}/api",
            refresh_token=Secret(emulator.grant_refresh(TOKEN)),
            client_id="1.2",
            client_secret=Secret("s"),
        )
        instance = Instance("support", "slack", settings)
        emulator.expire(TOKEN)
        async with hooks.open_session(instance=instance) as session:
            with pytest.raises(Exception, match="token_expired"):
                await hooks.probe(session=session)
            assert await hooks.credentials(session=session) is not None
            assert "U0BOT0001" == (await hooks.probe(session=session)).id
