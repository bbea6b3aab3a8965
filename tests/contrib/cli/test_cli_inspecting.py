"""`gateway plugins` and `gateway check`, and what the program says of itself."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from importlib.metadata import version

import apsw
import pytest
import trio

from gateway_contrib.cli.ending import LONGEST, one_line, printable
from gateway_contrib.sqlite import SqliteOutbox
from gateway_contrib.sqlite.schema import APPLICATION_ID

CHANNELS = ("discord", "slack", "telegram")


def test_plugins_tells_channels_distributions_versions_and_bindings(program):
    code, out, err = program("plugins", "--json")
    assert (0, []) == (code, err)
    channels = {channel["channel"]: channel for channel in json.loads(out)["channels"]}
    assert CHANNELS == tuple(channels)
    slack = channels["slack"]
    name = "gateway-plugin-slack"
    assert (name, version(name)) == (slack["distribution"], slack["version"])
    assert [f"slack ({name} {version(name)})"] == slack["hooks"]["send"]
    assert "gateway_core" == slack["hooks"]["chunk"][-1]


def test_plugins_is_a_table_for_people(program):
    code, out, _ = program("plugins")
    assert 0 == code
    assert f"slack: gateway-plugin-slack {version('gateway-plugin-slack')}" in out
    assert "traits, chunk, classify_error" in " ".join(out.split())


def test_plugins_fits_the_terminal(program, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = program("plugins")
    assert max(map(len, out.splitlines())) <= 80
    assert "slack, gateway_core" in out


def test_check_says_what_is_configured(program):
    expected = "bot (slack): configured\ngateway.toml: 1 instance, no mistakes\n"
    assert (0, expected, []) == program("check")
    assert (0, expected, []) == program("check", "gateway.toml")
    assert (0, expected, []) == program("check", "--config", "gateway.toml")


def test_check_names_every_mistake_by_its_place(program, tmp_path):
    (tmp_path / "bad.toml").write_text(
        "partition_count = 0\n"
        "[instances.a]\nchannel = 'slack'\n"
        "[instances.b]\nchannel = 'irc'\n"
        "[instances.c]\nchannel = 'discord'\ntoken = { env = 'NOT_SET' }\nbogus = 1\n"
    )
    code, out, err = program("check", "bad.toml")
    assert (2, "") == (code, out)
    assert "gateway: bad.toml has 5 mistakes" == err[-1]
    assert {
        "instances.a.token",
        "instances.b.channel",
        "instances.c.token",
        "instances.c.bogus",
        "partition_count",
    } == {line.split(": ")[1] for line in err[:-1]}


@pytest.mark.parametrize("words", [(), ("--live",)], ids=["", "live"])
def test_check_says_that_there_is_no_instance(program, tmp_path, words):
    """An application may add its own, or have a source of them."""
    (tmp_path / "bare.toml").write_text("partition_count = 2\n")
    code, out, err = program("check", "bare.toml", *words)
    assert (0, []) == (code, err)
    only = "only a program that adds accounts or has an instance_source can send"
    assert f"bare.toml: no mistakes, and no [instances.NAME]: {only}\n" == out


def test_check_says_that_the_outbox_has_no_folder_here(program, tmp_path):
    """It is no mistake: the file may be for another machine."""
    outbox = tmp_path / "nowhere" / "outbox.db"
    instance = '[instances.a]\nchannel = "slack"\ntoken = "xoxb-1-2-abc"\n'
    (tmp_path / "kept.toml").write_text(f'outbox = "sqlite://{outbox}"\n{instance}')
    code, out, err = program("check", "kept.toml")
    assert (0, True) == (code, "1 instance, no mistakes" in out)
    [said] = err
    assert f"gateway: on this machine, outbox {outbox} cannot be opened: its folder is" in said
    outbox.parent.mkdir()
    assert (0, out, []) == program("check", "kept.toml")


@pytest.mark.parametrize("kind", ["garbage", "another's", "a later release's"])
def test_check_says_that_the_outbox_is_none(program, tmp_path, kind):
    outbox = tmp_path / "outbox.db"
    if kind == "garbage":
        outbox.write_text("garbage")
    else:
        connection = apsw.Connection(str(outbox))
        connection.execute("CREATE TABLE theirs (x)")
        if kind == "a later release's":
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA user_version = 999")
        connection.close()
    before = outbox.read_bytes()
    (tmp_path / "kept.toml").write_text(f'outbox = "sqlite://{outbox}"\n')
    code, _, [said] = program("check", "kept.toml")
    assert 0 == code
    assert f"gateway: on this machine, outbox {outbox} cannot be opened: the file " in said
    assert (before, [outbox]) == (outbox.read_bytes(), [*tmp_path.glob("outbox*")])


async def test_check_beside_an_open_outbox_says_nothing_and_leaves_it_as_it_is(tmp_path):
    outbox = tmp_path / "outbox.db"
    (tmp_path / "kept.toml").write_text(f'outbox = "sqlite://{outbox}"\n')
    program = "from gateway_contrib.cli.app import main; main()"
    command = [sys.executable, "-c", program, "check", str(tmp_path / "kept.toml")]
    async with SqliteOutbox(outbox):
        there = sorted(tmp_path.iterdir())
        with trio.fail_after(60):
            ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
        assert (b"", there) == (ran.stderr, sorted(tmp_path.iterdir()))
    there = sorted(tmp_path.iterdir())
    with trio.fail_after(60):
        ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert (b"", there) == (ran.stderr, sorted(tmp_path.iterdir()))


def test_check_refuses_a_file_that_says_nothing(program, tmp_path):
    (tmp_path / "empty.toml").write_text("")
    code, out, err = program("check", "empty.toml")
    assert (2, "", "gateway: empty.toml") == (code, out, err[-1][:19])


BRITTLE = """
import attrs
from gateway_core.authors import Answer, Limit, Traits, hookimpl

