"""`gateway broadcast` and `gateway group`: from memory, and beside the application's gateway."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import trio
from pictures import png
from sealed import FIRST

from gateway_contrib.cli.app import WRONG
from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.groups.broadcasting import Doing, When, broadcast
from gateway_contrib.cli.groups.holding import cancel, pause, resume, retry
from gateway_contrib.cli.logs import set_up_log
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import Disposition, GatewayError, load_outbox, open_gateway

ROOMS = [f"C024BE9{n:02}" for n in range(30)]
NEWS = ("broadcast", "--instance", "bot", "--rooms", "rooms.txt")


@pytest.fixture(autouse=True)
def files(program, tmp_path):
    """The rooms and the text, as people have them."""
    (tmp_path / "rooms.txt").write_text("\n".join(ROOMS) + "\n\n")
    (tmp_path / "text.md").write_text("**News** of June\n")


def texts(program):
    """What stands in the rooms."""
    return [text for room in ROOMS for text in program.texts(room)]


def test_a_file_of_rooms_gets_a_file_s_text(program):
    code, out, err = program(*NEWS, "--file", "text.md")
    assert (0, True) == (code, out.endswith(": 30 of 30 rooms: 30 delivered\n"))
    assert ["gateway: 30 of 30 rooms: 30 delivered"] == err[-1:]
    assert 30 == len(texts(program))


@pytest.mark.parametrize("program", ["telegram"], indirect=True)
def test_a_picture_goes_to_each_room(program, tmp_path):
    (tmp_path / "cat.png").write_bytes(png())
    (tmp_path / "rooms.txt").write_text("1\n2\n3\n")
    code, _, err = program(*NEWS, "--file-attach", "cat.png", "--caption", "**News**")
    assert (0, "gateway: 3 of 3 rooms: 3 delivered") == (code, err[-1])
    seen = [message for room in "123" for message in program.emulator.rooms.conversation(room)]
    assert [("News", ["cat.png"])] * 3 == [
        (each.text, [file.name for file in each.files]) for each in seen
    ]
    code, _, err = program(*NEWS, "--file-attach", "no.png")
    assert (2, True) == (code, "no.png' cannot be read" in err[-1])


def test_it_says_as_json_how_it_ended(program):
    code, out, _ = program(*NEWS, "--json", "news")
    told = json.loads(out)
    assert (0, 30, {"delivered": 30}) == (code, told["members"], told["counts"])


def limit_posts():
    """Ten of them a minute."""
    with Path("gateway.toml").open("a") as file:
        file.write("posts_per_minute = 10\n")


def test_a_dry_run_says_what_it_costs_and_sends_nothing(program):
    assert "no limit of the account is known" in program(*NEWS, "--dry-run", "news")[1]
    limit_posts()
    code, out, err = program(*NEWS, "--dry-run", "--file", "text.md")
    assert (0, []) == (code, err)
    lines = out.splitlines()
    assert "30 rooms, 30 messages" == lines[0]
    assert "at least 120 s at 0.167 per second (limit chat.postMessage)" == lines[1]
    assert ["-- part 1", "**News** of June"] == lines[2:4]
    assert [] == texts(program)
    told = json.loads(program(*NEWS, "--dry-run", "--json", "news")[1])
    assert (30, 30, False) == (told["members"], told["attempts"], told["too_long"])


def test_a_dry_run_of_what_cannot_end_in_time_is_exit_code_2(program):
    limit_posts()
    code, _, err = program(*NEWS, "--dry-run", "--ttl", "100", "news")
    assert (2, True) == (code, "it would be refused" in err[0])
    code, _, err = program(*NEWS, "--ttl", "100", "news")
    assert (2, True) == (code, "give it a longer ttl" in err[0])


def test_rooms_that_are_gone_are_named_with_why(program):
    program.emulator.remove_room(ROOMS[3])
    code, out, err = program(*NEWS, "news")
    assert (1, "gateway: 1 of 30 rooms did not get it") == (code, err[-1])
    assert f"{ROOMS[3]}: rejected: " in out
    assert "channel_not_found" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((*NEWS,), "give either a TEXT or --file"),
        ((*NEWS[:-1], "nowhere", "x"), "nowhere: No such file or directory"),
        ((*NEWS[:-1], "-", "--file", "-"), "cannot both be read from standard input"),
        ((*NEWS, "--not-before", "soon", "x"), "'soon' is not a time, such as"),
        ((*NEWS[:2], "nobody", *NEWS[3:], "x"), "there is no instance 'nobody'"),
        ((*NEWS, "--detach", "x"), "--detach needs a gateway"),
        ((*NEWS, ""), "text: is empty"),
        (("group", "list"), "names no outbox in a file"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(program, arguments, line):
    code, out, err = program(*arguments)
    assert (2, "", True) == (code, out, line in err[-1]), err


def test_a_wrong_room_is_named_by_its_line_and_nobody_gets_it(program, tmp_path):
    (tmp_path / "rooms.txt").write_text("\n".join([*ROOMS, "a room"]))
    code, _, err = program(*NEWS, "news")
    words = "'a room' is neither a Slack id (C…, G…, D…, U…) nor a #name"
    assert (2, f"gateway: rooms.30: {words}") == (code, err[-1])
    assert [] == texts(program)
    (tmp_path / "rooms.txt").write_text("\n")
    assert "names no room" in program(*NEWS, "news")[2][-1]
    (tmp_path / "rooms.txt").write_bytes(b"\xff")
    assert "is not UTF-8 at byte 0" in program(*NEWS, "news")[2][-1]


@pytest.fixture(params=["plain", "sealed"])
def outbox(program, request, tmp_path):
    """The application's outbox, named by `gateway.toml`."""
    path, keys = tmp_path / "outbox.db", ""
    if request.param == "sealed":
        (tmp_path / "key").write_text(FIRST.reveal())
        keys = '{ file = "key" }'
    file = Path("gateway.toml")
    settings = f'outbox = {{ url = "sqlite://{path}", keys = [{keys}] }}\ndrain_timeout = 0'
    file.write_text(f"{settings}\n{file.read_text()}")
    return path


