"""`gateway call` against emulators in memory: what a platform answers, refs, and codes."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest

ROOMS = {"slack": "C024BE91L", "telegram": "77", "discord": "1200000000000000001"}
POSTS = {
    "telegram": ("sendDice", '{"emoji": "🎯"}'),
    "slack": ("chat.postMessage", '{"text": "hi"}'),
    "discord": ("POST /channels/{channel}/messages", '{"content": "hi"}'),
}
WHO = {"telegram": "getMe", "slack": "auth.test", "discord": "GET /users/@me"}


@pytest.mark.parametrize("program", ROOMS, indirect=True)
def test_a_message_that_it_makes_has_a_ref(program):
    room = ROOMS[program.channel]
    code, out, err = program("call", "bot", *POSTS[program.channel], "--room", room, "--json")
    assert (0, []) == (code, err)
    receipt = json.loads(out)
    [message] = program.emulator.rooms.conversation(room)
    assert [message.id] == [part["message_id"] for part in receipt["ref"]["parts"]]
    assert message.id in json.dumps(receipt["result"])
    assert 0 == program("delete", "--ref", out)[0]
    assert [] == program.texts(room)


@pytest.mark.parametrize("program", ROOMS, indirect=True)
def test_one_without_a_room_prints_its_answer(program):
    code, out, err = program("call", "bot", WHO[program.channel])
    line, _, answer = out.partition("\n")
    assert (0, [], True) == (code, err, line.startswith("delivered: "))
    assert {"id", "user_id"} & json.loads(answer).keys()


def test_arguments_come_from_standard_input(program, monkeypatch):
    typed = io.BytesIO('{"text": "grüße"}'.encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=typed))
    room = ROOMS["slack"]
    assert 0 == program("call", "bot", "chat.postMessage", "-", "--room", room)[0]
    assert ["grüße"] == program.texts(room)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("bot", "auth.test", "{"), 2, "gateway: the arguments are not JSON: "),
        (("bot", "auth.test", "[]"), 2, "gateway: the arguments must be a JSON object, not list"),
        (("bot", "no method"), 2, "gateway: method: 'no method' is not a method of the Web API"),
        (("bob", "auth.test"), 2, "gateway: instance_id: there is no instance 'bob'"),
        (("bot",), 2, "requires an argument"),
        (("bot", "pins.add", "{}", "--room", "C0"), 1, "gateway: "),
    ],
)
def test_what_is_not_done_ends_with_a_line_and_a_code(program, arguments, code, line):
    found, out, err = program("call", *arguments)
    assert (code, "", True) == (found, out, any(line in each for each in err))
