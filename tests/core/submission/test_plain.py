"""Texts and numbers of classes of their own are plain ones once they are accepted."""

from enum import StrEnum
from typing import Any, NamedTuple

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from value_kinds import kinds

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    Button,
    Call,
    Delete,
    Edit,
    Instance,
    Invalid,
    KeyRef,
    MessageRef,
    Part,
    PartRef,
    Send,
    preview,
)
from gateway_core.authors import Attempt, hookimpl
from gateway_core.plugins.plain import plain
from gateway_core.testing import FakeChannel, FakeSettings, open_test_gateway, virtual_wall


class Escaped(str):
    """As a template engine's: what is joined to it is escaped."""

    __slots__ = ()

    def __add__(self, other):
        return Escaped(str.__add__(self, other.replace("<", "&lt;")))

    def __str__(self):
        return self


class Class(StrEnum):
    URGENT = "urgent"


class Single(float):
    pass


class Whole(int):
    pass


class Pair(NamedTuple):
    left: Any
    right: Any


EXTRA = {
    Escaped("a"): [Single(1.5), (Whole(3), {"b": Escaped("c")})],
    "pair": Pair(1, Escaped("x")),
}
CYCLE = {}
CYCLE["again"] = CYCLE
PLAIN = {"a": [1.5, (3, {"b": "c"})], "pair": (1, "x")}
TEXT = Escaped("Tom & <b>")
PLACE = {"instance_id": Escaped("bot"), "external_room_id": Escaped("room")}
KEY = Escaped("k")
REF = MessageRef(
    instance_id="bot",
    external_room_id="room",
    thread_id=Escaped("t"),
    envelope_id=Escaped("e"),
    parts=(PartRef(message_id=Escaped("7")),),
    extra={"a": Escaped("b")},
)
ENVELOPES = [
    Send(**PLACE, text=TEXT, key=KEY, extra=EXTRA, ttl=Single(60), priority=Escaped("urgent")),
    Send(instance_id="bot", external_room_id="room", text="ascii", priority=Class.URGENT),
    Send(instance_id="bot", external_room_id="room", text="ascii", order=Escaped("none")),
    Send(**PLACE, text=TEXT, thread_id=Escaped("t"), reply_to=Escaped("r"), collapse=Escaped("c")),
    Call(**PLACE, method=Escaped("react"), arguments=EXTRA),
    Edit(**PLACE, target=REF, text=TEXT, extra=EXTRA),
    Delete(**PLACE, target=KeyRef(instance_id="bot", external_room_id="room", key=KEY)),
]


BARE = {str, int, float, bool, type(None), dict, list, tuple, *map(type, [*ENVELOPES, REF])} | {
    Part,
    PartRef,
    KeyRef,
}


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda envelope: type(envelope).__name__)
@pytest.mark.parametrize("durable", [True, False], ids=["sqlite", "memory"])
async def test_what_a_channel_gets_is_plain_with_a_file_and_without(envelope, durable, tmp_path):
    made = []

    async def look(attempt):
        made.append(attempt)

    outbox = SqliteOutbox(tmp_path / "o.db", wall_clock=virtual_wall) if durable else None
    channel = FakeChannel(script=look)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ticket = await gateway.submit(envelope)
        await ticket.receipt()
    for attempt in made:
        assert set(kinds(attempt)) <= BARE | {type(attempt)}
    if isinstance(envelope, Send | Call):
        assert envelope.external_room_id == made[0].room


def test_a_preview_is_of_plain_texts():
    seen = preview(
        Instance(id="bot", channel="fake", settings=FakeSettings()),
        Send(**PLACE, text=TEXT, extra=EXTRA),
        plugins=[("fake", FakeChannel())],
    )
    assert {dict, str} <= set(kinds(seen.parts[0].payload)) <= BARE


@pytest.mark.parametrize("value", [EXTRA, TEXT, Single(1.5), Whole(3), Class.URGENT, Pair(1, 2)])
def test_plain_values_are_equal_to_what_they_are_made_of(value):
    found = plain(value)
    assert found == (PLAIN if value is EXTRA else value)
    assert set(kinds(found)) <= BARE


@pytest.mark.parametrize("value", [PLAIN, "text", 1.5, True, None, attrs.evolve(REF, extra={})])
def test_what_is_plain_already_stays_the_same_object(value):
    value = plain(value)
    assert plain(value) is value


