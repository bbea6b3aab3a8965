"""A message with nothing in it is refused on each channel, in words that say what it lacks."""

from __future__ import annotations

import pytest

from gateway_core import Send

NOTHING_SEEN = {
    "telegram": ({"protect_content": True}, "has nothing visible"),
    "slack": ({"metadata": {}}, "is empty, and the message has no blocks, attachments or files"),
    "discord": ({"tts": True}, "is empty or only white space, and the message has nothing else"),
}
EMPTY = {"telegram": {"reply_markup": {}}, "slack": {"blocks": []}, "discord": {"embeds": []}}


@pytest.mark.parametrize("text", ["", " \n"])
async def test_it_is_named(world, text, autojump_clock):
    fields = {"instance_id": "bot", "external_room_id": world.room, "text": text}
    extra, words = NOTHING_SEEN[world.name]
    async with world.opened() as gateway:
        assert ["text: is empty"] == [*map(str, gateway.preview(Send(**fields)).problems)]
        for beside in (extra, EMPTY[world.name]):
            [problem] = gateway.preview(Send(**fields, extra=beside)).problems
            assert ("text", True) == (problem.place, problem.text.startswith(words))
