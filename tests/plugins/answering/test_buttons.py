"""Buttons that all three channels have: one program, and what each platform then shows."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from pictures import png
from starlette.responses import JSONResponse

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    Button,
    DeliveryError,
    Disposition,
    Edit,
    File,
    GatewayConfig,
    HookContractError,
    Instance,
    Invalid,
    KeyRef,
    MessageRef,
    Reason,
    Secret,
    Send,
    from_json,
    open_gateway,
    preview,
    to_json,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, open_network, open_test_gateway, virtual_wall
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import TelegramSettings

GUIDE = "https://example.org/guide"
ASKED = [Button("Approve", "ok", style="primary"), Button("Guide", url=GUIDE)]
SHOWN = ((("Approve", "ok", None), ("Guide", None, GUIDE)),)
PICTURE = File(png(8, 8), name="a.png", media_type="image/png")


@attrs.frozen
class Channel:
    """Where it lives, a room of it, and how somebody there presses the first button."""

    emulator: Any
    settings: Any
    hosts: tuple[str, ...]
    room: str
    press: Any

    @property
    def instance(self) -> Instance:
        return Instance("bot", self.channel, self.settings)

    @property
    def channel(self) -> str:
        return {v.room: k for k, v in CHANNELS.items()}[self.room]


def _on_slack(emulator: SlackEmulator, room: str, message: str) -> Any:
    return emulator.people.press(
        room, message, "gateway.buttons.0.0", value="ok", block_id="gateway.buttons.0"
    )


CHANNELS = {
    "telegram": Channel(
        TelegramEmulator,
        TelegramSettings(token=Secret("1234567:" + "a" * 35)),
        ("https://api.telegram.org",),
        "-1001234567890",
        lambda emulator, room, message: emulator.people.press(room, message, "ok"),
    ),
    "slack": Channel(
        SlackEmulator,
        SlackSettings(token=Secret("xoxb-1")),
        ("https://slack.com", "https://hooks.slack.com", "https://files.slack.com"),
        "C024BE91L",
        _on_slack,
    ),
    "discord": Channel(
        DiscordEmulator,
        DiscordSettings(token=Secret("a.b.c")),
        ("https://discord.com",),
        "1100000000000000001",
        lambda emulator, room, message: emulator.people.press(room, message, "ok").event,
    ),
}


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest) -> Channel:
    return CHANNELS[request.param]


@asynccontextmanager
async def opened(channel: Channel, *plugins: Any, emulator: Any = None, outbox: Any = None):
    emulator = emulator or channel.emulator()
    async with open_network() as network:
        for host in channel.hosts:
            network.mount(host, emulator.app)
        if isinstance(emulator, SlackEmulator):
            emulator.hooks_url = "https://hooks.slack.com"
        config = GatewayConfig(instances=[channel.instance])
        async with open_gateway(
            config, plugins=plugins, outbox=outbox, wall_clock=virtual_wall
        ) as gateway:
            yield gateway, emulator


def seen(emulator: Any, channel: Channel) -> list[tuple[str, Any]]:
    """Text and buttons of each message in the room."""
    return [
        (_text(m), tuple(tuple((b.text, b.value, b.url) for b in row) for row in m.buttons))
        for m in emulator.rooms.conversation(channel.room)
    ]


def _text(message: Any) -> str:
    """Without the labels, which the emulated Slack counts among what a reader sees."""
    text = message.text.strip()
    for row in reversed(message.buttons if "blocks" in message.fields else ()):
        text = text.removesuffix("".join(button.text for button in row)).strip()
    return text


async def test_a_message_keeps_its_buttons_until_an_edit_names_others(channel, autojump_clock):
    """Sent, edited with and without, taken off: what a reader sees after each."""
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, "Deploy?", buttons=ASKED)
        assert [("Deploy?", SHOWN)] == seen(emulator, channel)
        edited = await gateway.edit(sent.ref, "Deploy now?")
        assert [("Deploy now?", SHOWN)] == seen(emulator, channel)
        rows = [[Button("Yes", "y"), Button("No", "n", style="danger")], [Button("Later", "l")]]
        edited = await gateway.edit(edited.ref, "Deploy when?", buttons=rows)
        shown = ((("Yes", "y", None), ("No", "n", None)), (("Later", "l", None),))
        assert [("Deploy when?", shown)] == seen(emulator, channel)
        edited = await gateway.edit(edited.ref, "Deployed", buttons=())
        assert [("Deployed", ())] == seen(emulator, channel)
        edited = await gateway.edit(edited.ref, "Deployed!")
        assert [("Deployed!", ())] == seen(emulator, channel)
        await gateway.delete(edited.ref)
        assert [] == seen(emulator, channel)


async def test_buttons_alone_are_edited_taken_off_and_put_back(channel, autojump_clock):
    """Their text stays what it is: Slack gets it again, from the ref."""
    text = "Deploy **now**? " + 100 * "Think twice. "
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, text, buttons=ASKED)
        [(shown, _)] = seen(emulator, channel)
        edited = await gateway.edit(sent.ref, buttons=[Button("Really?", "r")])
        assert [(shown, ((("Really?", "r", None),),))] == seen(emulator, channel)
        edited = await gateway.edit(edited.ref, buttons=[])
        assert [(shown, ())] == seen(emulator, channel)
        edited = await gateway.edit(edited.ref, buttons=ASKED)
        assert [(shown, SHOWN)] == seen(emulator, channel)
        edited = await gateway.edit(edited.ref, "Deployed", buttons=())
        assert [("Deployed", ())] == seen(emulator, channel)


@pytest.mark.parametrize("by", ["ref", "stored ref", "older ref", "ticket", "key"])
async def test_slack_gets_the_text_again_however_its_message_is_named(by, autojump_clock):
    channel = CHANNELS["slack"]
    async with opened(channel) as (gateway, emulator):
        ticket = await gateway.enqueue("bot", channel.room, "Deploy?", key="k", buttons=ASKED)
        ref = (await ticket.receipt()).ref
        first = await gateway.edit(ref, "Deploy it?")
        target = {
            "ref": first.ref,
            "stored ref": from_json(MessageRef, to_json(first.ref)),
            "older ref": ref,
            "ticket": ticket,
            "key": KeyRef(instance_id="bot", external_room_id=channel.room, key="k"),
        }[by]
        await gateway.edit(target, buttons=[Button("Really?", "r")])
        assert [("Deploy it?", ((("Really?", "r", None),),))] == seen(emulator, channel)


@pytest.mark.parametrize("text", ["Deploy it?", ""])
async def test_an_edit_that_slack_refuses_leaves_the_text_known(text, autojump_clock):
    channel = CHANNELS["slack"]
    said, emulator = [], SlackEmulator()

    async def front(scope, receive, send):
        answer = said.pop() if said and scope["path"] == "/api/chat.update" else emulator.app
        await answer(scope, receive, send)

    async with open_network() as network:
        network.mount("https://slack.com", front)
        async with open_gateway(GatewayConfig(instances=[channel.instance])) as gateway:
            sent = await gateway.send("bot", channel.room, "Deploy?", buttons=ASKED)
            said.append(JSONResponse({"ok": False, "error": "cant_update_message"}))
            again = [Button("Really?", "r")]
            refused = await gateway.edit(sent.ref, text, buttons=again, raises=False)
            assert "cant_update_message" in refused.verdict.raw
            await gateway.edit(sent.ref, buttons=again)
    assert [("Deploy?", ((("Really?", "r", None),),))] == seen(emulator, channel)


async def test_slack_is_given_the_text_of_a_message_that_had_no_buttons(autojump_clock):
    """A ref has the text only beside fields of the platform's own: most have none."""
    channel = CHANNELS["slack"]
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, "Deploy?")
        assert [None] == [part.payload for part in sent.ref.parts]
        with pytest.raises(DeliveryError, match="give it again") as refused:
            await gateway.edit(sent.ref, buttons=ASKED)
        assert Reason.UNSUPPORTED == refused.value.receipt.verdict.reason
        assert [("Deploy?", ())] == seen(emulator, channel)


