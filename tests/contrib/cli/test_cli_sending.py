"""`gateway send`, `edit` and `delete` against emulators in memory: what people see, and codes."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
from pictures import png

from gateway_contrib.emulators.faults import FaultPlan, Said

ROOMS = {"slack": "C024BE91L", "telegram": "77", "discord": "1200000000000000001"}
ROOM = ROOMS["slack"]
TO = ("--instance", "bot", "--room", ROOM)

FAR = 200_000
"""Levels that no Python's parser of JSON enters: 3.13's goes 10,000 deep."""

DEEP = 5_000
"""Levels that some Pythons' parsers enter and others do not."""


def typed(monkeypatch, content: bytes):
    """Standard input with this content."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


@pytest.mark.parametrize("program", ROOMS, indirect=True)
def test_a_message_is_sent_edited_by_what_send_printed_and_taken_back(program):
    room = ROOMS[program.channel]
    code, out, err = program("send", "--instance", "bot", "--room", room, "--json", "first")
    assert (0, []) == (code, err)
    receipt = json.loads(out)
    assert "delivered" == receipt["disposition"]
    assert (0, ["first"]) == (code, program.texts(room))
    code, out, err = program("edit", "--ref", json.dumps(receipt["ref"]), "second")
    assert (0, []) == (code, err)
    assert out.startswith(f"delivered to {room}: ")
    assert ["second"] == program.texts(room)
    assert 0 == program("delete", "--ref", json.dumps(receipt))[0]
    assert [] == program.texts(room)


def test_the_line_of_a_message_in_parts_tells_their_ids(program):
    code, out, err = program("send", *TO, "word " * 2_000)
    ids = [message.id for message in program.emulator.rooms.conversation(ROOM)]
    assert (0, []) == (code, err)
    assert f"delivered to {ROOM}: {', '.join(ids)} (3 messages)\n" == out


def test_a_text_comes_from_a_file_or_from_standard_input(program, tmp_path, monkeypatch):
    (tmp_path / "text.md").write_text("grüße\n", encoding="utf-8")
    assert 0 == program("send", *TO, "--file", "text.md")[0]
    typed(monkeypatch, "שלום".encode())
    assert 0 == program("send", *TO, "--file", "-")[0]
    assert ["grüße", "שלום"] == [text.strip() for text in program.texts(ROOM)]


def test_thread_reply_format_and_key_reach_the_platform(program):
    thread = json.loads(program("send", *TO, "--json", "root")[1])["parts"][0]["message_id"]
    options = ("--thread", thread, "--format", "markdown", "--key", "k1")
    assert 0 == program("send", *TO, *options, "**bold**")[0]
    [_, answer] = program.emulator.rooms.conversation(ROOM)
    assert (thread, "bold") == (answer.thread, answer.text)


@pytest.mark.parametrize("url", ["https://cdn.example.com/june.pdf", "http://127.0.0.1/a.png"])
def test_a_url_is_no_file_to_attach(program, url):
    code, out, err = program("send", *TO, "--file-attach", url, "--caption", "June")
    assert (2, "") == (code, out)
    assert ["gateway: --file-attach takes the path of a file; a program can send a URL"] == err


@pytest.mark.parametrize("program", ["telegram", "discord"], indirect=True)
def test_files_go_with_a_caption_or_without(program, tmp_path):
    (tmp_path / "cat.png").write_bytes(png())
    (tmp_path / "list.csv").write_text("1,2")
    to = ("--instance", "bot", "--room", ROOMS[program.channel])
    code, out, err = program("send", *to, "--file-attach", "cat.png", "--caption", "**A cat**")
    assert (0, []) == (code, err), out
    assert 0 == program("send", *to, "--file-attach", "list.csv")[0]
    messages = program.emulator.rooms.conversation(ROOMS[program.channel])
    assert [("A cat", ["cat.png"]), ("", ["list.csv"])] == [
        (each.text, [file.name for file in each.files]) for each in messages
    ]


@pytest.mark.parametrize("program", ["telegram"], indirect=True)
def test_the_line_of_an_album_tells_each_message(program, tmp_path):
    (tmp_path / "cat.png").write_bytes(png())
    (tmp_path / "dog.png").write_bytes(png(9))
    (tmp_path / "list.pdf").write_bytes(b"%PDF-1.4\n%%EOF\n")
    named = [("--file-attach", name) for name in ("cat.png", "dog.png", "list.pdf")]
    room = ROOMS["telegram"]
    code, out, err = program("send", "--instance", "bot", "--room", room, *sum(named, ()))
    ids = [message.id for message in program.emulator.rooms.conversation(room)]
    assert (0, []) == (code, err)
    assert f"delivered to {room}: {', '.join(ids)} (3 messages)\n" == out


@pytest.mark.parametrize("program", ["telegram"], indirect=True)
def test_what_is_no_photo_goes_as_a_document(program, tmp_path):
    """The error advises the option."""
    (tmp_path / "narrow.png").write_bytes(png(210, 10))
    to = ("--instance", "bot", "--room", ROOMS["telegram"], "--file-attach", "narrow.png")
    code, _, err = program("send", *to)
    assert (2, True) == (code, "set as_document" in err[-1])
    code, out, err = program("send", *to, "--as-document")
    assert (0, []) == (code, err), out
    [message] = program.emulator.rooms.conversation(ROOMS["telegram"])
    assert ["narrow.png"] == [file.name for file in message.files]


@pytest.mark.parametrize("program", ["telegram"], indirect=True)
def test_the_text_of_a_refused_file_goes_alone_if_so_wanted(program, tmp_path):
    (tmp_path / "cat.png").write_bytes(png())
    room, words = ROOMS["telegram"], "Bad Request: IMAGE_PROCESS_FAILED"
    said = Said(status=400, body={"ok": False, "error_code": 400, "description": words})
    program.emulator.faults = FaultPlan(script={0: said})
    to = ("--instance", "bot", "--room", room, "--file-attach", "cat.png", "--caption", "a cat")
    code, out, err = program("send", *to, "--on-file-error", "send_text")
    assert (0, []) == (code, err), out
    assert ["a cat"] == program.texts(room)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--caption", "x"), "--caption needs --file-attach, and no other text"),
        (("--file-attach", "no.png"), "files.0: "),
    ],
)
def test_a_file_that_cannot_be_sent_is_named(program, arguments, line):
    code, _, err = program("send", *TO, *arguments)
    assert (2, True) == (code, any(line in each for each in err))


def test_a_ref_is_read_from_standard_input(program, monkeypatch):
    receipt = program("send", *TO, "--json", "first")[1]
    typed(monkeypatch, receipt.encode())
    assert 0 == program("edit", "--ref", "-", "second")[0]
    assert ["second"] == program.texts(ROOM)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("send", *TO, "--file", "-"), "--file"),
        (("edit", "--ref", "-", "x"), "--ref"),
        (("call", "bot", "users.list", "-"), "ARGUMENTS"),
    ],
)
def test_standard_input_that_is_no_text_is_said(program, monkeypatch, arguments, option):
    typed(monkeypatch, b"a\xff")
    said = f"gateway: {option} -: is not UTF-8 at byte 1"
    assert (2, "", [said]) == program(*arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("send", *TO), "gateway: give either a TEXT or --file"),
        (("send", *TO, "x", "--file", "-"), "gateway: give either a TEXT or --file"),
        (("send", *TO, ""), "gateway: text: is empty"),
        (("send", *TO, "a\x00b"), "gateway: text: has a lone surrogate or NUL"),
        (("send", *TO, "a\udc80b"), "gateway: text: has a lone surrogate or NUL"),
        (("send", *TO, "--file", "nowhere"), "gateway: nowhere: No such file or directory"),
        (
            ("send", "--instance", "nobody", "--room", ROOM, "x"),
            "gateway: instance_id: there is no instance 'nobody'; configured: bot",
        ),
        (
            ("send", "--instance", "bot", "--room", "a room", "x"),
            "gateway: external_room_id: 'a room' is neither a Slack id (C…, G…, D…, U…) nor a #",
        ),
        (("send", "--room", ROOM, "x"), "--instance requires an argument."),
        (("send", *TO, "--ttl", "0", "x"), "--ttl. Must be > 0."),
        (("send", *TO, "--config", "no.toml", "x"), "gateway: no.toml: No such file or directory"),
        (("edit", "x"), "gateway: give either --ref or --key"),
        (("edit", "--ref", "{", "x"), "gateway: --ref is not JSON (to read a file: --ref - <FILE)"),
        (("edit", "--ref", "[" * FAR, "x"), "gateway: --ref is nested too deeply to be a ref"),
        (("edit", "--ref", "[]", "x"), "gateway: --ref is not the JSON that `send --json` prints"),
        (("edit", "--ref", "{}", "x"), "that `send --json` prints: instance_id: is missing;"),
        (("edit", "--ref", '{"disposition": "expired"}', "x"), "did not arrive"),
        (("edit", "--ref", "-", "--file", "-"), "cannot both be read from standard input"),
        (("edit", "--key", "k", "x"), "gateway: --key needs --instance and --room"),
        (("delete", "--ref", '{"version": 99}'), "written in format version 99"),
        (("send", *TO, "--bogus", "x"), "gateway: Unknown option: --bogus"),
        (("send", *TO, "x", "-y"), "gateway: Unknown option: -y"),
        (("send", *TO, "- milk\n- honey"), "put -- before a text that begins with -"),
        (
            ("send", *TO, "two", "words"),
            "gateway: too many arguments: 'words' (put a text of several",
        ),
        (
            ("call", "bot", "getChat", '{"a":' * FAR, "--room", ROOM),
            "gateway: the arguments are nested too deeply",
        ),
        (("outbox", "list", "--limit", "0"), "--limit. Must be >= 1."),
        (("outbox", "list", "--age", "nan"), "--age. Must be >= 0."),
        (("outbox", "list", "--disposition", "lost"), '--disposition. Choose from: "delivered"'),
        (("nothing",), 'gateway: Unknown command "nothing"'),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(program, arguments, line):
    code, out, err = program(*arguments)
    assert (2, "", 1) == (code, out, len(err)), err
    assert err[0].startswith("gateway: ")
    assert line in err[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("edit", "--ref", "[" * DEEP + "]" * DEEP, "x"),
        ("edit", "--ref", '{"a":' * DEEP + "1" + "}" * DEEP, "x"),
        ("call", "bot", "getChat", '{"a":' * DEEP + "1" + "}" * DEEP, "--room", ROOM),
    ],
    ids=["a list", "an object", "arguments"],
)
def test_deep_json_is_one_line_and_exit_code_2_on_every_python(program, arguments):
    code, out, err = program(*arguments)
    assert (2, "", 1) == (code, out, len(err)), err
    assert err[0].startswith("gateway: ")


def test_input_that_is_not_utf_8_is_told_by_its_place(program, monkeypatch):
    typed(monkeypatch, b"ab\xff")
    expected = ["gateway: --file -: is not UTF-8 at byte 2"]
    assert (2, "", expected) == program("send", *TO, "--file", "-")


def test_a_delivery_that_ends_otherwise_is_exit_code_1_and_one_line(program):
    program.emulator.remove_room(ROOM)
    code, out, err = program("send", *TO, "x")
    assert (1, "", 1) == (code, out, len(err))
    assert "ended rejected" in err[0]
    assert "channel_not_found" in err[0]


def test_the_receipt_of_a_failure_is_printed_as_json_too(program):
    program.emulator.remove_room(ROOM)
    code, out, err = program("send", *TO, "--json", "x")
    assert (1, "rejected", 1) == (code, json.loads(out)["disposition"], len(err))


def test_an_account_out_of_order_ends_at_once_and_the_log_stays_off_standard_output(
    program, monkeypatch
):
    monkeypatch.setenv("BOT_TOKEN", "xoxb-wrong")
    code, out, err = program("send", *TO, "x")
    assert (1, "") == (code, out)
    assert "gateway.instance_suspended" in err[0]
    assert "ended fatal" in err[-1]
    assert "xoxb-wrong" not in "".join(err)


def test_a_key_that_no_outbox_remembers_is_no_message_to_edit(program):
    code, _, err = program("edit", "--key", "k", *TO, "x")
    assert (1, 1) == (code, len(err))
    assert "not known" in err[0]


def test_verbose_shows_the_log_on_standard_error(program):
    code, out, err = program("send", *TO, "--verbose", "x")
    assert 0 == code
    assert out.startswith("delivered")
    assert any("gateway.outbox_in_memory" in line for line in err)
