"""`gateway outbox …` beside a running gateway, and without one."""

import json
import sys

import pytest
import trio

from gateway_contrib.cli.app import main
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import ErrorClass, Reason, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

REFUSED = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNCLASSIFIED, raw="no")


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(f'outbox = "sqlite://{tmp_path}/outbox.db"\n')
    return file


async def gateway_command(*words):
    """In a process of its own: a second connection, as operators have it."""
    program = "import sys; from gateway_contrib.cli.app import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "outbox", *words]
    result = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    return result.returncode, result.stdout.decode(), result.stderr.decode()


async def test_an_operator_looks_and_has_failed_ones_tried_again(config):
    async def refuse(attempt):
        raise Failure(REFUSED)

    channel, option = FakeChannel(script=refuse), ("--config", str(config))
    path = config.parent / "outbox.db"
    async with open_test_gateway(
        channel, outbox=SqliteOutbox(path, wall_clock=virtual_wall)
    ) as gateway:
        receipt = await gateway.send("bot", "room", "hello", raises=False)
        await trio.sleep(0.2)
        code, out, _ = await gateway_command("list", "--json", "--disposition", "rejected", *option)
        (row,) = json.loads(out)
        assert (0, receipt.envelope_id, "no") == (code, row["id"], row["raw"])
        code, out, _ = await gateway_command("show", receipt.envelope_id, *option)
        assert "hello" == json.loads(out)["envelope"]["text"]
        code, out, _ = await gateway_command("stats", *option)
        assert "rejected" in out
        assert "process" in out
        channel.script = None
        code, out, err = await gateway_command("retry", "--room", "room", *option)
        assert (0, True, "") == (code, "goes on" in out, err)
        with trio.fail_after(5):
            while not gateway.status(receipt.envelope_id).receipt:  # noqa: ASYNC110 - no event
                await trio.sleep(0.05)
        assert gateway.status(receipt.envelope_id).receipt.delivered
    code, out, _ = await gateway_command("list", *option)
    assert (0, "") == (code, out)
    code, out, _ = await gateway_command("erase", "--instance", "bot", "--room", "room", *option)
    assert "when a gateway next opens" in out
    async with open_test_gateway(channel, outbox=SqliteOutbox(path, wall_clock=virtual_wall)):
        await trio.sleep(1.5)
    code, out, _ = await gateway_command("stats", "--json", *option)
    assert ({}, 0) == (json.loads(out)["ended"], json.loads(out)["asked"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no outbox"),
        ('outbox = "other:x"', "names no outbox"),
        ("outbox = ", "gateway.toml"),
        ('outbox = "sqlite:///nowhere/outbox.db"', "there is no outbox"),
    ],
)
def test_what_is_wrong_is_one_line(config, capsys, content, words):
    config.write_text(content)
    assert 2 == main(["outbox", "list", "--config", str(config)])
    assert words in capsys.readouterr().err