async def test_the_last_of_several_messages_is_repeated_alone(autojump_clock):
    channel = CHANNELS["slack"]
    text = "\n\n".join(f"{n}. {400 * 'word '}" for n in range(3))
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, text, buttons=ASKED)
        before = seen(emulator, channel)
        assert [True, False] == [part.payload is None for part in sent.ref.parts[-2:]]
        await gateway.edit(sent.ref, buttons=())
        assert [(shown, ()) for shown, _ in before] == seen(emulator, channel)


async def test_a_press_says_its_value_and_is_answered(channel, autojump_clock):
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, "Deploy?", buttons=ASKED)
        event = channel.press(emulator, channel.room, sent.ref.parts[0].message_id)
        where = gateway.address("bot", event)
        assert ("ok", channel.room) == (where.pressed, where.external_room_id)
        assert "press" == where.interaction.asked
        await gateway.reply(event, "on it", buttons=[Button("Stop", "stop")])
        assert [("Deploy?", SHOWN), ("on it", ((("Stop", "stop", None),),))] == seen(
            emulator, channel
        )


@pytest.mark.parametrize("look", ["plain", "markdown", "native"])
async def test_buttons_stand_under_the_last_part_of_a_text_of_any_format(
    channel, look, autojump_clock
):
    async with opened(channel) as (gateway, emulator):
        text = "word " * 3_000
        sent = await gateway.send("bot", channel.room, text, format=look, buttons=ASKED)
        *others, last = seen(emulator, channel)
        assert [()] * len(others) == [buttons for _, buttons in others]
        assert SHOWN == last[1]
        assert "word" in last[0]
        again = [Button("Again", "again")]
        before = [text for text, _ in seen(emulator, channel)]
        sent = await gateway.edit(sent.ref, buttons=again)
        assert before == [text for text, _ in seen(emulator, channel)]
        assert ((("Again", "again", None),),) == seen(emulator, channel)[-1][1]
        sent = await gateway.edit(sent.ref, buttons=ASKED)
        await gateway.edit(sent.ref, "short", format=look)
        assert [("short", SHOWN)] == seen(emulator, channel)


