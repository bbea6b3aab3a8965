"""Commands beside an application: its outbox, its exporter's port and its requests are its own."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import pytest
import trio

from gateway_contrib.cli.logs import set_up_log
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files.ownership import Ownership
from gateway_contrib.sqlite.operating import Operator
from gateway_core import Send, open_gateway

ROOM = "C024BE91L"
TO = ("--instance", "bot", "--room", ROOM)
KEYED = ("--key", "k", *TO)


def add_setting(text):
    """A line before the first table of `gateway.toml`."""
    file = Path("gateway.toml")
    file.write_text(f"{text}\n{file.read_text()}")


@pytest.fixture
def outbox(program, tmp_path):
    """The application's outbox, named by `gateway.toml`; there is no file yet."""
    path = tmp_path / "outbox.db"
    add_setting(f'outbox = "sqlite://{path}"\ndrain_timeout = 0')
    return path


def application(do):
    """A process run of the application, in which `do` uses its gateway."""

    async def whole():
        file = SqliteOutbox("outbox.db", SqliteSettings(in_thread=False))  # the clock jumps
        async with open_gateway("gateway.toml", outbox=file) as gateway:
            await do(gateway)

    set_up_log(verbose=False, level=logging.CRITICAL)
    trio.run(whole)


async def leave_three(gateway):
    gateway.suspend("bot")
    for number in range(3):
        await gateway.submit(
            Send(instance_id="bot", external_room_id=ROOM, text=f"waits {number}", key=str(number))
        )


async def send_one(gateway):
    await gateway.send("bot", ROOM, "sent", key="k")


def files_of(path):
    """Every file of the outbox, byte by byte."""
    return {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*")}


def unfinished(path):
    with Operator(path) as operator:
        return operator.stats()["unfinished"].get("bot", 0)


def test_a_send_with_a_revoked_token_ends_nothing_of_the_applications(program, outbox, monkeypatch):
    application(leave_three)
    before = files_of(outbox)
    monkeypatch.setenv("BOT_TOKEN", "xoxb-revoked")
    code, out, err = program("send", *TO, "x")
    assert (1, "", True) == (code, out, "ended fatal" in err[-1])
    assert before == files_of(outbox)
    assert 3 == unfinished(outbox)


def test_what_is_sent_from_memory_says_so_and_leaves_the_file_alone(program, outbox):
    application(leave_three)
    before = files_of(outbox)
    code, out, err = program("send", *TO, "x")
    said = f"gateway: sent from memory: what the outbox {outbox} has was left alone"
    assert (0, True, [said]) == (code, out.startswith("delivered"), err)
    assert ["x"] == program.texts(ROOM)
    assert before == files_of(outbox)


def test_no_file_is_made_for_a_command(program, outbox):
    code, _, err = program("send", *TO, "x")
    assert (0, []) == (code, err)
    assert {} == files_of(outbox)


@pytest.mark.parametrize(
    "words",
    [("send", *TO, "x"), ("edit", *KEYED, "x"), ("delete", *KEYED)],
    ids=["send", "edit", "delete"],
)
def test_beside_a_running_owner_nothing_is_sent(program, outbox, words):
    application(send_one)
    owner = Ownership(outbox)
    assert owner.take() is None
    before = files_of(outbox)
    try:
        code, out, err = program(*words)
    finally:
        owner.give_back()
    assert (2, "", 1) == (code, out, len(err))
    assert f"the outbox {outbox} belongs to process " in err[0]
    assert "send through that application" in err[0]
    assert ["sent"] == program.texts(ROOM)
    assert before == files_of(outbox)


def test_an_owner_is_found_by_whatever_name_the_file_has(program, outbox, tmp_path):
    """As the gateway resolves a link, so does who asks for its owner."""
    application(send_one)
    link = tmp_path / "link.db"
    link.symlink_to(outbox)
    Path("gateway.toml").write_text(
        Path("gateway.toml").read_text().replace("/outbox.db", "/link.db")
    )
    owner = Ownership(outbox)
    owner.take()
    try:
        assert 2 == program("send", *TO, "x")[0]
        assert "owner: process " in program("outbox", "stats")[1]
    finally:
        owner.give_back()


def test_a_message_is_edited_and_deleted_by_the_key_that_the_file_remembers(program, outbox):
    application(send_one)
    before = files_of(outbox)
    assert 0 == program("edit", *KEYED, "edited")[0]
    assert ["edited"] == program.texts(ROOM)
    assert 0 == program("delete", *KEYED)[0]
    assert [] == program.texts(ROOM)
    assert before == files_of(outbox)


def test_a_message_that_still_waits_in_the_file_is_its_gateways_to_change(program, outbox):
    application(leave_three)
    code, _, err = program("edit", "--key", "1", *TO, "x")
    assert (2, 1) == (code, len(err))
    assert "waits in the outbox" in err[0]


def test_a_key_that_the_file_knows_is_not_sent_again(program, outbox):
    """The promise of a key, though the command remembers none."""
    application(send_one)
    code, _, err = program("send", *TO, "--key", "k", "sent")
    assert (2, 1) == (code, len(err))
    assert "the outbox knows the key 'k'" in err[0]
    assert "(delivered)" in err[0]
    application(leave_three)
    [line] = program("send", *TO, "--key", "2", "x")[2]
    assert "(unfinished)" in line
    assert ["sent"] == program.texts(ROOM)
    assert 0 == program("send", *TO, "--key", "other", "x")[0]


@pytest.fixture
def scraped(program, tmp_path):
    """A port that the application's exporter has, and `gateway.toml` names."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Path("gateway.toml").open("a") as file:
            file.write(f'[telemetry.export]\nprometheus = "127.0.0.1:{port}"\n')
        yield port


@pytest.mark.usefixtures("scraped")
def test_probes_and_messages_go_out_beside_the_applications_exporter(program):
    assert (0, []) == program("check", "--live")[::2]
    assert (0, []) == program("send", *TO, "x")[::2]


def test_check_live_beside_a_running_owner_asks_the_platform(program, outbox):
    application(send_one)
    owner = Ownership(outbox)
    owner.take()
    try:
        code, out, err = program("check", "--live")
    finally:
        owner.give_back()
    assert (0, True, []) == (code, out.startswith("bot (slack): works"), err)


def test_check_live_without_an_owner_carries_out_no_request(program, outbox):
    application(leave_three)
    [first, *_] = json.loads(program("outbox", "list", "--waiting", "--json")[1])
    assert "asked" in program("outbox", "discard", first["id"])[1]
    before = files_of(outbox)
    assert 0 == program("check", "--live")[0]
    assert before == files_of(outbox)
    assert 3 == unfinished(outbox)
