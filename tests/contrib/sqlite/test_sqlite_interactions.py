"""Answers to interactions in a file: their reply token comes back, and is sealed with the text."""

from __future__ import annotations

import pytest
import trio
from sealed import FIRST, on_disk, words_in

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core.authors import Traits, hookimpl
from gateway_core.testing import FakeChannel, event, open_test_gateway, virtual_wall

TOKEN = "token of zebra-4711"


def opened(path, *keys):
    return SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall, keys=keys)


async def left_waiting(path, *keys):
    """An answer that was accepted as its account was suspended, and what stands on the disk."""
    async with open_test_gateway(
        FakeChannel(), outbox=opened(path, *keys), drain_timeout=0
    ) as gateway:
        gateway.suspend("bot")
        with trio.move_on_after(1):
            await gateway.reply(
                event(asked="command", id="zebra-4711"),
                "done",
                ephemeral=True,
                on_cancel="detach",
            )
        assert 1 == gateway.statistics().unfinished


@pytest.mark.parametrize("keys", [(), (FIRST,)], ids=["plain", "sealed"])
async def test_an_answer_is_given_by_its_token_after_a_restart(tmp_path, keys, autojump_clock):
    path, channel = tmp_path / "outbox.db", FakeChannel()
    await left_waiting(path, *keys)
    async with open_test_gateway(channel, outbox=opened(path, *keys)) as gateway:
        gateway.resume("bot")
        await trio.sleep(1)
    [made] = channel.made
    assert ("answer", True) == (made.attempt.operation, made.attempt.ephemeral)
    assert (TOKEN, 0) == (
        made.attempt.interaction.token.reveal(),
        made.attempt.interaction.answer,
    )


async def test_with_a_key_the_file_does_not_show_the_token(tmp_path, autojump_clock):
    open_one, sealed = tmp_path / "open.db", tmp_path / "sealed.db"
    await left_waiting(open_one)
    await left_waiting(sealed, FIRST)
    assert [TOKEN] == words_in(on_disk(open_one), TOKEN)
    assert [] == words_in(on_disk(sealed), TOKEN)


class Seeing:
    """An observer that remembers what ended."""

    def __init__(self, entries):
        self.entries = entries

    @hookimpl
    def after_disposition(self, envelope):
        self.entries.append(envelope)


async def test_whom_a_text_may_notify_comes_back(tmp_path, autojump_clock):
    path, traits = tmp_path / "outbox.db", Traits(mentions_by_id=True)
    channel = FakeChannel(traits=traits)
    async with open_test_gateway(channel, outbox=opened(path), drain_timeout=0) as gateway:
        gateway.suspend("bot")
        await gateway.enqueue("bot", "room", "hi", mentions=["U1"])
    entries = []
    plugins = [Seeing(entries)]
    async with open_test_gateway(channel, outbox=opened(path), plugins=plugins) as gateway:
        gateway.resume("bot")
        await trio.sleep(1)
    assert [("U1",)] == [entry.mentions for entry in entries]