async def test_a_picture_has_buttons_too(channel, autojump_clock):
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, "Look", files=[PICTURE], buttons=ASKED)
        assert [SHOWN] == [buttons for _, buttons in seen(emulator, channel)]
        edited = await gateway.edit(sent.ref, buttons=())
        assert [()] == [buttons for _, buttons in seen(emulator, channel)]
        assert sent.ref.parts[0].files == edited.ref.parts[0].files


async def test_an_album_of_telegram_has_its_buttons_under_the_text(autojump_clock):
    channel = CHANNELS["telegram"]
    async with opened(channel) as (gateway, emulator):
        await gateway.send("bot", channel.room, "Two", files=[PICTURE, PICTURE], buttons=ASKED)
        assert ["", "", "Two"] == [text for text, _ in seen(emulator, channel)]
        assert SHOWN == seen(emulator, channel)[-1][1]
        with pytest.raises(Invalid, match="buttons: an album cannot have buttons"):
            await gateway.send("bot", channel.room, "", files=[PICTURE, PICTURE], buttons=ASKED)
        album = await gateway.send("bot", channel.room, "Two", files=[PICTURE, PICTURE])
        with pytest.raises(DeliveryError) as failed:
            await gateway.edit(album.ref, buttons=ASKED)
        assert Disposition.REJECTED is failed.value.receipt.disposition


async def test_every_verb_takes_them(channel, autojump_clock):
    async with opened(channel) as (gateway, emulator):
        ticket = await gateway.enqueue("bot", channel.room, "one", buttons=ASKED)
        await ticket.receipt()
        async with gateway.stream(("bot", channel.room), buttons=[Button("Stop", "s")]) as out:
            out.write("two")
            await trio.sleep(60)
            assert ((("Stop", "s", None),),) == seen(emulator, channel)[-1][1]
            await out.finish(buttons=ASKED)
        async with gateway.stream(("bot", channel.room), buttons=[Button("Stop", "s")]) as out:
            out.write("three")
            await out.finish(buttons=())
        job = await gateway.broadcast("bot", [channel.room], "four", buttons=ASKED)
        await job.wait()
    assert [("one", SHOWN), ("two", SHOWN), ("three", ()), ("four", SHOWN)] == seen(
        emulator, channel
    )


