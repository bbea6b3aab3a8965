"""The page about the emulators shows a test that passes, and names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.emulators.testing.control import controlled
from gateway_contrib.emulators.testing.emulated import Emulated
from gateway_contrib.emulators.testing.held import Held

PAGE = (Path(__file__).parents[2] / "docs/reference/emulators.md").read_text()
EMULATORS = {"Telegram": TelegramEmulator, "Slack": SlackEmulator, "Discord": DiscordEmulator}


async def test_the_page_s_test_passes(autojump_clock):
    code = re.search(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the page's own
    await names["test_a_question_is_answered_in_its_thread"](autojump_clock)


@pytest.mark.parametrize("platform", EMULATORS)
async def test_the_parts_and_what_people_do_are_there(platform, autojump_clock):
    emulator = EMULATORS[platform]()
    first, *_ = PAGE.split("\n## ")
    parts = re.findall(r"^\| `(\w+)` \|", first, re.MULTILINE)
    assert ["app", "rooms", "screen", "people", "counters", "limited"] == parts
    assert all(hasattr(emulator, part) for part in parts)
    doing = re.search(rf"^\| {platform} \| (.*?) \|", PAGE, re.MULTILINE)[1]
    public = {name for name in vars(type(emulator.people)) if not name.startswith("_")}
    assert set(re.findall(r"`(\w+)`", doing)) == public - {"acknowledge", "listeners", "updates"}


def test_controls_that_the_page_names_are_there():
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    for text in section:
        emulator = EMULATORS.get(text.partition("\n")[0])
        if emulator is not None:
            controls = re.findall(
                r"`((?:break|refuse|remove|serve)_\w+|cdn_url|files_url|share_after|webhook|statuses)\b",
                text,
            )
            assert all(hasattr(emulator, name) for name in controls)


def test_all_that_a_test_of_any_bot_gets_is_named():
    section = PAGE.partition("## In tests of any bot")[2].partition("\n## ")[0]
    public = {name for name in vars(Emulated) if not name.startswith("_")}
    public |= {"app", "base_url", "people", "token", "url"}
    assert set() == {name for name in public if not re.search(rf"`{name}\b", section)}


def test_every_fault_is_named():
    section = PAGE.partition("## Faults")[2].partition("\n## ")[0]
    assert [*Fault] == re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


BODIES = {
    ("POST", "/emulator/failures"): {"fault": "cut"},
    ("POST", "/emulator/people/say"): {"room": "7", "text": "x"},
    ("POST", "/emulator/restart"): {},
}


async def test_the_control_is_the_one_that_is_served(autojump_clock):
    section = PAGE.partition("## Control over HTTP")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(?:(GET|POST|DELETE) )?(/emulator[\w/{}]*)`", section))
    transport = httpx.ASGITransport(controlled(Held("telegram")))
    async with httpx.AsyncClient(transport=transport, base_url="http://there") as client:
        for verb, path in named:
            content = BODIES.get((verb, path))
            answer = await client.request(verb or "GET", path.replace("{room}", "7"), json=content)
            assert answer.is_success, (verb, path, answer.text)
    assert 9 == len(named)
