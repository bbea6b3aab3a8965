"""What an operator sees of an outbox without changing it, and the numbers and names it takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from shutil import copytree

import pytest
import trio
import trio.testing

from gateway_contrib.cli.app import main
from gateway_contrib.cli.outbox.listing import age
from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files.ownership import Owner
from gateway_contrib.sqlite.operators import operating
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import Disposition, ErrorClass, OutboxError, Reason, Send, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

pytestmark = pytest.mark.usefixtures("seldom")

GONE = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, raw="it is gone")
HOUR = 3600.0


async def fill(path):
    """Two failed, twelve delivered; of a hanging room one in flight, two behind; one scheduled."""

    async def script(attempt):
        if attempt.room == "gone":
            raise Failure(GONE)
        if attempt.room == "slow":
            await trio.sleep_forever()

    async def submit(room, text, **more):
        await gateway.submit(Send(instance_id="bot", external_room_id=room, text=text, **more))

    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    settings = {"drain_timeout": 0, "attempt_timeout": 1e6}
    async with open_test_gateway(FakeChannel(script=script), outbox=outbox, **settings) as gateway:
        for text in ("a", "b" * 1_500):
            await gateway.send("bot", "gone", text, raises=False, priority="bulk")
        await trio.sleep(2 * HOUR)
        for number in range(12):
            await gateway.send("bot", "good", str(number))
        for text in ("one", "two", "three"):
            await submit("slow", text, ttl=1e6)
        await submit("later", "x", not_before=virtual_wall() + HOUR, ttl=1e6)
        await trio.sleep(10)
        return virtual_wall()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The folder of an outbox that each test gets a copy of, and the time that it was left at."""
    folder = tmp_path_factory.mktemp("filled")
    clock = trio.testing.MockClock(autojump_threshold=0)
    return folder, trio.run(fill, folder / "outbox.db", clock=clock)


@pytest.fixture
def look(filled, tmp_path, monkeypatch, capsys):
    """`gateway outbox …` two hours and ten seconds after the first was accepted."""
    folder, now = filled
    copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "gateway.toml").write_text(f'outbox = "sqlite://{tmp_path / "outbox.db"}"\n')
    monkeypatch.chdir(tmp_path)
    for module in (
        "cli.outbox.named.time",
        "cli.outbox.looking.time",
        "sqlite.operators.operating.system_time",
    ):
        monkeypatch.setattr(f"gateway_contrib.{module}", lambda: now)
    capsys.readouterr()

    def run(*words):
        code = main(["outbox", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def cells(out):
    """The columns of each line, the id left out."""
    return [[cell for cell in line.split("  ") if cell.strip()][1:] for line in out.splitlines()]


def test_what_failed_is_listed_with_age_class_length_and_cause(look):
    code, out, err = look("list")
    assert (0, "") == (code, err)
    newest, oldest = ([cell.strip() for cell in row] for row in cells(out))
    common = ["rejected", "room_gone", "it is gone"]
    assert ["bot", "gone", "2 h", "bulk", "1,500 characters", *common] == newest
    assert ["bot", "gone", "2 h", "bulk", "1 character", *common] == oldest


@pytest.mark.parametrize(
    ("words", "first"), [((), "newest"), (("--json",), "newest"), (("--waiting",), "oldest")]
)
def test_a_list_that_leaves_some_out_says_so(look, words, first):
    """Beside the list, which may be another program's input."""
    said = f"gateway: the {first} 1 that match are listed; there may be more (--limit)\n"
    code, out, err = look("list", "--limit", "1", *words)
    assert (0, 1, True) == (code, out.count("\n"), err.endswith(said))
    assert "there may be more" not in look("list", *words)[2]


def test_what_waits_is_listed_with_what_the_file_knows_of_its_cause(look):
    _, out, _ = look("list", "--waiting")
    rows = [[cell.strip() for cell in row] for row in cells(out)]
    assert [
        ["bot", "slow", "10 s", "normal", "3 characters", "unfinished", "attempt"],
        ["bot", "slow", "10 s", "normal", "3 characters", "unfinished", "queue"],
        ["bot", "slow", "10 s", "normal", "5 characters", "unfinished", "queue"],
        ["bot", "later", "10 s", "normal", "1 character", "unfinished", "schedule"],
    ] == rows


def test_what_was_scheduled_waits_for_its_account_once_its_time_has_come(filled, monkeypatch):
    folder, now = filled
    lacks = {"accounts": {}, "envelopes": {}}
    with Operator(folder / "outbox.db") as operator:

        def cause(after, told):
            monkeypatch.setattr(operating, "system_time", lambda: now + after)
            return [row["cause"] for row in operator.waiting(Which(room="later"), 9, told)]

        assert ["schedule"] == cause(0.0, lacks)
        assert ["no instance"] == cause(HOUR, lacks)
        assert [""] == cause(HOUR, None)
        assert ["circuit"] == cause(HOUR, lacks | {"accounts": {"bot": "circuit"}})


def test_without_a_gateway_that_is_said(look):
    said = "gateway: no gateway has the outbox open: nothing is sent until one opens it\n"
    assert said == look("list", "--waiting")[2]


def test_one_that_cannot_be_asked_is_not_said_to_give_no_answer(look, monkeypatch):
    def full(*_, **__):
        raise OutboxError("the disk is full")

    monkeypatch.setattr(Operator, "owner", Owner(os.getpid()))
    monkeypatch.setattr(Operator, "ask", full)
    code, out, err = look("stats")
    assert (0, True) == (code, "trouble: unknown\n" in out)
    assert (
        "the gateway cannot be asked, the disk is full: causes that only the gateway knows" in err
    )


@pytest.mark.parametrize("command", ["list", "retry", "discard"])
def test_an_instance_that_is_not_known_is_named(look, command):
    """Nothing at all looks like a night on which all is well."""
    code, _, err = look(command, "--instance", "bott")
    said = "gateway: the outbox has nothing of instance 'bott'; it has: bot\n"
    assert (0, said) == (code, err)
    assert "" == look(command, "--instance", "bot", "--room", "none")[2]


def test_json_has_the_same(look):
    [row, *_] = json.loads(look("list", "--waiting", "--json")[1])
    assert ("attempt", "normal", 3) == (row["cause"], row["class"], row["length"])


def test_the_noisiest_rooms_come_first(look):
    code, out, _ = look("rooms", "--json")
    found = [
        (row["room"], row["waiting"], row["failed"], row["accepted"]) for row in json.loads(out)
    ]
    expected = [("good", 0, 0, 12), ("slow", 3, 0, 3), ("later", 1, 0, 1), ("gone", 0, 2, 0)]
    assert (0, expected) == (code, found)
    _, out, _ = look("rooms", "--limit", "2")
    [good, slow] = [" ".join(line.split()) for line in out.splitlines()]
    assert "bot good 0 waiting 0 failed 12 accepted in 1 h" == good
    assert "bot slow 3 waiting for up to 10 s 0 failed 3 accepted in 1 h" == slow


def test_rooms_are_those_of_an_instance_and_of_the_time_asked_for(look):
    said = "gateway: the outbox has nothing of instance 'other'; it has: bot\n"
    assert (0, "", said) == look("rooms", "--instance", "other")
    rows = json.loads(look("rooms", "--json", "--within", str(3 * HOUR))[1])
    assert {"good": 12, "slow": 3, "later": 1, "gone": 2} == {
        row["room"]: row["accepted"] for row in rows
    }


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("bot", "nowhere"), "the outbox has nothing of room 'nowhere' of instance 'bot'"),
        (("nobody", "good"), "the outbox has nothing of instance 'nobody'; it has: bot"),
    ],
)
def test_nothing_is_erased_of_what_is_not_known(look, place, said):
    code, out, err = look("erase", "--instance", place[0], "--room", place[1])
    assert (2, "", f"gateway: {said}\n") == (code, out, err)
    with Operator(Path("outbox.db")) as operator:
        assert 0 == operator.stats()["asked"]


