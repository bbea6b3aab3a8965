"""What is wrong with a file, on all three channels: told before acceptance, or an answer's verdict.

And what becomes of the text, where its sender wants it in any case.
"""

from __future__ import annotations

import os
import re
from io import FileIO
from pathlib import Path

import pytest
from full_disk import full
from pictures import png
from structlog.testing import capture_logs

from gateway_contrib.emulators.faults import Cut, FaultPlan, Said
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Disposition, File, Invalid, OutboxError, Reason
from gateway_core.files import looking, spool
from gateway_core.files.held import Allowance
from gateway_core.testing import virtual_wall

ROOMS = {"telegram": "7", "slack": "C024BE91L", "discord": "1100000000000000001"}
ON_EACH = pytest.mark.parametrize("channel", ROOMS)


def at(path, content=b"x"):
    path.write_bytes(content)
    return path


def looped(path):
    path.symlink_to(path)
    return path


def fifo(path):
    os.mkfifo(path)
    return path


WRONG = {
    "missing": (lambda at_: File(at_ / "no.png"), "files.0", "no.png' cannot be read: No such"),
    "folder": (File, "files.0", "is a folder"),
    "unreadable": (lambda at_: File(looped(at_ / "a")), "files.0", "a' cannot be read: Too many"),
    "pipe": (lambda at_: File(fifo(at_ / "pipe")), "files.0", "pipe' is not a regular file"),
    "empty": (lambda at_: File(at(at_ / "a.png", b"")), "files.0", "a.png' is empty"),
    "no bytes": (lambda _: File(b"", name="a.png"), "files.0", "is empty"),
    "too large": (lambda _: File(bytes(2_001), name="a.pdf"), "files.0", "has 2001 bytes,"),
    "a type that is none": (
        lambda _: File(b"x", name="a", media_type="png"), "files.0.media_type", "such as image/png",
    ),
    "a slash": (lambda _: File(b"x", name="../a"), "files.0.name", "a name alone: no slash"),
    "a line break": (lambda _: File(b"x", name="a\nb"), "files.0.name", "no control character"),
    "a line break of a path": (
        lambda at_: File(at(at_ / "a\nb")), "files.0.name", "no control character",
    ),
    "a path that is no text": (
        lambda at_: File(at(at_ / os.fsdecode(b"a\xff.pdf"))), "files.0.name", "lone surrogate",
    ),
    "a URL that is none": (lambda _: File("https://["), "files.0", "has a URL without a host"),
    "300 characters": (lambda _: File(b"x", name="x" * 300), "files.0.name", "300 bytes, at most"),
}  # fmt: skip
"""From a folder to a file, where it is wrong, and what is said of it."""


async def refused(three, channel, *files, **more):
    """The problems by their places: nothing was accepted, and nothing is stored."""
    with pytest.raises(Invalid) as caught:
        await three.gateway.send(channel, ROOMS[channel], "text", files=files, **more)
    assert 0 == three.gateway.statistics().accepted
    assert [] == three.texts(channel)
    return {problem.place: problem.text for problem in caught.value.problems}


@ON_EACH
@pytest.mark.parametrize("mistake", WRONG)
async def test_a_mistake_is_told_by_its_place_before_acceptance(three, channel, mistake, tmp_path):
    make, place, words = WRONG[mistake]
    problems = await refused(three, channel, make(tmp_path))
    assert [place] == list(problems)
    assert words in problems[place]
    if mistake == "too large":
        assert "'a.pdf' has" in problems[place]
        assert re.search(f"{channel} takes .*at most 2000 ", problems[place].lower())


NOT_TAKEN = {
    "telegram": {
        "no picture": (
            File(b"text", name="a.png"),
            "cannot be read as a picture of type image/png",
        ),
        "of another type": (
            File(b"text", name="a", media_type="image/png"),
            "a picture of type image/png",
        ),
        "by URL": (File("https://example.com/a.docx"), "PDF, ZIP and GIF"),
    },
    "slack": {
        "by URL": (File("https://example.com/a.pdf"), "Slack fetches only pictures"),
        "by id": (File(id="1"), "is not the id of a file at Slack"),
    },
    "discord": {
        "by URL": (File("https://example.com/a.png"), "Discord fetches no URL"),
        "by id": (File(id="1"), "is valid in its own message only"),
    },
}


@pytest.mark.parametrize(
    ("channel", "what"), [(name, what) for name, each in NOT_TAKEN.items() for what in each]
)
async def test_a_kind_that_the_platform_does_not_take(three, channel, what):
    file, words = NOT_TAKEN[channel][what]
    problems = await refused(three, channel, file)
    assert words in "; ".join(problems.values())


