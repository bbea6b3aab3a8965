"""Whoever may hand over may ask anything: the owner answers it, or says what is wrong with it."""

import json

import pytest
from handing_in_memory import SharedMemory

from gateway_core import File, Send, to_json
from gateway_core.outboxes import Suspension, suspension_question
from gateway_core.producers.asked import question
from gateway_core.testing import FakeChannel, open_test_gateway

SEND = to_json(Send(instance_id="bot", external_room_id="room", text="text"))
OF_ANOTHER = SEND | {"instance_id": "other"}
DEEP = json.loads("[" * 40 + "]" * 40)
MANY = {"do": "submit_many", "group": None, "not_before": None, "priority": "bulk"}
GROWN = {"do": "grow", "number": 1, "after": -1, "kept": 0, "text": "more", "below": ""}
ENDED = {"do": "grow", "ended": "finished", "text": "all", "extra": None}
PLACE = {"external_room_id": "room"}
SUSPENSION = {"do": "suspension", "instance": "bot"}

WRONG = {
    "no JSON": ("[", "asked"),
    "nested deeply": ("[" * 200_000, "asked"),
    "a number too long": ('{"do": ' + "1" * 5_000 + "}", "asked"),
    "millions of lists": ('{"do": "broadcast", "rooms": [' + "[]," * 1_000_000 + "[]]}", "asked"),
    "a list": ([], "asked"),
    "nothing": (None, "asked"),
    "says not what": ({}, "do"),
    "says it by a list": ({"do": []}, "do"),
    "what nobody knows": ({"do": "dance"}, "do"),
    "no id": ({"do": "status"}, "id"),
    "an id that is a list": ({"do": "status", "id": []}, "id"),
    "a stream without an id": (GROWN, "id"),
    "text that is none": (GROWN | {"id": "x", "text": 7}, "text"),
    "text that no UTF-8 has": (GROWN | {"id": "x", "text": "\ud800"}, "text"),
    "a status that is none": (GROWN | {"id": "x", "below": []}, "below"),
    "a number that is none": (GROWN | {"id": "x", "number": "1"}, "number"),
    "an end that is none": (ENDED | {"id": "x", "ended": []}, "ended"),
    "fields that are none": (ENDED | {"id": "x", "extra": [1]}, "extra"),
    "fields nested deeply": (ENDED | {"id": "x", "extra": {"a": DEEP}}, "extra"),
    "typing without a block": ({"do": "typing", "place": PLACE}, "block"),
    "typing nowhere": ({"do": "typing", "block": "x", "place": {}}, "place.external_room_id"),
    "typing in a list": ({"do": "typing", "block": "x", "place": {"external_room_id": []}},
                         "place.external_room_id"),
    "typing with more": ({"do": "typing", "block": "x", "place": PLACE | {"a": 1}}, "place.a"),
    "no template": ({"do": "broadcast", "rooms": []}, "template"),
    "a template that is none": ({"do": "broadcast", "template": 1, "rooms": []}, "template"),
    "rooms that are none": ({"do": "broadcast", "template": SEND, "rooms": 1}, "rooms"),
    "envelopes that are none": (MANY | {"envelopes": 1}, "envelopes"),
    "a time that is none": (MANY | {"envelopes": [SEND], "not_before": "x"}, "not_before"),
    "a group that is none": (MANY | {"envelopes": [SEND], "group": []}, "group"),
    "a scope of one": ({"do": "group", "what": ["bot"]}, "what"),
    "a scope of lists": ({"do": "group", "what": [[], [], [], []]}, "what"),
    "groups of a page that is none": ({"do": "groups", "instance": "bot", "after": "",
                                       "limit": "x"}, "limit"),
    "groups of no account": ({"do": "groups"}, "instance"),
    "failed of a list": ({"do": "failed", "group": [], "after": "", "limit": 1}, "group"),
    "a pause of a number": ({"do": "pause", "group": 5}, "group"),
    "no seconds to drain": ({"do": "remove_instance", "instance": "bot", "drain": "x"}, "drain"),
    "a suspension that is none": (SUSPENSION | {"suspension": 5}, "suspension"),
    "a suspension of no account": ({"do": "suspension", "suspension": None}, "instance"),
    "a suspension without a reason": (SUSPENSION | {"suspension": {"by": "", "since": 0}},
                                      "suspension.why"),
    "a suspension since ever": (
        SUSPENSION | {"suspension": {"why": "", "by": "", "since": "ever"}}, "suspension.since"),
    "a suspension with more": (
        SUSPENSION | {"suspension": {"why": "", "by": "", "since": 0, "a": 1}}, "suspension.a"),
    "seconds below 0": ({"do": "remove_instance", "instance": "bot", "drain": -1}, "drain"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_a_question_that_is_none_is_refused_by_its_place(name, autojump_clock):
    """And the owner goes on: it answers the next one, and delivers."""
    question, place = WRONG[name]
    question = question if isinstance(question, str) else json.dumps(question)
    outbox, channel = SharedMemory(), FakeChannel()
    async with (
        open_test_gateway(channel, outbox=outbox),
        open_test_gateway(FakeChannel(), outbox=outbox, serve=False) as producer,
    ):
        error = json.loads(json.loads(await outbox.desk.ask("bot", question))["error"])
        assert ("Invalid", place) == (error["kind"], error["problems"][0][0])
        assert (await producer.send("bot", "room", "text")).delivered
    assert ["text"] == channel.texts("room")


async def test_what_breaks_while_a_question_is_answered_stops_there(autojump_clock, monkeypatch):
    """Whoever asked hears of it, and nobody else."""
    outbox, channel = SharedMemory(), FakeChannel()
    async with (
        open_test_gateway(channel, outbox=outbox) as owner,
        open_test_gateway(FakeChannel(), outbox=outbox, serve=False) as producer,
    ):
        monkeypatch.setattr(type(owner._parts.here), "is_of", None)
        answer = json.loads(await outbox.desk.ask("bot", json.dumps({"do": "status", "id": "x"})))
        assert "TypeError" in answer["refused"]
        assert (await producer.send("bot", "room", "text")).delivered


def test_brackets_of_a_text_are_no_lists():
    told = GROWN | {"id": "x", "text": '["{' * 1_000_000}
    assert told == question(json.dumps(told))


async def test_who_may_send_as_one_account_suspends_no_other_one(autojump_clock):
    outbox = SharedMemory()
    async with (
        open_test_gateway(FakeChannel(), outbox=outbox, instances=["bot", "other"]) as owner,
        open_test_gateway(FakeChannel(), outbox=outbox, serve=False),
    ):
        suspension = Suspension(why="mine", since=0.0)
        answer = json.loads(await outbox.desk.ask("bot", suspension_question("other", suspension)))
        assert "not 'other'" in answer["refused"]
        answer = json.loads(await outbox.desk.ask("", suspension_question("other", suspension)))
        assert {"suspended": True} == answer
        found = {it.id: it.suspended for it in owner.statistics().instances}
        assert (None, True) == (found["bot"], "mine" in found["other"])


@pytest.mark.parametrize("do", ["broadcast", "submit_many"])
async def test_no_question_has_the_owner_read_its_own_disk(do, autojump_clock, tmp_path):
    (tmp_path / "secret").write_text("of the owner alone")
    of_disk = to_json(
        Send(
            instance_id="bot",
            external_room_id="room",
            text="text",
            files=[File(tmp_path / "secret")],
        )
    )
    asked = {
        "broadcast": {"do": "broadcast", "template": of_disk, "rooms": ["room"]},
        "submit_many": MANY | {"envelopes": [of_disk]},
    }
    outbox, channel = SharedMemory(), FakeChannel()
    async with (
        open_test_gateway(channel, outbox=outbox),
        open_test_gateway(FakeChannel(), outbox=outbox, serve=False),
    ):
        answer = json.loads(await outbox.desk.ask("bot", json.dumps(asked[do])))
        assert "files.0: give the file's `url`, `id`, or the digest" in answer["refused"]
    assert [] == channel.made