@pytest.mark.parametrize("room", ["good", "gone", "slow", "later"])
def test_of_every_room_that_is_known_an_erasure_is_asked_for(look, room):
    assert (0, "") == look("erase", "--instance", "bot", "--room", room)[::2]


@pytest.mark.parametrize("command", ["list", "retry", "discard"])
@pytest.mark.parametrize("settled", ["delivered", "superseded", "cancelled"])
def test_what_nobody_tries_again_is_said_not_to_be_there(look, command, settled):
    code, out, err = look(command, "--disposition", settled)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert f"--disposition {settled} matches nothing" in err


def test_each_other_disposition_is_a_filter(look):
    others = set(Disposition) - {"delivered", "superseded", "cancelled"}
    assert [0] * len(others) == [look("list", "--disposition", name)[0] for name in others]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "-1e300"), "'-1e300' is not the id of an envelope"),
        (("retry", "1e300"), "'1e300' is not the id of an envelope"),
        (("show", "f" * 60), "is not the id of an envelope"),
        (("list", "--limit", "9" * 30), "--limit. Must be <= 1000000."),
        (("list", "--age", "-1e300"), "--age. Must be >= 0."),
        (("rooms", "--within", "-1e300"), "--within. Must be > 0."),
        (("list", "--room", "\udc80"), "--room. Is not UTF-8."),
        (("erase", "--instance", "bot", "--room", "\udc80"), "--room. Is not UTF-8."),
    ],
)
def test_odd_numbers_and_names_are_told_in_a_line(look, words, said):
    code, out, err = look(*words)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert said in err


def test_an_id_that_only_begins_like_one_is_not_it(look):
    name = json.loads(look("list", "--json")[1])[0]["id"]
    other = name[:20] + "0" * 10
    assert (2, f"gateway: the outbox does not know {other}\n") == look("show", other)[::2]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (90_000, "1 d")]
)
def test_an_age_has_one_unit(seconds, said):
    assert said == age(seconds)