@ON_EACH
async def test_eleven_files(three, channel):
    """Telegram's are two albums; the others have no second message for them."""
    files = [File(b"x", name=f"{number}.pdf") for number in range(11)]
    if channel != "telegram":
        problems = await refused(three, channel, *files)
        assert {"files": "has 11 files, at most 10 go with a message"} == problems
        return
    receipt = await three.gateway.send(channel, ROOMS[channel], "text", files=files)
    assert [tuple(range(10)), (10,)] == [part.files for part in receipt.parts]
    assert 11 == len(three.texts(channel))


@ON_EACH
async def test_files_of_mixed_kinds(three, channel):
    """What Telegram takes in no album together goes as several; elsewhere it is one message."""
    kinds = ["a.png", "b.pdf", "c.png"]
    files = [File(png() if name.endswith("png") else b"x", name=name) for name in kinds]
    receipt = await three.gateway.send(channel, ROOMS[channel], "text", files=files)
    apart = channel == "telegram"
    assert [(0,), (1,), (2,)] if apart else [(0, 1, 2)] == [part.files for part in receipt.parts]
    [*_, (last, _)] = three.texts(channel)
    assert "text" == last


@ON_EACH
async def test_bytes_that_change_while_they_are_read(three, channel, tmp_path, monkeypatch):
    path = at(tmp_path / "growing.log", b"one")

    class WhileAnotherWrites(FileIO):
        def readinto(self, buffer):
            path.write_bytes(b"other")
            return super().readinto(buffer)

    monkeypatch.setattr(looking, "FileIO", WhileAnotherWrites)
    problems = await refused(three, channel, File(path, name="growing.log"))
    assert {"files.0": "'growing.log' changed while it was read"} == problems
    assert 0 == len(three.gateway._parts.files.spool)


@ON_EACH
@pytest.mark.parametrize("size", [1_000, 300_000], ids=["in the database", "beside it"])
async def test_a_full_disk(open_three, channel, size, tmp_path, monkeypatch, autojump_clock):
    """`send` says so; with room made, the same goes."""
    settings = SqliteSettings(in_thread=False)
    outbox = SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)
    file = File(os.urandom(size), name="a.pdf")
    roomy = {"max_file_size": 1 << 20} if channel != "telegram" else {"upload_bytes": 1 << 20}
    async with open_three(outbox, roomy={channel: roomy}) as three:
        with monkeypatch.context() as patch, full(outbox):
            patch.setattr(os, "write", _no_space)
            with pytest.raises(OutboxError, match=r"cannot (write|store bytes): .*(full|No space)"):
                await three.gateway.send(channel, ROOMS[channel], "text" * 900, files=[file])
        assert (0, []) == (three.gateway.statistics().accepted, three.texts(channel))
        receipt = await three.gateway.send(channel, ROOMS[channel], "text", files=[file])
        assert receipt.delivered
    folder = tmp_path / "outbox.db.bytes"
    assert not folder.exists() or [] == list(folder.iterdir())


def _no_space(*_):
    raise OSError(28, "No space left on device")


@ON_EACH
async def test_no_space_without_an_outbox(open_three, channel, monkeypatch, autojump_clock):
    roomy = {"max_file_size": 1 << 20} if channel != "telegram" else {"upload_bytes": 1 << 20}
    monkeypatch.setattr(spool, "_append", _no_space)
    async with open_three(roomy={channel: roomy}) as three:
        three.gateway._parts.files.allowance = Allowance(0)  # else they stay in memory
        with pytest.raises(OutboxError, match="cannot store a file: No space left on device"):
            await three.gateway.send(
                channel, ROOMS[channel], "text", files=[File(bytes(1 << 19), name="a.pdf")]
            )
        assert (0, []) == (three.gateway.statistics().accepted, three.texts(channel))
        assert 0 == len(three.gateway._parts.files.spool)


LARGE = 1_000_000
"""Bytes of a file that is stored beside the database."""


def cut_off(file):
    with file.open("r+b") as opened:
        opened.truncate(LARGE // 2)


@pytest.fixture
def roomy(open_three, tmp_path, autojump_clock):
    """Opens a gateway with an outbox on the disk, to channels that take such a file."""

    def opened(**more):
        settings = SqliteSettings(in_thread=False)
        outbox = SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)
        each = {"telegram": "upload_bytes", "slack": "max_file_size", "discord": "max_file_size"}
        return open_three(
            outbox, roomy={name: {setting: 2 * LARGE} for name, setting in each.items()}, **more
        )

    return opened