GATEWAY_CONTRACT = 1

@attrs.frozen
class Settings:
    count: float = 1

bound = 0

@hookimpl
def settings_type():
    global bound
    bound += 1
    return Settings

@hookimpl
def traits():
    return Traits(edit=False, delete=False)

@hookimpl
def rate_limit(instance, room):
    return [Limit(room, instance.settings.count)]

@hookimpl
async def send(attempt):
    return Answer()
"""


@pytest.fixture
def brittle(tmp_path, monkeypatch):
    """Install a channel of somebody else that does not look at its settings itself."""
    info = tmp_path / "brittle-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brittle\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gateway_plugin]\nbrittle = brittle_channel\n")
    (tmp_path / "brittle_channel.py").write_text(BRITTLE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("brittle_channel", None)


def test_check_finds_what_lets_every_message_crash(program, tmp_path, brittle):
    file = tmp_path / "brittle.toml"
    file.write_text("[instances.well]\nchannel = 'brittle'\n")
    assert (0, []) == program("check", "brittle.toml")[::2]
    file.write_text("[instances.ill]\nchannel = 'brittle'\ncount = 1.5\n")
    code, out, err = program("check", "brittle.toml")
    assert (2, "", "gateway: brittle.toml has 1 mistake") == (code, out, err[-1])
    assert err[-2].startswith("brittle.toml: instances.ill: each message would crash: brittle")
    assert "hook rate_limit: raised ValueError: 'count' must be a whole number" in err[-2]


def test_a_plugin_s_fault_is_not_reported_as_the_file_s(program, tmp_path, brittle):
    plugin = tmp_path / "brittle_channel.py"
    plugin.write_text(BRITTLE.replace("GATEWAY_CONTRACT = 1\n", ""))
    (tmp_path / "well.toml").write_text("[instances.well]\nchannel = 'brittle'\n")
    said = "gateway: brittle (brittle 1.0): names no contract version: GATEWAY_CONTRACT = 1 is miss"
    code, out, [line] = program("check", "well.toml")
    assert (2, "", True) == (code, out, line.startswith(said))


def test_check_finds_and_binds_the_plugins_as_often_for_fifty_accounts_as_for_one(
    program, tmp_path, brittle
):
    """Thousands of accounts are checked in seconds."""
    bound = []
    for number in (1, 50):
        tables = [f"[instances.a{i}]\nchannel = 'brittle'\n" for i in range(number)]
        (tmp_path / "many.toml").write_text("".join(tables))
        before = getattr(sys.modules.get("brittle_channel"), "bound", 0)
        assert 0 == program("check", "many.toml")[0]
        bound.append(sys.modules["brittle_channel"].bound - before)
    assert bound[0] == bound[1] > 0


def test_check_of_no_file_is_one_line(program):
    assert (2, "", ["gateway: no.toml: No such file or directory"]) == program("check", "no.toml")


@pytest.mark.parametrize("program", CHANNELS, indirect=True)
def test_check_live_asks_the_platform_who_the_account_is(program):
    code, out, err = program("check", "--live")
    assert (0, []) == (code, err)
    assert out.startswith(f"bot ({program.channel}): works, as ")


def test_check_live_names_what_does_not_work(program, monkeypatch):
    monkeypatch.setenv("BOT_TOKEN", "xoxb-wrong")
    code, out, err = program("check", "--live")
    assert (1, ["gateway: not working: bot"]) == (code, err)
    assert "bot (slack): does not work: " in out
    assert "invalid_auth" in out


def test_check_live_does_not_wait_for_ever(program, monkeypatch):
    from gateway_contrib.cli import inspecting  # noqa: PLC0415 - its bound is changed here

    monkeypatch.setattr(inspecting, "PROBE_SECONDS", 0.0)
    code, out, _ = program("check", "--live")
    assert (1, "bot (slack): does not work: no answer within 0 s\n") == (code, out)


def test_the_version_and_the_help_are_told(program):
    assert (0, f"gateway {version('gateway-contrib')}\n", []) == program("--version")
    code, out, _ = program("--help")
    assert 0 == code
    assert all(name in out for name in ("demo", "send", "edit", "delete", "plugins", "check"))


def test_a_missing_extra_is_one_line(program, monkeypatch):
    real = builtins.__import__

    def without_cyclopts(name, *args, **kwargs):
        if name == "gateway_contrib.cli.commands":
            raise ModuleNotFoundError("No module named 'cyclopts'", name="cyclopts")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_cyclopts)
    expected = "gateway: cyclopts is missing: install 'gateway-contrib[cli]'"
    assert (2, "", [expected]) == program("plugins")


def test_an_error_is_one_printable_line_of_bounded_length():
    error = ExceptionGroup("several", [ValueError("a\nb\x1b[31m" + "c" * 1000), KeyError("other")])
    line = one_line(error)
    assert line.startswith("ValueError: a b\\x1b[31mccc")
    assert LONGEST == len(line)
    assert "tab return line" == printable("tab\treturn\rline")


def test_a_command_that_serves_nothing_loads_no_server():
    """It is a quarter of what the program needs to begin."""
    code = "import sys, gateway_contrib.cli.commands; sys.exit('hypercorn' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
