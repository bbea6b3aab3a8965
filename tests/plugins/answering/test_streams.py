"""Streams on each channel's own adapter and its emulated platform."""

from __future__ import annotations

from random import Random

import pytest
import trio

ANSWERS = {
    "prose": "The answer is **42**, as *everybody* knows: [see](https://example.org/42).",
    "code": "Like this:\n\n```py\nfor x in range(3):\n    print(x)\n```\n\nthat is `all` of it.",
    "table": "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\nTwo rows.",
    "list": "1. one\n2. two **bold\n   still** two\n3. three\n\n> quoted\n> on\n\n- [x] done\n",
    "long": "\n\n".join(
        f"## Part {n}\n\n" + " ".join(f"word{n}.{m} and *some* `more`" for m in range(20))
        for n in range(3)
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_whole_text_stands_as_if_it_had_been_sent_at_once(world, answer, autojump_clock):
    """Whatever was shown on the way, and wherever the model paused."""
    text, rng = ANSWERS[answer], Random(answer)
    async with world.opened() as gateway:
        async with gateway.stream(("bot", world.room)) as out:
            at = 0
            while at < len(text):
                upto = at + rng.randint(1, 40)
                out.write(text[at:upto])
                at = upto
                await trio.sleep(rng.choice([0.02, 0.2, 1.0]))
        streamed = world.texts()
        assert out.receipt is not None
        assert out.receipt.delivered
        sent = await gateway.send("bot", world.room, text)
        assert len(sent.parts) == len(out.receipt.parts)
    assert world.texts() == streamed * 2
    assert world.emulator.counters["rate_limited"] == 0


async def test_each_state_on_the_way_is_one_that_the_platform_takes(world, autojump_clock):
    """No request is refused, however a text breaks off: Markdown that is open is healed."""
    text = "\n\n".join([ANSWERS[name] for name in ("prose", "code", "table", "list")])
    async with world.opened() as gateway, gateway.stream(("bot", world.room)) as out:
        for at in range(0, len(text), 7):
            out.write(text[at : at + 7])
            await trio.sleep(0.5)
        await out.finish(text)
        stored, edited, _ = world.counts()
        assert out.receipt is not None
        posted = [method for method, _ in world.front.posted]
        drafts = sum(method.endswith("/sendMessageDraft") for method in posted)
        typed = sum(method.endswith(("/typing", "/sendChatAction")) for method in posted)
        assert stored + edited + drafts + typed == len(posted)
        assert edited + drafts > stored


async def test_buttons_come_with_the_end(world, autojump_clock):
    async with world.opened() as gateway, gateway.stream(("bot", world.room)) as out:
        out.write("word " * 100)
        await trio.sleep(5)
        assert set(world.buttons()) == {""}
        await out.finish(extra=world.channel.buttons("more"))
    assert world.buttons() == [*[""] * (len(world.messages()) - 1), "more"]