@ON_EACH
@pytest.mark.parametrize("harm", [Path.unlink, cut_off], ids=["deleted", "cut off"])
@pytest.mark.parametrize("on_file_error", ["fail", "send_text"])
async def test_stored_bytes_that_are_lost(roomy, channel, harm, on_file_error, tmp_path):
    """The first attempt says so; the account goes on, and so does the text if that is wanted."""
    async with roomy() as three:
        ticket = await three.gateway.enqueue(
            channel, ROOMS[channel], "text",
            files=[File(bytes(LARGE), name="a.pdf")],
            not_before=virtual_wall() + 10, on_file_error=on_file_error,
        )  # fmt: skip
        [stored] = (tmp_path / "outbox.db.bytes").iterdir()
        harm(stored)
        receipt = await ticket.receipt()
        alone = on_file_error == "send_text"
        assert ([("text", [])] if alone else []) == three.texts(channel)
        assert (Disposition.DELIVERED if alone else Disposition.REJECTED) is receipt.disposition
        assert (1 + alone, False) == (receipt.attempts, receipt.possible_duplicate)
        verdict = receipt.verdict
        assert "the bytes of 'a.pdf' are not stored any more" in verdict.raw
        assert (Reason.BAD_REQUEST, "no", True) == (
            verdict.reason,
            verdict.dispatched,
            verdict.files_refused,
        )


@ON_EACH
async def test_an_outbox_that_cannot_read_now_is_asked_again(roomy, channel, monkeypatch):
    """The account works meanwhile, so that only this message waits."""
    async with roomy() as three:
        store = three.gateway._parts.files._store
        read, failures = store.read_bytes, iter([OutboxError("no connection")] * 3)

        async def read_bytes(*where):
            if (error := next(failures, None)) is not None:
                raise error
            return await read(*where)

        monkeypatch.setattr(store, "read_bytes", read_bytes)
        with capture_logs() as logs:
            receipt = await three.gateway.send(
                channel, ROOMS[channel], "text", files=[File(bytes(LARGE), name="a.pdf")]
            )
        assert (True, 4) == (receipt.delivered, receipt.attempts)
        failed = [entry for entry in logs if entry["event"] == "gateway.attempt_failed"]
        assert [("message", "retry")] * 3 == [(each["scope"], each["then"]) for each in failed]


# -- what the platform says


def telegram(status, words):
    return Said(status=status, body={"ok": False, "error_code": status, "description": words})


def slack(word):
    body = {"ok": False, "error": word}
    return Said(body=body, headers={"content-type": "application/json"})


SAID = {
    "telegram": {
        "identifier": (
            telegram(400, "Bad Request: wrong file identifier/HTTP URL specified"),
            Reason.BAD_REQUEST,
        ),
        "url": (telegram(400, "Bad Request: failed to get HTTP URL content"), Reason.BAD_REQUEST),
        "413": (telegram(413, "Request Entity Too Large"), Reason.TOO_LONG),
        "413 of another": (Said(status=413, body=b"<html>413</html>"), Reason.TOO_LONG),
    },
    "slack": {
        "413 of another": (Said(status=413, body=b"<html>413</html>"), Reason.TOO_LONG),
        "bytes that are not there": (slack("ok"), Reason.BAD_REQUEST),
    },
    "discord": {
        "413": (
            Said(status=413, body={"code": 40005, "message": "Request entity too large"}),
            Reason.TOO_LONG,
        ),
        "413 of another": (Said(status=413, body=b"<html>413</html>"), Reason.TOO_LONG),
        "invalid": (
            Said(status=400, body={"code": 50046, "message": "Invalid file uploaded"}),
            Reason.BAD_REQUEST,
        ),
    },
}


@pytest.mark.parametrize("on_file_error", ["fail", "send_text"])
@pytest.mark.parametrize(
    ("channel", "what"), [(name, what) for name, each in SAID.items() for what in each]
)
async def test_a_refusal_has_a_verdict_and_the_text_is_not_lost(
    open_three, channel, what, on_file_error, autojump_clock
):
    answer, reason = SAID[channel][what]
    async with open_three(**{channel: FaultPlan(script={0: answer})}) as three:
        receipt = await three.gateway.send(
            channel,
            ROOMS[channel],
            "text",
            files=[File(png(), name="a.png")],
            on_file_error=on_file_error,
            raises=False,
        )
        alone = on_file_error == "send_text"
        assert alone == receipt.delivered
        assert ([("text", [])] if alone else []) == three.texts(channel)
        assert (reason, True) == (receipt.verdict.reason, receipt.verdict.files_refused)
        again = await three.gateway.send(channel, ROOMS[channel], "next")
        assert again.delivered


@ON_EACH
async def test_a_connection_that_is_cut_half_way(open_three, channel, autojump_clock):
    """The upload is made again. Telegram may have taken the first, and nothing tells; Slack shows
    nothing before it is shared, and Discord knows the message by its nonce.
    """
    async with open_three(**{channel: FaultPlan(script={0: Cut(0.5)})}) as three:
        receipt = await three.gateway.send(
            channel, ROOMS[channel], "text", files=[File(png(), name="a.png")]
        )
        assert receipt.delivered
        [(text, names)] = three.texts(channel)
        assert ("text", 1) == (text, len(names))
        assert (channel == "telegram") == receipt.possible_duplicate
