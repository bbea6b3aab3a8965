"""Commands beside an application: its outbox, its exporter's port and its requests are its own."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from sealed import FIRST

from gateway_contrib.cli.app import WRONG
from gateway_contrib.cli.calling import call
from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.logs import set_up_log
from gateway_contrib.cli.sending import Delivery, Named, cancel, delete, edit, send
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files.ownership import Ownership
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import GatewayError, Send, load_outbox, open_gateway

ROOM = "C024BE91L"
TO = ("--instance", "bot", "--room", ROOM)
KEYED = ("--key", "k", *TO)


def add_setting(text):
    """A line before the first table of `gateway.toml`."""
    file = Path("gateway.toml")
    file.write_text(f"{text}\n{file.read_text()}")


@pytest.fixture(params=["plain", "sealed"])
def outbox(program, request, tmp_path):
    """The application's outbox, named by `gateway.toml`; there is no file yet."""
    path, keys = tmp_path / "outbox.db", ""
    if request.param == "sealed":
        (tmp_path / "key").write_text(FIRST.reveal())
        keys = '{ file = "key" }'
    add_setting(f'outbox = {{ url = "sqlite://{path}", keys = [{keys}] }}\ndrain_timeout = 0')
    return path


def keys():
    return load_outbox("gateway.toml").keys


def application(do):
    """A process run of the application, in which `do` uses its gateway."""

    async def whole():
        settings = SqliteSettings(in_thread=False)  # the clock jumps
        file = SqliteOutbox("outbox.db", settings, keys=keys())
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
    with Operator(path, keys()) as operator:
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
    said = f"gateway: sent without the outbox {outbox}: what waits there was left alone"
    assert (0, True, [said]) == (code, out.startswith("delivered"), err)
    assert ["x"] == program.texts(ROOM)
    assert before == files_of(outbox)


def test_no_file_is_made_for_a_command(program, outbox):
    code, _, err = program("send", *TO, "x")
    said = f"gateway: sent without the outbox {outbox}, which a program's gateway makes"
    assert (0, [said]) == (code, err)
    assert {} == files_of(outbox)


@pytest.fixture
def said(capsys):
    """What a command says that runs beside the application's gateway: its lines, or why it ended"""

    async def run(command, *words, **options):
        capsys.readouterr()
        try:
            await command(*words, **options)
        except Ended as ended:
            return ended.code, str(ended)
        except GatewayError as error:  # as the program says it
            return WRONG, str(error)
        captured = capsys.readouterr()
        return 0, captured.out.strip() or captured.err

    return run


def test_a_running_gateway_is_asked_to_send_edit_and_delete(program, outbox, said):
    """Its rooms keep their order: what waits before it goes first."""
    seen = []

    async def use(gateway):
        gateway.suspend("bot")
        await gateway.enqueue("bot", ROOM, "before")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_beside)
            await trio.sleep(5)
            gateway.resume("bot")
        seen.append(await said(edit, "changed", named=Named(key="k", instance="bot", room=ROOM)))
        seen.append(program.texts(ROOM))
        seen.append(await said(delete, named=Named(key="k", instance="bot", room=ROOM)))
        assert 4 == gateway.statistics().accepted

    async def send_beside():
        seen.append(await said(send, "beside", instance="bot", room=ROOM, key="k"))

    application(use)
    assert [0, 0, 0] == [seen[index][0] for index in (0, 1, 3)]
    assert all(f"delivered to {ROOM}" in seen[index][1] for index in (0, 1, 3))
    assert ["before", "changed"] == seen[2]
    assert ["before"] == program.texts(ROOM)


def test_who_asked_is_told_how_it_ended(program, outbox, said):
    seen = {}

    async def use(gateway):
        seen["unknown"] = await said(send, "x", instance="nobody", room=ROOM)
        seen["key"] = await said(edit, "x", named=Named(key="none", instance="bot", room=ROOM))
        gateway.suspend("bot")
        seen["late"] = await said(send, "x", instance="bot", room=ROOM, delivery=Delivery(ttl=30.0))

    application(use)
    code, why = seen["unknown"]
    assert (2, True) == (code, "there is no instance 'nobody'; configured: bot" in why)
    code, why = seen["key"]
    assert (1, True) == (code, "ended rejected" in why)
    code, why = seen["late"]  # on a clock that jumps no deadline passes
    assert (1, True) == (code, "has not ended yet; to see how it ends: gateway outbox show" in why)
    with Operator(outbox, keys()) as operator:
        assert 0 == operator.stats()["asked"]


def test_what_waits_is_cancelled_by_its_id(program, outbox, said):
    seen = {}

    async def use(gateway):
        done = await gateway.send("bot", ROOM, "sent")
        gateway.suspend("bot")
        waits = await gateway.enqueue("bot", ROOM, "waits")
        seen["waits"] = await said(cancel, waits.id)
        assert "cancelled" == (await waits.receipt()).disposition
        seen["done"] = await said(cancel, done.envelope_id)
        seen["strange"] = await said(cancel, "0" * 30)
        seen["ids"] = (waits.id, done.envelope_id)

    application(use)
    waits, done = seen["ids"]
    assert (0, f"{waits}: cancelled") == seen["waits"]
    assert (1, "nothing was cancelled") == seen["done"]
    assert (2, f"the outbox does not know {'0' * 30}") == seen["strange"]
    code, _, err = program("cancel", done)
    assert (2, True) == (code, "no gateway has the outbox open" in err[0])


def test_a_gateway_that_goes_leaves_the_request_to_the_next_one(program, outbox, said):
    """It does not look at once, and the command says that it has no answer."""

    async def nothing(_gateway):
        pass

    async def nobody():
        owner = Ownership(outbox)
        assert owner.take() is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(2)
            owner.give_back()

    async def ask():
        seen.append(await said(send, "asked", instance="bot", room=ROOM, key="k"))

    async def use(gateway):
        await trio.sleep(10)
        assert 1 == gateway.statistics().accepted

    seen = []
    application(nothing)
    trio.run(nobody)
    assert [(1, True)] == [(code, "stopped before it answered" in why) for code, why in seen]
    for words in (("send", *KEYED, "again"), ("edit", *KEYED, "x"), ("delete", *KEYED)):
        code, _, err = program(*words)
        assert (2, True) == (code, "with the key 'k' already waits in the outbox" in err[0])
    application(use)
    assert ["asked"] == program.texts(ROOM)


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
    assert "in the outbox already has the key 'k'" in err[0]
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


def test_a_running_gateway_is_asked_to_call(program, outbox, said):
    """What the platform answers is read where the gateway wrote it."""
    seen = []

    async def use(gateway):
        arguments = '{"text": "hi"}'
        seen.append(await said(call, "bot", "chat.postMessage", arguments, room=ROOM))
        assert 1 == gateway.statistics().accepted

    application(use)
    [[code, out]] = seen
    assert (0, True, True) == (code, out.startswith(f"delivered to {ROOM}: "), '"ts"' in out)
    assert ["hi"] == program.texts(ROOM)


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
    assert "requested" in program("outbox", "discard", first["id"])[1]
    before = files_of(outbox)
    assert 0 == program("check", "--live")[0]
    assert before == files_of(outbox)
    assert 3 == unfinished(outbox)
