"""What the README says of calls is what the adapter does."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from gateway_plugin_telegram.methods import ROOM_CALLS
from gateway_plugin_telegram.requests import Request, call_request

README = Path(__file__).parents[3] / "plugins/telegram/README.md"
CALLS = README.read_text().partition("## Calls\n")[2]
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", CALLS, re.DOTALL)


@pytest.fixture
def listed():
    """The methods that get a room and a topic, and those that get a room alone."""
    points = re.findall(r"^- (.*?)(?=^- |\n\n)", CALLS, re.MULTILINE | re.DOTALL)[:2]
    return [re.findall(r"`(\w+)`", point.partition(":")[2]) for point in points]


def test_the_methods_that_get_a_room_are_those_of_the_code(listed):
    topics = {method for method, fields in ROOM_CALLS.items() if "message_thread_id" in fields}
    assert [topics, set(ROOM_CALLS) - topics] == [{m.lower() for m in names} for names in listed]
    assert [sorted(names) for names in listed] == listed
    assert {"chat_id"} == frozenset.intersection(*ROOM_CALLS.values())


@pytest.mark.parametrize("point", [0, 1])
def test_each_of_them_is_given_it(attempt, listed, point):
    given = {"chat_id": -100123, "message_thread_id": 4} if point == 0 else {"chat_id": -100123}
    for method in listed[point]:
        assert Request(method, given) == call_request(attempt(f"call:{method}", thread="4"))


async def test_the_example_of_a_call_without_a_chat_names_none(telegram, instance, open_to):
    telegram.answers(200, {"ok": True, "result": True})
    space = {}
    exec(f"async def example(gateway):\n{indent(EXAMPLE, '    ')}", space)  # noqa: S102 - the page's own words
    async with open_to(instance.settings.base_url, telegram, instance) as gateway:
        await space["example"](gateway)
    assert [("setChatMenuButton", {"menu_button": {"type": "commands"}})] == telegram.posted
    assert "setchatmenubutton" in ROOM_CALLS
