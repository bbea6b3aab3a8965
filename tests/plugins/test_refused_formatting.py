"""A platform refuses a part's formatting or length: that part alone is planned again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway_contrib.policies import Footer
from gateway_core import Disposition

REFUSED = {
    "telegram": (
        400,
        {"ok": False, "error_code": 400, "description": "Bad Request: can't parse entities: no"},
    ),
    "slack": (200, {"ok": False, "error": "invalid_blocks"}),
}
TOO_LONG = {
    "telegram": (
        400,
        {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"},
    ),
    "slack": (200, {"ok": False, "error": "msg_too_long"}),
    "discord": (
        400,
        {
            "code": 50035,
            "message": "Invalid Form Body",
            "errors": {"content": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "x"}]}},
        },
    ),
}
FLOOD = {
    "telegram": (
        429,
        {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: can't parse entities",
            "parameters": {"retry_after": 3},
        },
    ),
    "slack": (429, {"ok": False, "error": "ratelimited"}),
}
STEPS = {"telegram": ("plain",), "slack": ("stricter", "plain")}
"""What is tried in turn: Slack may mean the size of the blocks, too."""

FORMATS = pytest.mark.parametrize("world", list(REFUSED), indirect=True)

FIRST = f"**first{'x' * 145}**"
SECOND = "**second** [here](https://x.example/a) " + "x" * 70
THIRD = f"**third{'x' * 145}**"
LONG = "**third** " + "words " * 28 + "**end**"
SOURCE = f"{FIRST}\n\n{SECOND}\n\n{THIRD}"


def styled(fields: Mapping[str, Any]) -> bool:
    """Whether a request has formatting beside its text."""
    return bool(fields.get("entities") or fields.get("blocks"))


def refuse(world, word: str, answer: tuple, *, most: int = 99) -> None:
    """Answer so whenever formatting comes with that word, at most so often."""
    left = [most]

    def answers(_method: str, fields: Mapping[str, Any]) -> tuple | None:
        if left[0] and word in fields.get("text", "") and styled(fields):
            left[0] -= 1
            return answer
        return None

    world.front.answers = answers


def looks(world) -> list[bool]:
    """Whether each message of the room is styled, by the last request that made it so."""
    latest = {}
    for _, fields in world.front.posted:
        for index, message in enumerate(world.messages()):
            if message.text.strip() and message.text.split()[0].strip("*") in fields.get(
                "text", ""
            ):
                latest[index] = styled(fields)
    return [latest[index] for index in sorted(latest)]


@FORMATS
async def test_the_refused_part_alone_is_sent_as_its_source(world, autojump_clock):
    refuse(world, "second", REFUSED[world.name])
    async with world.opened() as gateway:
        receipt = await gateway.send("bot", world.room, SOURCE)
    first, second, third = world.texts()
    assert (FIRST.replace("*", ""), SECOND, THIRD.replace("*", "")) == (first, second, third)
    assert [True, False, True] == looks(world)
    assert (STEPS[world.name],) * 2 == (receipt.transforms, receipt.degradations)
    assert (0, len(SOURCE)) == (receipt.parts[0].span[0], receipt.parts[-1].span[1])
    assert [(), ("formatting",), ()] == [part.degraded for part in receipt.parts]
    start, end = receipt.parts[1].span
    assert SECOND == SOURCE[start:end].strip()


@FORMATS
async def test_an_edit_is_planned_again_likewise(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, SOURCE.replace("second", "former"))
        refuse(world, "second", REFUSED[world.name])
        receipt = await gateway.edit(sent.ref, SOURCE)
    assert SECOND == world.texts()[1]
    assert (3, 1, 0) == world.counts()
    assert STEPS[world.name] == receipt.degradations


@FORMATS
async def test_nothing_is_cut_off_where_the_source_is_longer_than_what_is_seen(
    world, autojump_clock
):
    """One part with formatting; as its source it takes several, and all of it arrives."""
    links = " ".join(f"[word{n}](https://x.example/a/long/way/to/{n})" for n in range(12))
    refuse(world, "word0", REFUSED[world.name])
    async with world.opened() as gateway:
        receipt = await gateway.send("bot", world.room, links)
    assert len(world.texts()) > 1
    assert links.split() == " ".join(world.texts()).split()
    spans = [part.span for part in receipt.parts]
    assert links.split() == " ".join(links[start:end] for start, end in spans).split()


@FORMATS
@pytest.mark.parametrize("word", ["first", "second", "robot"])
async def test_a_footer_stands_there_once_whichever_part_is_refused(world, word, autojump_clock):
    """And once again where an edit is refused."""
    footer = "**a robot** wrote this"
    refuse(world, word, REFUSED[world.name])
    async with world.opened(policies=[Footer(footer)]) as gateway:
        sent = await gateway.send("bot", world.room, SOURCE)
        assert sent.degradations == STEPS[world.name]
        refuse(world, "robot", REFUSED[world.name])
        seen = "\n".join(world.texts())
        assert 1 == seen.count("wrote this")
        assert seen.endswith("wrote this")
        await gateway.edit(sent.ref, SOURCE.replace("second", "former"))
    seen = "\n".join(world.texts())
    assert 1 == seen.count("wrote this")
    assert seen.endswith("wrote this")


@FORMATS
async def test_a_flood_wait_is_no_refusal(world, autojump_clock):
    """Whatever words come with it: the same part is sent again as it was."""
    refuse(world, "second", FLOOD[world.name], most=2)
    async with world.opened() as gateway:
        receipt = await gateway.send("bot", world.room, SOURCE)
    assert SECOND.partition(" [")[0].strip("*") in world.texts()[1]
    assert [True, True, True] == looks(world)
    assert ((), ()) == (receipt.transforms, receipt.degradations)


@FORMATS
async def test_a_platform_that_refuses_plain_texts_too_ends_it(world, autojump_clock):
    """After a second refusal nothing is left to try, and nothing was sent in part."""
    world.front.answers = lambda _method, fields: (
        REFUSED[world.name] if "second" in fields.get("text", "") else None
    )
    async with world.opened() as gateway:
        receipt = await gateway.send("bot", world.room, SECOND, raises=False)
    assert (Disposition.REJECTED, []) == (receipt.disposition, world.texts())


async def test_a_part_that_was_called_too_long_keeps_its_look(world, autojump_clock):
    """Elsewhere it is cut smaller; Telegram's stricter measure counts the same of this text."""
    left = [1]

    def answers(_method: str, fields: Mapping[str, Any]) -> tuple | None:
        if "third" in (fields.get("text") or fields.get("content") or "") and left[0]:
            left[0] -= 1
            return TOO_LONG[world.name]
        return None

    world.front.answers = answers
    async with world.opened() as gateway:
        receipt = await gateway.send("bot", world.room, f"{FIRST}\n\n{LONG}")
    seen = world.texts()
    assert {"telegram": 2}.get(world.name, 3) == len(seen)
    assert f"{FIRST}\n\n{LONG}".replace("*", "").split() == " ".join(seen).split()
    assert ("stricter",) == receipt.degradations


@pytest.mark.parametrize("world", ["telegram"], indirect=True)
async def test_no_address_of_ours_is_refused(world, autojump_clock):
    """The platform refuses a message for one link to no host; it is written out instead."""
    async with world.opened() as gateway:
        receipt = await gateway.send("bot", world.room, "[here](http://localhost:8080) **b**")
    assert (["here (http://localhost:8080) b"], ()) == (world.texts(), receipt.transforms)
    assert ("link written out",) == receipt.parts[0].degraded