async def test_a_policy_sees_buttons_and_changes_them(channel, autojump_clock):
    """A footer on each text leaves an edit of buttons alone what it is."""

    class Policy:
        @hookimpl
        def rewrite(self, envelope):
            if not isinstance(envelope, Send | Edit):
                return None
            rows = envelope.buttons and [[Button(b.text.upper(), b.value, url=b.url) for b in row]
                                         for row in envelope.buttons]  # fmt: skip
            return attrs.evolve(envelope, text=f"{envelope.text}\n\nfooter", buttons=rows)

    async with opened(channel, Policy()) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, "Deploy?", buttons=[Button("a", "a")])
        assert [((("A", "a", None),),)] == [buttons for _, buttons in seen(emulator, channel)]
        before = seen(emulator, channel)[0][0]
        await gateway.edit(sent.ref, buttons=[Button("b", "b")])
        assert (before, ((("B", "b", None),),)) == seen(emulator, channel)[0]


async def test_a_policy_gives_streams_their_buttons(channel, autojump_clock):
    class Policy:
        @hookimpl
        def rewrite(self, envelope):
            return attrs.evolve(envelope, buttons=ASKED)

    async with opened(channel, Policy()) as (gateway, emulator):
        async with gateway.stream(("bot", channel.room)) as out:
            out.write("hello")
            await trio.sleep(30)
            out.write(" world")
        assert [("hello world", SHOWN)] == seen(emulator, channel)


async def test_an_edit_of_buttons_alone_takes_no_text_away(autojump_clock):
    """An edit of the text that waits is not overtaken by it, nor is one that changes buttons."""
    channel = CHANNELS["telegram"]
    async with opened(channel) as (gateway, emulator):
        sent = await gateway.send("bot", channel.room, "one", buttons=ASKED)
        where = {"instance_id": "bot", "external_room_id": channel.room, "target": sent.ref}
        edits = [
            Edit(**where, text="two"),
            Edit(**where, buttons=[Button("b", "b")]),
            Edit(**where, text="three"),
        ]
        gateway.suspend("bot")
        tickets = [await gateway.submit(edit) for edit in edits]
        gateway.resume("bot")
        receipts = [await ticket.receipt() for ticket in tickets]
        assert [Disposition.DELIVERED] * 3 == [receipt.disposition for receipt in receipts]
        assert [("three", ((("b", "b", None),),))] == seen(emulator, channel)


