"""The audit log: a record of each end and each refusal, of what was sent."""

from __future__ import annotations

import json
import stat

import attrs
import pytest
from pictures import png

from gateway_contrib.policies import AuditLog, Masking
from gateway_core import File, Invalid
from gateway_core.testing import EPOCH, FakeChannel, virtual_wall


async def test_ends_and_refusals_are_recorded(opened, autojump_clock):
    records = []
    policy = AuditLog(records.append, clock=virtual_wall)
    async with opened(FakeChannel(), policy) as gateway:
        receipt = await gateway.send("bot", "r", "hello", key="k", thread="t")
        with pytest.raises(Invalid):
            await gateway.send("bot", "r", " ")
        await gateway.call("bot", "r", "pin", {"a": 1}, priority="urgent")
    ended, refused, called = records
    (part,) = receipt.parts
    about = {"instance": "bot", "room": "r", "thread": "t", "operation": "send", "key": "k"}
    assert (
        about
        | {
            "what": "ended",
            "at": receipt.ended_at,
            "envelope": receipt.envelope_id,
            "disposition": "delivered",
            "reason": "",
            "attempts": 1,
            "messages": [part.message_id],
            "class": "normal",
            "length": 5,
            "digest": ended["digest"],
            "files": [],
        }
        == ended
    )
    assert ("refused", EPOCH, "Invalid", "text: is empty") == tuple(
        refused[name] for name in ("what", "at", "error", "why")
    )
    assert ("call:pin", "urgent", len('{"a": 1}')) == tuple(
        called[name] for name in ("operation", "class", "length")
    )


async def test_texts_are_those_that_were_sent_and_only_if_asked_for(opened, autojump_clock):
    records, bare = [], []
    policies = [AuditLog(records.append, texts=True), AuditLog(bare.append), Masking(["hunter2"])]
    async with opened(FakeChannel(), *policies) as gateway:
        await gateway.send("bot", "r", "it is hunter2")
        with pytest.raises(Invalid):
            await gateway.edit(None, "x")
    assert ["it is [hidden]"] == [record["text"] for record in records]
    assert "text" not in bare[0]
    assert records[0]["digest"] == bare[0]["digest"]


async def test_each_message_of_an_album_and_each_file_is_recorded(opened, autojump_clock):
    class Album(FakeChannel):
        async def _store(self, attempt):
            answer = await super()._store(attempt)
            return attrs.evolve(answer, more=("a", "b")) if attempt.files else answer

    picture = png()
    records, bare = [], []
    policies = [AuditLog(records.append, texts=True), AuditLog(bare.append)]
    pictures = [File(picture, name=f"{number}.png", alt="it") for number in range(3)]
    async with opened(Album(), *policies) as gateway:
        receipt = await gateway.send("bot", "r", "hello", files=pictures)
        with pytest.raises(Invalid):
            await gateway.send("bot", "r", "hello", files=[File("/nowhere/x.png")])
    album, refused = records
    (part,) = receipt.parts
    assert [part.message_id, "a", "b"] == album["messages"]
    file = {"media_type": "image/png", "size": len(picture), "digest": album["files"][0]["digest"]}
    assert [file | {"name": f"{n}.png", "alt": "it"} for n in range(3)] == album["files"]
    assert [file] * 3 == bare[0]["files"]
    assert ["refused", 1] == [refused["what"], len(refused["files"])]


async def test_a_file_gets_a_line_each_and_only_its_owner_reads_it(
    opened, tmp_path, autojump_clock
):
    path = tmp_path / "audit.jsonl"
    for text in ("one", "two\nthree"):
        with AuditLog.to_file(path, texts=True) as log:
            async with opened(FakeChannel(), log) as gateway:
                await gateway.send("bot", "r", text)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert ["one", "two\nthree"] == [record["text"] for record in records]
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        AuditLog.to_file(tmp_path / "nowhere" / "audit.jsonl").__enter__()


async def test_one_that_cannot_write_stops_no_message(opened, autojump_clock):
    def full(_record):
        raise OSError("no space")

    async with opened(FakeChannel(), AuditLog(full)) as gateway:
        assert (await gateway.send("bot", "r", "hello")).delivered
        errors = gateway.statistics().hook_errors
        assert [("fake", "AuditLog", "after_disposition")] == list(errors)