def application(do):
    """A process run of the application, in which `do` uses its gateway."""

    async def whole():
        keys = load_outbox("gateway.toml").keys
        file = SqliteOutbox("outbox.db", SqliteSettings(in_thread=False), keys=keys)
        async with open_gateway("gateway.toml", outbox=file) as gateway:
            await do(gateway)

    set_up_log(verbose=False, level=logging.CRITICAL)
    trio.run(whole)


@pytest.fixture
def said(capsys):
    """What a command says beside the application's gateway: its code and its lines."""

    async def run(command, *words, **options):
        capsys.readouterr()
        try:
            await command(*words, **options)
        except Ended as ended:
            return ended.code, str(ended)
        except GatewayError as error:  # as the program says it
            return WRONG, str(error)
        return 0, capsys.readouterr().out.strip()

    return run


def test_a_running_gateway_is_asked_and_its_groups_are_held(program, outbox, said):
    seen = {}

    async def use(gateway):
        to = {"instance": "bot", "rooms": "rooms.txt"}
        doing, when = Doing(detach=True, json=True), When(key="june")
        code, out = await said(broadcast, "news", **to, when=when, doing=doing)
        name = json.loads(out)["group"]
        seen["accepted"] = code
        seen["pause"] = await said(pause, name)
        held = len(texts(program))
        await trio.sleep(30)
        assert len(texts(program)) <= held + 3
        seen["conflict"] = await said(broadcast, "other", **to, when=when, doing=doing)
        seen["resume"] = await said(resume, name)
        seen["whole"] = await said(broadcast, "news", **to, when=when)
        seen["retry"] = await said(retry, name)
        seen["strange"] = await said(pause, "0" * 30)
        seen["no id"] = await said(pause, "june")
        other = await gateway.broadcast("bot", ROOMS, "later", not_before=4e9)
        seen["cancel"] = await said(cancel, other.id)
        seen["names"] = name, other.id

    application(use)
    name, other = seen["names"]
    assert 0 == seen["accepted"]
    assert seen["pause"][1].startswith(f"{name}: paused; ")
    assert seen["resume"][1].startswith(f"{name}: goes on; ")
    assert (2, True) == (seen["conflict"][0], "used for another payload" in seen["conflict"][1])
    assert (0, f"group {name}: 30 of 30 rooms: 30 delivered") == seen["whole"]
    assert (0, f"{name}: 0 tried again; 30 of 30 rooms: 30 delivered") == seen["retry"]
    assert (2, f"the outbox does not know group {'0' * 30}") == seen["strange"]
    text = "'june' is not the id of a group: `gateway group list` shows the ids"
    assert (2, text) == seen["no id"]
    assert (0, f"{other}: cancelled; 30 of 30 rooms: 30 cancelled") == seen["cancel"]
    assert ["news"] * 30 == texts(program)
    code, out, err = program("group", "list")
    assert (0, []) == (code, err)
    assert [
        f"{name}  bot  ended  30 of 30 rooms: 30 delivered (key june)",
        f"{other}  bot  cancelled  30 of 30 rooms: 30 cancelled",
    ] == out.splitlines()
    assert ["ended", "cancelled"] == [
        json.loads(program("group", "show", each, "--json")[1])["counts"] and word
        for each, word in ((name, "ended"), (other, "cancelled"))
    ]
    assert "text: news" in program("group", "show", name)[1]
    assert (0, "there are no groups\n", []) == program("group", "list", "--instance", "other")
    code, _, err = program(*NEWS, "--key", "june", "news")
    said = f"nothing was sent: group {name} in the outbox already has the key 'june'"
    assert (2, [f"gateway: {said}"]) == (code, err)


def test_without_a_gateway_what_is_asked_is_done_by_the_next(program, outbox):
    name = []

    async def begin(gateway):
        gateway.suspend("bot")
        name.append((await gateway.broadcast("bot", ROOMS, "news")).id)

    application(begin)
    code, out, err = program("group", "cancel", *name)
    said = "requested: the next gateway that opens the outbox does it\n"
    assert (0, said, []) == (code, out, err)

    async def go_on(gateway):
        job = await gateway.group(*name)
        assert {Disposition.CANCELLED: 30} == dict((await job.wait()).counts)

    application(go_on)
    assert [] == texts(program)
    with Operator(outbox, load_outbox("gateway.toml").keys) as operator:
        assert 0 == operator.stats()["asked"]