LONG = "x" * 101
BAD: dict[str, tuple[Any, str, str]] = {
    "no list": ("Yes", "buttons", "list of Buttons"),
    "no button": ([["Yes"]], "buttons.0.0", "must be a Button"),
    "an empty row": ([[]], "buttons.0", "without a button"),
    "rows and buttons": ([Button("a", "a"), [Button("b", "b")]], "buttons.0", "as the other rows"),
    "no text": ([Button(" ", "a")], "buttons.0.0.text", "is empty"),
    "a number": ([Button("a", 7)], "buttons.0.0.value", "must be a text"),
    "neither": ([Button("a")], "buttons.0.0", "neither"),
    "both": ([Button("a", "a", url=GUIDE)], "buttons.0.0", "both"),
    "no host": ([Button("a", url="https://")], "buttons.0.0.url", "without a host"),
    "half a host": ([Button("a", url="http://[::1")], "buttons.0.0.url", "without a host"),
    "two lines": ([Button("a", url="https://h/\nx")], "buttons.0.0.url", "line break"),
    "an empty value": ([Button("a", "")], "buttons.0.0.value", "is empty"),
    "NUL": ([Button("a\0", "a")], "buttons.0.0.text", "NUL"),
    "a style": ([Button("a", "a", style="gold")], "buttons.0.0.style", "primary or danger"),
    "a script": ([[Button("a", "a")], [Button("b", url="js:1")]], "buttons.1.0.url", "begin"),
    "101 rows": ([[Button("a", "a")]] * 101, "buttons", "101 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_what_no_channel_takes_is_refused_by_its_place(channel, case, autojump_clock):
    buttons, place, words = BAD[case]
    async with opened(channel) as (gateway, emulator):
        with pytest.raises(Invalid) as refused:
            await gateway.send("bot", channel.room, "Deploy?", buttons=buttons)
    assert place in [problem.place for problem in refused.value.problems]
    assert words in str(refused.value)
    assert [] == seen(emulator, channel)


OWN_LIMITS: dict[str, tuple[str, Any, Any, str]] = {
    "telegram's value": ("telegram", [Button("a", "é" * 32)], [Button("a", "é" * 33)],
                         "buttons.0.0.value"),
    "slack's value": ("slack", [Button("a", "x" * 2_000)], [Button("a", "x" * 2_001)],
                      "buttons.0.0.value"),
    "slack's text": ("slack", [Button("x" * 75, "a")], [Button("x" * 76, "a")],
                     "buttons.0.0.text"),
    "slack's row": ("slack", [Button("a", "a")] * 25, [Button("a", "a")] * 26, "buttons.0"),
    "slack's blocks": ("slack", [[Button("a", "a")]] * 40, [[Button("a", "a")]] * 50, "buttons"),
    "discord's value": ("discord", [Button("a", "x" * 100)], [Button("a", "x" * 101)],
                        "buttons.0.0.value"),
    "discord's text": ("discord", [Button("x" * 80, "a")], [Button("x" * 81, "a")],
                       "buttons.0.0.text"),
    "discord's url": ("discord", [Button("a", url=f"{GUIDE}{'x' * 487}")],
                      [Button("a", url=f"{GUIDE}{'x' * 488}")], "buttons.0.0.url"),
    "discord's row": ("discord", [Button("a", str(n)) for n in range(5)],
                      [Button("a", str(n)) for n in range(6)], "buttons.0"),
    "discord's rows": ("discord", [[Button("a", str(n))] for n in range(5)],
                       [[Button("a", str(n))] for n in range(6)], "buttons"),
    "discord's ids": ("discord", [Button("a", "a"), Button("b", "b")],
                      [Button("a", "a"), Button("b", "a")], "buttons.0.1.value"),
}  # fmt: skip


@pytest.mark.parametrize("case", OWN_LIMITS)
async def test_each_channel_has_its_own_limits(case, autojump_clock):
    """What just fits the platform takes; one more is refused before anything is accepted."""
    name, fits, beyond, place = OWN_LIMITS[case]
    channel = CHANNELS[name]
    async with opened(channel) as (gateway, emulator):
        with pytest.raises(Invalid) as refused:
            await gateway.send("bot", channel.room, "Deploy?", buttons=beyond)
        assert [place] == [problem.place for problem in refused.value.problems]
        assert [] == seen(emulator, channel)
        assert (await gateway.send("bot", channel.room, "Deploy?", buttons=fits)).delivered


FIELDS = {
    "telegram": {"reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "a"}]]}},
    "discord": {"components": [{"type": 1, "components": [
        {"type": 2, "style": 2, "label": "a", "custom_id": "a"}]}]},
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
async def test_buttons_and_the_platform_s_own_are_not_given_together(name, autojump_clock):
    channel, [field] = CHANNELS[name], FIELDS[name]
    async with opened(channel) as (gateway, emulator):
        with pytest.raises(Invalid) as refused:
            await gateway.send("bot", channel.room, "a", buttons=ASKED, extra=FIELDS[name])
        assert [f"extra.{field}"] == [problem.place for problem in refused.value.problems]
        sent = await gateway.send("bot", channel.room, "a", extra=FIELDS[name])
        await gateway.edit(sent.ref, "b", buttons=ASKED)
        assert [("b", SHOWN)] == seen(emulator, channel)


async def test_blocks_of_slack_s_own_stand_before_buttons_and_stay_in_edits(autojump_clock):
    channel, line = CHANNELS["slack"], {"type": "divider"}
    async with opened(channel) as (gateway, emulator):
        extra = {"blocks": [line]}
        sent = await gateway.send("bot", channel.room, "a", buttons=ASKED, extra=extra)
        sent = await gateway.edit(sent.ref, "b", buttons=[Button("b", "b")])
        kinds = [b["type"] for b in emulator.rooms.conversation(channel.room)[0].fields["blocks"]]
        assert ["rich_text", "divider", "actions"] == kinds
        await gateway.edit(sent.ref, "c", buttons=())
        kinds = [b["type"] for b in emulator.rooms.conversation(channel.room)[0].fields["blocks"]]
        assert ["rich_text", "divider"] == kinds


async def test_the_same_key_with_other_buttons_is_a_conflict(channel, autojump_clock):
    async with opened(channel) as (gateway, emulator):
        await gateway.send("bot", channel.room, "a", key="k", buttons=ASKED)
        again = await gateway.send("bot", channel.room, "a", key="k", buttons=[ASKED])
        assert again.replayed
        with pytest.raises(Exception, match="k") as refused:
            await gateway.send("bot", channel.room, "a", key="k", buttons=ASKED[:1])
        assert "IdempotencyConflict" == type(refused.value).__name__
        assert 1 == len(seen(emulator, channel))


def test_a_preview_shows_what_they_become(channel):
    send = Send(instance_id="bot", external_room_id=channel.room, text="a", buttons=ASKED)
    found = preview(channel.instance, send)
    assert () == found.problems
    assert (ASKED[0],) == found.asked.buttons[0][:1]
    assert found.envelope.extra


@pytest.mark.parametrize("kept", [False, True])
async def test_buttons_survive_a_restart(channel, kept, tmp_path, autojump_clock):
    """Accepted and not sent before the first run ends; the next one sends, and edits by key."""
    emulator = channel.emulator()

    def outbox() -> SqliteOutbox:
        settings = SqliteSettings(in_thread=False)
        return SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)

    async with opened(channel, emulator=emulator, outbox=outbox()) as (gateway, _):
        gateway.suspend("bot")
        where = {"instance_id": "bot", "external_room_id": channel.room}
        ticket = await gateway.submit(Send(**where, text="a", key="k", buttons=ASKED))
        buttons = None if kept else [[ASKED[0]]]
        await gateway.submit(Edit(**where, target=ticket.ref, text="b", buttons=buttons))
    assert [] == seen(emulator, channel)
    async with opened(channel, emulator=emulator, outbox=outbox()) as (gateway, _):
        gateway.resume("bot")
        await trio.sleep(60)
        shown = SHOWN if kept else (SHOWN[0][:1],)
        assert [("b", shown)] == seen(emulator, channel)


GUIDED = {"type": "block_actions", "channel": {"id": CHANNELS["slack"].room}, "trigger_id": "1.2"}
QUERY = {"id": "9", "chat_instance": "7", "message": {"message_id": 1, "chat": {"id": 7}}}
COMPONENT = {"id": "110", "type": 3, "channel_id": "1100000000000000001", "token": "t"}
PRESSES: list[tuple[str, Any, str | None]] = [
    ("telegram", {"callback_query": {**QUERY, "data": "ok"}}, "ok"),
    ("telegram", {**QUERY, "data": "ok"}, "ok"),
    ("telegram", {"callback_query": {**QUERY, "game_short_name": "chess"}}, None),
    ("telegram", {"message": {"message_id": 1, "chat": {"id": 7}, "data": "ok"}}, None),
    ("slack", {**GUIDED, "actions": [{"type": "button", "value": "ok"}]}, "ok"),
    ("slack", {**GUIDED, "actions": [{"type": "button", "url": GUIDE}]}, None),
    ("slack", {**GUIDED, "actions": [{"type": "static_select", "value": "ok"}]}, None),
    ("slack", {**GUIDED, "actions": ["?"]}, None),
    ("slack", {**GUIDED, "actions": "?"}, None),
    ("discord", {**COMPONENT, "data": {"component_type": 2, "custom_id": "ok"}}, "ok"),
    ("discord", {**COMPONENT, "data": {"component_type": 3, "custom_id": "ok"}}, None),
    ("discord", {**COMPONENT, "data": {"component_type": 2, "custom_id": 7}}, None),
    ("discord", {**COMPONENT, "data": "ok"}, None),
]


@pytest.mark.parametrize(("name", "event", "value"), PRESSES)
async def test_only_a_button_with_a_value_is_pressed(name, event, value, autojump_clock):
    async with opened(CHANNELS[name]) as (gateway, _):
        where = gateway.address("bot", event)
    assert where is not None
    assert value == where.pressed


def test_an_envelope_with_buttons_becomes_json_and_comes_back():
    send = Send(instance_id="bot", external_room_id="7", text="a", buttons=[ASKED, ASKED[:1]])
    plain = to_json(send)
    button = {"text": "Approve", "value": "ok", "style": "primary"}
    assert [button] == plain["buttons"][1]
    assert send == from_json(Send, plain)
    one_row = from_json(Send, {**plain, "buttons": [{"text": "a", "value": "b"}]})
    assert ((Button("a", "b"),),) == one_row.buttons
    for wrong in ("a", [["a"]], [[{"text": "a", "valu": "b"}]], [[{"value": "a"}]], [[], "a"]):
        with pytest.raises(Invalid, match="buttons"):
            from_json(Send, {**plain, "buttons": wrong})


async def test_a_channel_without_buttons_says_so(autojump_clock):
    class Without(FakeChannel):
        buttons = None

    async with open_test_gateway(Without()) as gateway:
        for rows in (ASKED, []):
            edit = Edit(
                instance_id="bot",
                external_room_id="room",
                target=KeyRef(instance_id="bot", external_room_id="room", key="k"),
                text="a",
                buttons=rows,
            )
            with pytest.raises(Invalid, match=r"channel '.*' has no buttons"):
                await gateway.submit(edit)


async def test_a_hook_that_answers_with_what_is_no_json_is_refused(autojump_clock):
    class Odd(FakeChannel):
        @hookimpl
        def buttons(self):
            return {"keys": object()}

    async with open_test_gateway(Odd()) as gateway:
        with pytest.raises(HookContractError, match="plain JSON"):
            await gateway.send("bot", "room", "a", buttons=ASKED)


SENT_ONLY = {
    "telegram": {"protect_content": True},
    "slack": {"username": "deployer"},
    "discord": {"tts": True},
}


async def test_an_edit_of_buttons_asks_for_nothing_that_only_a_send_takes(channel, autojump_clock):
    """What the message was sent with besides stays what it is, and is no mistake of the edit's."""
    async with opened(channel) as (gateway, emulator):
        extra = SENT_ONLY[channel.channel]
        sent = await gateway.send("bot", channel.room, "a", extra=extra)
        edited = await gateway.edit(sent.ref, "b", buttons=ASKED)
        assert [("b", SHOWN)] == seen(emulator, channel)
        assert extra.items() <= edited.ref.extra.items()


async def test_a_stream_that_slack_shows_itself_ends_with_its_buttons(autojump_clock):
    channel = CHANNELS["slack"]
    async with opened(channel) as (gateway, emulator):
        event = emulator.people.say(channel.room, "why?")
        async with gateway.stream(event) as out:
            out.write("because")
            await trio.sleep(30)
            await out.finish(buttons=ASKED)
        [_, answer] = emulator.rooms.conversation(channel.room)
        assert answer.streaming_until is not None
        assert ("because", SHOWN) == seen(emulator, channel)[-1]


async def test_an_edit_of_buttons_that_a_kill_broke_off_is_finished(tmp_path, autojump_clock):
    """Its step has no text, and the next run makes it all the same."""
    channel = FakeChannel()

    def outbox() -> SqliteOutbox:
        settings = SqliteSettings(in_thread=False)
        return SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)

    async def hangs(_attempt: Any) -> None:
        await trio.sleep_forever()

    with trio.CancelScope() as life:
        async with open_test_gateway(channel, outbox=outbox()) as gateway:
            sent = await gateway.send("bot", "room", "a", buttons=ASKED)
            channel.script = hangs
            where = {"instance_id": "bot", "external_room_id": "room", "target": sent.ref}
            await gateway.submit(Edit(**where, buttons=ASKED[:1]))
            await trio.sleep(1)
            life.cancel()
    assert ["Approve", "Guide"] == [button.text for button in channel.pressable["1"][0]]
    channel.script = None
    async with open_test_gateway(channel, outbox=outbox()):
        await trio.sleep(60)
    assert ["Approve"] == [button.text for button in channel.pressable["1"][0]]
    assert ["a"] == channel.texts("room")
