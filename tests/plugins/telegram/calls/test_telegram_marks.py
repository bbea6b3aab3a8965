"""Reactions and pins as Telegram has them: one a bot, of a list; pins that notify, or do not."""

from __future__ import annotations

import pytest

from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Disposition, Problem, Reason
from gateway_core.authors import Mark, Sign
from gateway_plugin_telegram import hooks
from gateway_plugin_telegram.marks.emoji import REACTIONS


@pytest.mark.parametrize("emoji", sorted(REACTIONS))
def test_every_emoji_of_the_list_is_taken_as_it_is(emoji):
    sign = hooks.mark(Mark(what="react", emoji=emoji))
    reaction = [{"type": "emoji", "emoji": emoji}]
    assert Sign(method="setMessageReaction", arguments={"reaction": reaction}) == sign


@pytest.mark.parametrize(
    ("emoji", "sent"), [("❤️", "❤"), ("❤️‍🔥", "❤‍🔥"), ("🤷‍♀️", "🤷‍♀"), ("☃️", "☃")]
)
def test_variation_selectors_of_keyboards_are_left_out(emoji, sent):
    sign = hooks.mark(Mark(what="react", emoji=emoji))
    assert [{"type": "emoji", "emoji": sent}] == sign.arguments["reaction"]


def test_a_custom_emoji_goes_by_its_id():
    sign = hooks.mark(Mark(what="react", emoji="5368324170671202286"))
    custom = {"type": "custom_emoji", "custom_emoji_id": "5368324170671202286"}
    assert [custom] == sign.arguments["reaction"]


def test_any_other_is_a_problem():
    problem = hooks.mark(Mark(what="unreact", emoji="🦀"))
    text = "'🦀' is not an emoji that bots may react with on Telegram"
    assert Problem("emoji", text) == problem


@pytest.fixture
def opened(open_to, instance):
    return lambda emulator: open_to(instance.settings.base_url, emulator.app, instance)


async def test_a_pin_notifies_unless_it_is_silent(opened, autojump_clock):
    emulator = TelegramEmulator()
    async with opened(emulator) as gateway:
        loud = await gateway.send("support", "-1001234567890", "loud")
        quiet = await gateway.send("support", "-1001234567890", "quiet")
        await gateway.pin(loud.ref)
        await gateway.pin(quiet.ref, silent=True)
    names = [sent.ref.parts[0].message_id for sent in (loud, quiet)]
    assert names == emulator.pins("-1001234567890")
    assert names[:1] == emulator.notified("-1001234567890")


async def test_what_a_move_left_behind_is_not_taken_for_another(opened, autojump_clock):
    """The new group counts its messages anew."""
    emulator = TelegramEmulator()
    async with opened(emulator) as gateway:
        old = await gateway.send("support", "-7", "old")
        new_room = emulator.migrate_room("-7")
        new = await gateway.send("support", "-7", "new")
        gone = await gateway.react(old.ref, "👍", raises=False)
        await gateway.react(new.ref, "👍")
    assert (Disposition.REJECTED, Reason.MESSAGE_GONE) == (gone.disposition, gone.verdict.reason)
    assert 1 == len(emulator.reactions(new_room, new.ref.parts[0].message_id))