def file_at(tmp_path):
    settings = SqliteSettings(in_thread=False)
    return SqliteOutbox(tmp_path / "o.db", settings, wall_clock=virtual_wall)


@pytest.mark.parametrize("durable", [True, False], ids=["sqlite", "memory"])
async def test_a_group_s_rooms_are_plain_texts(durable, tmp_path, autojump_clock):
    channel = FakeChannel()
    outbox = file_at(tmp_path) if durable else None
    sends = [Send(**PLACE, text=TEXT, extra=EXTRA)]
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast(Escaped("bot"), ["a", Escaped("b"), "b", Escaped("a")], TEXT)
        await job.wait()
        many = await gateway.submit_many(sends, group=KEY)
        await many.wait()
    assert ["a", "b", "room"] == sorted(made.attempt.room for made in channel.made)
    for made in channel.made:
        assert set(kinds(made.attempt)) <= BARE | {type(made.attempt)}


class Odd(FakeChannel):
    """Answers with texts and numbers of classes of their own."""

    @hookimpl
    def chunk(self, envelope):
        whole = Part(payload={"text": envelope.text, Escaped("n"): Whole(1)}, digest=Escaped("d"))
        return [attrs.evolve(whole, span=(Whole(0), 1), degraded=(Escaped("links"),))]

    @hookimpl
    def buttons(self, rows, extra):
        return {**extra, Escaped("rows"): [Escaped(each.text) for row in rows for each in row]}

    @hookimpl
    async def send(self, attempt):
        answer = await FakeChannel.send(self, attempt)
        return attrs.evolve(answer, message_id=Escaped(answer.message_id), more=(Escaped("m"),))


async def test_what_a_plugin_answers_is_stored_as_plain_values(tmp_path, autojump_clock):
    channel = Odd()
    with capture_logs() as lines:
        async with open_test_gateway(channel, outbox=file_at(tmp_path)) as gateway:
            receipt = await gateway.send("bot", "room", "hello", buttons=[Button("Yes", "yes")])
        async with open_test_gateway(channel, outbox=file_at(tmp_path)):
            await trio.sleep(10)
    assert [] == [line for line in lines if line["event"] == "gateway.outbox_broke"]
    assert receipt.delivered
    assert 1 == len(channel.made)
    assert set(kinds(channel.made[0].attempt)) <= BARE | {Attempt}


ROWS = [Button(Escaped("Yes"), Escaped("yes"))]
TABLE = {Escaped("a"): [Escaped("b"), Whole(3), Single(1.5)]}


@pytest.mark.parametrize(
    ("opened", "finished"),
    [
        ({}, {"buttons": ROWS}),
        ({}, {"extra": TABLE}),
        ({"buttons": ROWS}, {}),
        ({"extra": TABLE}, {}),
        ({"extra": TABLE, "reply_to": Escaped("7"), "thread": Escaped("t")}, {"buttons": ROWS}),
    ],
    ids=["last buttons", "last extra", "buttons", "extra", "all"],
)
async def test_a_stream_of_texts_of_another_class_is_sent_once(
    opened, finished, tmp_path, autojump_clock
):
    channel = FakeChannel()
    with capture_logs() as lines:
        async with (
            open_test_gateway(channel, outbox=file_at(tmp_path)) as gateway,
            gateway.stream(("bot", "room"), **opened) as out,
        ):
            out.write(Escaped("a < b, "))
            out.write("c < d")
            await out.finish(**finished)
        async with open_test_gateway(channel, outbox=file_at(tmp_path)):
            await trio.sleep(10)
    assert [] == [line for line in lines if line["event"] == "gateway.outbox_broke"]
    assert 1 == len(channel.texts("room"))
    for made in channel.made:
        assert set(kinds(made.attempt)) <= BARE | {type(made.attempt)}
    assert "a < b, c < d" == channel.made[-1].attempt.payload["text"]


@pytest.mark.parametrize("extra", [{"a": object()}, {1: 2}, [1], CYCLE])
async def test_fields_that_a_stream_cannot_end_with_are_refused_and_it_goes_on(
    extra, autojump_clock
):
    channel = FakeChannel()
    async with (
        open_test_gateway(channel) as gateway,
        gateway.stream(("bot", "room")) as out,
    ):
        out.write("one")
        with pytest.raises(Invalid, match="extra"):
            await out.finish(extra=extra)
        out.write(" two")
    assert "one two" == channel.made[-1].attempt.payload["text"]
