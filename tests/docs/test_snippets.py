"""Every snippet of the README and the tutorial is run; those of the other pages must be whole.

Python runs in a folder with the page's files, on a virtual clock, against emulators in memory.
The tutorial's commands run for real in tests/integration/test_tutorial.py; the README's two are
targets of the Makefile.
"""

from __future__ import annotations

import ast
import base64
import copy
import importlib
import os
import re
import runpy
import signal
import subprocess
import sys
import tomllib
import types
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
import yaml
from amounts import amount
from guided_channel import GUIDED, guided_channel
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_contrib.cli.commands import app
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.testing.platforms import PLATFORMS
from gateway_core import (
    Disposition,
    Gateway,
    GatewayConfig,
    GroupTooLong,
    Instance,
    Limit,
    Progress,
    Secret,
    Send,
    Verdict,
    load_config,
    open_gateway,
    parse_config,
)
from gateway_core.authors import hookimpl
from gateway_core.http import Response
from gateway_core.testing import Failure, FakeChannel, event, open_network, open_test_gateway

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (?P<name>[\w/]+\.\w+)\n")
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
RUN = (
    "README.md",
    "docs/tutorial/first-message.md",
    "docs/how-to/embed.md",
    "docs/how-to/send-files.md",
    "docs/how-to/stream-an-answer.md",
)
LANGUAGES = {"python", "toml", "yaml", "sh", "sql", "text"}
SLACK = ("https://slack.com", "http://127.0.0.1:8081")
TOKEN = "xoxb-1234-tutorial"


@attrs.frozen
class Snippet:
    """A fenced piece of a page; `name` is the file that its first line says it is, or empty."""

    page: str
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        named = NAMED.match(self.code)
        return named["name"] if named else ""


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text()
    where = str(page.relative_to(ROOT))
    return [
        Snippet(where, text.count("\n", 0, found.start()) + 2, found["language"], found["code"])
        for found in FENCE.finditer(text)
    ]


ALL = [snippet for page in PAGES for snippet in snippets(page)]
PROGRAMS = [s for s in ALL if s.page in RUN and "trio.run(" in s.code]


def place(snippet: Snippet) -> str:
    return f"{snippet.page}:{snippet.line}"


@attrs.define
class World:
    """What a page's programs run in: a folder with its files, and Slack in memory."""

    folder: Path
    slack: SlackEmulator

    async def inside(self, main, *args):
        async with open_network() as network:
            for url in SLACK:
                network.mount(url, self.slack.app)
            await main(*args)


@contextmanager
def in_folder(page: str, folder: Path, monkeypatch):
    """The page's files in a folder that programs start in."""
    for snippet in ALL:
        if snippet.page == page and snippet.name:
            (folder / snippet.name).write_text(snippet.code)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    known = set(sys.modules)
    slack = SlackEmulator(tokens={TOKEN})
    slack.files_url = SLACK[1]
    yield World(folder, slack)
    for name in set(sys.modules) - known:
        if (folder / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def world(request, tmp_path, monkeypatch):
    """The folder and platform of the page named by the test's parameter, beneath `trio.run`."""
    with in_folder(request.param, tmp_path, monkeypatch) as world:
        real = trio.run

        def autojumping(main, *args):
            clock = trio.testing.MockClock(autojump_threshold=0)
            return real(world.inside, main, *args, clock=clock)

        monkeypatch.setattr(trio, "run", autojumping)
        yield world


PAGES_OF_NEWS = [f"Newsletter, page {n}" for n in (1, 2, 3)]
EXPECTED = {
    "main.py": ("", {"C024BE91L": ["Deployed v2.3, checked"]}),
    "hello.py": ("delivered ", {"C024BE91L": ["Deployed v2.3"]}),
    "refused.py": (
        "not accepted: text: is empty\naccepted, but: expired\n",
        {"C024BE91L": []},
    ),
    "report.py": ("['june.png']\n", {"C024BE91L": ["June: 11 % up"]}),
    "service.py": ("", {"C024BE91L": [f"Reminder {n}" for n in (1, 2, 3)]}),
    "stream.py": (
        "delivered\n",
        {"C024BE91L": ["You asked: what is six times seven? The answer is 42."]},
    ),
    "with_courtesy.py": (
        "C0WITHOUT: the code took 3 s\nC0COURTESY: the code took 1 s\nReload the page: the code is",
        {
            "C0WITHOUT": [*PAGES_OF_NEWS, "Your code is 271828"],
            "C0COURTESY": [PAGES_OF_NEWS[0], "Your code is 271828", *PAGES_OF_NEWS[1:]],
        },
    ),
}
"""What each program prints beside its log, and what then stands in the rooms."""


@pytest.mark.parametrize(
    ("world", "snippet"),
    [(s.page, s) for s in PROGRAMS],
    indirect=["world"],
    ids=map(place, PROGRAMS),
)
def test_a_program_of_the_docs_does_what_its_page_says(world, snippet, capsys):
    runpy.run_path(str(world.folder / snippet.name), run_name="__main__")
    printed, rooms = EXPECTED[snippet.name]
    lines = capsys.readouterr().out.splitlines(keepends=True)
    assert printed in "".join(line for line in lines if "] gateway." not in line)
    found = {name: [m.text for m in world.slack.rooms.conversation(name)] for name in rooms}
    assert rooms == found


@pytest.mark.parametrize("world", ["docs/how-to/embed.md"], indirect=True)
async def test_the_test_of_the_guide_passes(world, autojump_clock):
    module = runpy.run_path(str(world.folder / "test_service.py"))
    await module["test_reminders_are_a_minute_apart"](autojump_clock)


@pytest.mark.parametrize("world", ["docs/how-to/embed.md"], indirect=True)
async def test_the_guide_s_service_reads_its_file_again_when_told(world, capsys):
    """A new account is served; a mistake in the file changes nothing."""
    module = runpy.run_path(str(world.folder / "service.py"))

    async def service() -> None:
        async with open_gateway("gateway.toml") as gateway, trio.open_nursery() as nursery:
            nursery.start_soon(module["until_told"], gateway, nursery.cancel_scope)
            await trio.testing.wait_all_tasks_blocked()

            async def tell(number: int, heard: Callable[[], bool]) -> None:
                os.kill(os.getpid(), number)
                while not heard():  # noqa: ASYNC110 - a signal comes from outside, at some time
                    await trio.sleep(0.001)

            file = world.folder / "gateway.toml"
            good = file.read_text()
            file.write_text(f"{good}\ncolour = 1\n")
            mistake = "not reloaded: instances.support-bot.colour: is not a setting"
            await tell(signal.SIGHUP, lambda: mistake in capsys.readouterr().out)
            again = "[instances.again]\nchannel = 'slack'\ntoken = 'xoxb-again'\n"
            file.write_text(f"{good}\n{again}")
            await tell(signal.SIGHUP, lambda: len(gateway.statistics().instances) > 1)
            await tell(signal.SIGTERM, lambda: False)

    with trio.fail_after(20):
        await world.inside(service)


BOTS = {"telegram": "telegram-bot", "slack": "slack-bot", "discord": "discord-bot"}
ROOMS = {"telegram": "7", "slack": "C024BE91L", "discord": "1100000000000000001"}
EVENTS = {
    "telegram": {"update_id": 7, "message": {"message_id": 1, "chat": {"id": 7}, "text": "hi"}},
    "slack": {
        "event": {
            "type": "message",
            "channel": "C024BE91L",
            "user": "U1",
            "ts": "1700000000.000100",
        }
    },
    "discord": {"t": "MESSAGE_CREATE", "d": {"id": "12", "channel_id": "1100000000000000001"}},
}


@asynccontextmanager
async def bots():
    """A gateway with an account on each platform, and the emulators in memory that play them."""
    emulators, accounts = {}, {}
    async with open_network() as network:
        for channel, bot in BOTS.items():
            platform = PLATFORMS[channel]
            emulator = emulators[channel] = platform.emulator(tokens={platform.token})
            network.mount(url := f"https://{channel}.example", emulator.app)
            accounts[bot] = {"channel": channel, "token": platform.token}
            accounts[bot]["base_url"] = f"{url}{platform.path}"
        async with open_gateway(parse_config({"instances": accounts})) as gateway:
            yield gateway, emulators


def block(page, start):
    return next(s for s in ALL if s.page == f"docs/how-to/{page}.md" and s.code.startswith(start))


@pytest.mark.parametrize("channel", BOTS)
async def test_the_guide_s_answer_goes_where_the_event_came_from_and_once(channel, autojump_clock):
    code = block("answer-an-event", "async def answer").code.replace("support-bot", BOTS[channel])
    names = {"Gateway": Gateway}
    exec(code, names)  # noqa: S102 - the page's own
    async with bots() as (gateway, emulators):
        for _ in range(2):
            await names["answer"](gateway, copy.deepcopy(EVENTS[channel]))
    rooms = emulators[channel].rooms
    assert ["We are looking into it."] == [m.text for m in rooms.conversation(ROOMS[channel])]


ANSWERING = {
    "AsyncIterator": AsyncIterator,
    "Awaitable": Awaitable,
    "Callable": Callable,
    "DESK": "desk",
    "FakeChannel": FakeChannel,
    "Gateway": Gateway,
    "event": event,
    "open_test_gateway": open_test_gateway,
}


def defined(start):
    """What a snippet of the page on answers defines."""
    names = dict(ANSWERING)
    exec(block("answer-an-event", "async def answer").code, names)  # noqa: S102 - the page's own
    exec(block("answer-an-event", start).code, names)  # noqa: S102 - likewise
    return names[start.removeprefix("async def ")]


async def test_the_guide_s_answers_by_name_are_given_once(autojump_clock):
    deploy, channel = defined("async def deploy"), FakeChannel()

    async def steps():
        for name in ("build", "push"):
            yield name

    async with open_test_gateway(channel) as gateway:
        for _ in range(2):
            await deploy(gateway, event(id="e1"), steps())
    assert ["Deploying.", "build: done.", "push: done."] == channel.texts("room")


async def test_the_guide_s_typing_is_shown(autojump_clock):
    think, channel = defined("async def think"), FakeChannel()

    async def model(_):
        await trio.sleep(12)
        return "42"

    async with open_test_gateway(channel) as gateway:
        await think(gateway, event(), model)
    assert (3, ["42"]) == (len(channel.typed), channel.texts("room"))


async def test_the_guide_s_report_is_for_one_alone(autojump_clock):
    report, channel = defined("async def report"), FakeChannel()

    async def slow():
        await trio.sleep(12)
        return "all is well"

    async with open_test_gateway(channel) as gateway:
        await report(gateway, event(asked="command"), slow)
    assert [0.0] == [made.at for made in channel.noticed]
    assert [True] == [made.attempt.ephemeral for made in channel.made]


async def test_the_guide_s_own_test_passes(autojump_clock):
    await defined("async def test_an_event_that_is_delivered_twice_is_answered_once")(None)


async def test_the_guide_s_address_says_who_asked(autojump_clock):
    forward, channel = defined("async def forward"), FakeChannel()
    async with open_test_gateway(channel, instances=["support-bot"]) as gateway:
        await forward(gateway, event(user="ada"))
    assert ["Asked by ada"] == channel.texts("desk")


async def test_the_guide_s_calls_are_made(autojump_clock):
    snippet = block("answer-an-event", "await gateway.call")
    code = compile(snippet.code, place(snippet), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with bots() as (gateway, emulators):
        pressed = emulators["discord"].interaction(ROOMS["discord"])
        sent = await gateway.send("slack-bot", ROOMS["slack"], "a message")
        names = {"gateway": gateway, "ts": sent.ref.parts[0].message_id, "query_id": "1"}
        names |= {"interaction_id": pressed.id, "token": pressed.token}
        await eval(code, names)  # noqa: S307 - the page's own
        assert {Disposition.DELIVERED: 5} == gateway.statistics().dispositions


async def test_the_guide_s_watch_knows_who_is_suspended(autojump_clock):
    names = {}
    exec(block("write-a-policy", "from gateway_core import Instance, Verdict").code, names)  # noqa: S102 - the page's own
    watch = names["Watch"]()
    async with open_test_gateway(plugins=[watch]) as gateway:
        gateway.suspend("bot", "for a test")
    assert {"bot": "for a test"} == {name: v.raw for name, v in watch.suspended.items()}


def test_the_log_of_the_guide_goes_through_logging(tmp_path):
    """In a process of its own: what is set up is the process's."""
    code = next(s.code for s in ALL if s.name == "logs.py")
    (tmp_path / "logs.py").write_text(code)
    (tmp_path / "main.py").write_text(
        "import logs, trio\n"
        "from gateway_core.testing import open_test_gateway\n"
        "async def main():\n"
        "    async with open_test_gateway() as gateway:\n"
        "        gateway.suspend('bot')\n"
        "trio.run(main)\n"
    )
    run = run_in(tmp_path, "main")
    assert (0, "") == (run.returncode, run.stdout)
    (line,) = run.stderr.splitlines()
    assert line.startswith("ERROR:gateway:event='gateway.instance_suspended' instance='bot' ")
    assert "raw='by the application'" in line


BROADCAST = {
    "Gateway": Gateway, "GroupTooLong": GroupTooLong, "Iterable": Iterable, "Progress": Progress,
    "Send": Send,
}  # fmt: skip
TWO_A_SECOND = [Limit("account", 2)]


def broadcasting(start):
    """A function of the guide to broadcasts, by how it begins."""
    names = dict(BROADCAST)
    exec(block("send-a-broadcast", f"async def {start}").code, names)  # noqa: S102 - the page's own
    return names[start]


async def test_the_guide_s_broadcasts_are_sent_held_and_tried_again(autojump_clock):
    async def script(attempt):
        if attempt.room == "C3" and len(channel.made) < 20:
            raise Failure(Verdict(error_class="non_retryable", reason="room_gone", raw="gone"))

    channel = FakeChannel(limits=lambda _room, _operation: TWO_A_SECOND, script=script)
    rooms = [f"C{n}" for n in range(20)]
    async with open_test_gateway(channel, instances=("news-bot",)) as gateway:
        progress = await broadcasting("send_news")(gateway, rooms, "June")
        assert {Disposition.DELIVERED: 19, Disposition.REJECTED: 1} == dict(progress.counts)
        first, failed, last = await broadcasting("report")(gateway)
        assert ("20 of 20, 0.0 s left", "0 failed") == (first, last)
        assert failed.startswith("C3: rejected ")
        assert failed.endswith("gone")
        said = await broadcasting("send_or_say_why_not")(gateway, map(str, range(2_000)), "x")
        assert "2000 rooms take 1000 s, and have 600" == said
        bills = await broadcasting("send_bills")(gateway, {"C1": "5 €", "C2": "7 €"})
        assert {Disposition.DELIVERED: 2} == dict(bills.counts)
    assert (["June", "5 €"], ["June"]) == (channel.texts("C1"), channel.texts("C3"))


def test_the_guide_s_commands_are_commands():
    """With the options that the page gives them."""
    code = block("send-a-broadcast", "gateway broadcast").code
    for line in code.splitlines():
        app.parse_args(line.removeprefix("gateway "), exit_on_error=False, print_error=False)


class Endings:
    """Remembers where envelopes ended, and how, in order."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def after_disposition(self, envelope, receipt):
        self.seen.append((envelope.external_room_id, receipt.disposition))


@pytest.mark.parametrize(("world", "sheds"), [(RUN[0], True), (RUN[1], False)], indirect=["world"])
def test_the_policy_of_the_docs_changes_what_the_gateway_does(world, sheds):
    """Ten rooms wait for one message a minute: the login code overtakes, bulk may give way."""
    courtesy = importlib.import_module("courtesy")
    endings = Endings()
    with (world.folder / "gateway.toml").open("a") as file:
        file.write("posts_per_minute = 1\n")
    bounds = {"partition_count": 1, "partition_bound": 12, "instance_bound": 12}

    async def main():
        config = attrs.evolve(load_config("gateway.toml"), **bounds)
        async with open_gateway(config, plugins=[courtesy, endings]) as gateway:
            tickets = [await gateway.submit(to(f"C0ROOM{n}")) for n in range(10)]
            tickets.append(await gateway.submit(to("C0NEWS", priority="bulk")))
            tickets.append(await gateway.submit(to("D0CODE", key="login:271828")))
            for ticket in tickets:
                await ticket.receipt()

    trio.run(main)
    assert sheds == (("C0NEWS", "shed") in endings.seen)
    order = [room for room, disposition in endings.seen if disposition == "delivered"]
    assert 12 - sheds == len(order)
    assert "D0CODE" in order[:3]


def to(room, **fields):
    return Send(instance_id="support-bot", external_room_id=room, text="hello", **fields)


async def test_the_channel_of_the_guide_delivers(tmp_path, autojump_clock):
    """The hooks of the least channel that works are enough."""
    code = next(s.code for s in ALL if s.name == "gateway_plugin_matrix/hooks.py")
    (tmp_path / "hooks.py").write_text(code)
    matrix = types.ModuleType("gateway_plugin_matrix.hooks")
    vars(matrix).update(runpy.run_path(str(tmp_path / "hooks.py"), run_name=matrix.__name__))
    stored = []

    async def put(request):
        stored.append((request.path_params["room"], (await request.json())["body"]))
        return JSONResponse({"event_id": f"$event{len(stored)}"})

    path = "/_matrix/client/v3/rooms/{room}/send/m.room.message/{key}"
    homeserver = Starlette(routes=[Route(path, put, methods=["PUT"])])
    settings = matrix.MatrixSettings(token=Secret("syt_1"), base_url="https://matrix.example")
    config = GatewayConfig(instances=[Instance("home", "matrix", settings)])
    async with open_network() as network:
        network.mount("https://matrix.example", homeserver)
        async with open_gateway(config, plugins=[("matrix", matrix)]) as gateway:
            receipt = await gateway.send("home", "!room:example", "hello")
    assert [("!room:example", "hello")] == stored
    assert "$event1" == receipt.parts[0].message_id


HOMESERVER = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

PATH = "/_matrix/client/v3/rooms/{room}/send/{kind}/{key}"
UPLOAD = "/_matrix/media/v3/upload"


def MatrixServer():
    events = {}

    async def put(request):
        event = events.setdefault(request.path_params["key"], f"$event{len(events)}")
        return JSONResponse({"event_id": event})

    async def upload(request):
        async for _ in request.stream():
            pass
        return JSONResponse({"content_uri": "mxc://example.org/1"})

    return Starlette(
        routes=[Route(PATH, put, methods=["PUT"]), Route(UPLOAD, upload, methods=["POST"])]
    )
"""


@pytest.fixture(params=GUIDED)
def guide(request, tmp_path):
    """A folder with the files of the channel's guide, and a server."""
    for snippet in ALL:
        if snippet.page == "docs/how-to/write-a-channel.md" and snippet.name:
            file = tmp_path / snippet.name
            file.parent.mkdir(exist_ok=True)
            file.write_text(snippet.code)
    (tmp_path / "gateway_plugin_matrix/hooks.py").write_text(guided_channel(request.param))
    (tmp_path / "matrix_server.py").write_text(HOMESERVER)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    return tmp_path


@pytest.mark.parametrize("guide", GUIDED[:1], indirect=True)
def test_the_guide_s_package_is_built_with_its_hooks_and_its_entry(guide):
    package = block("write-a-channel", "[build-system]").code
    (guide / "pyproject.toml").write_text(package)
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "-w", "dist")
    run = run_in(guide, "pip", "wheel", "-q", *offline, ".")
    assert 0 == run.returncode, run.stderr
    (wheel,) = (guide / "dist").iterdir()
    with zipfile.ZipFile(wheel) as built:
        assert "gateway_plugin_matrix/hooks.py" in built.namelist()
        (entries,) = (name for name in built.namelist() if name.endswith("entry_points.txt"))
        assert b"matrix = gateway_plugin_matrix.hooks" in built.read(entries)


@pytest.fixture
def engine(tmp_path):
    """A folder with the files of the outbox's guide."""
    for snippet in ALL:
        if snippet.page == "docs/how-to/write-an-outbox.md" and snippet.name:
            (tmp_path / snippet.name).write_text(snippet.code)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    return tmp_path


def test_the_guide_s_outbox_keeps_the_contract_and_is_typed(engine):
    run = run_in(engine, "pytest", "-q", "-rs", *PLAIN, "test_file_outbox.py")
    assert 0 == run.returncode, run.stdout
    assert re.search(r"^1[5-9]\d passed, 6 skipped in", run.stdout, re.MULTILINE), run.stdout
    skipped = set(re.findall(r"^SKIPPED .*?: (.*)$", run.stdout, re.MULTILINE))
    assert {"not tried: this outbox has no `stalled`"} == skipped
    cache = ROOT / ".mypy_cache/guide"
    run = run_in(engine, "mypy", "--strict", f"--cache-dir={cache}", ".")
    assert 0 == run.returncode, run.stdout + run.stderr


async def test_the_guide_s_outbox_is_opened_by_its_url(engine, monkeypatch, autojump_clock):
    monkeypatch.syspath_prepend(str(engine))
    plugin = importlib.import_module("gateway_outbox_file")
    assert plugin.open_outbox("sqlite:///x") is None
    for life in range(2):
        async with open_test_gateway(
            FakeChannel(), outbox=plugin.open_outbox(f"pickled://{engine}/outbox")
        ) as gateway:
            sent = await gateway.send("bot", "room", "hello", key="k")
            assert (life == 1) == sent.replayed
    for name in ("gateway_outbox_file", "file_outbox"):
        monkeypatch.delitem(sys.modules, name)


PLAIN = ("-p", "no:cacheprovider", "-p", "no:asyncio")


def run_in(folder, *module):
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


WHOLE = GUIDED[::-2][: amount("stages of the guide's channel")]
"""The last first, which has the second's hooks."""


@pytest.mark.parametrize("guide", WHOLE, indirect=True)
def test_the_guide_s_tests_of_its_channel_pass(guide):
    """As an author runs them: pytest, in a folder with the guide's files and a server."""
    run = run_in(guide, "pytest", "-q", *PLAIN, "test_matrix.py")
    assert 0 == run.returncode, run.stdout
    assert re.search(r" passed, (?:[2-9]|1[0-4]) skipped", run.stdout), run.stdout


@pytest.mark.parametrize("guide", GUIDED[::2], indirect=True)
def test_the_guide_s_channel_is_typed(guide):
    """As an author checks it: strictly."""
    cache = ROOT / ".mypy_cache/guide"
    run = run_in(guide, "mypy", "--strict", f"--cache-dir={cache}", "gateway_plugin_matrix")
    assert 0 == run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("guide", ["with its first hooks"], indirect=True)
@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (401, "fatal (unauthorized, instance): HTTP 401 M_NO: no"),
        (404, "non_retryable (bad_request, message): HTTP 404 M_NO: no"),
        (429, "retryable (rate_limited, instance): HTTP 429 M_NO: no"),
        (502, "retryable (platform_error, instance): HTTP 502 M_NO: no"),
    ],
)
def test_the_guide_s_table_tells_what_errors_mean(guide, status, meaning):
    matrix = runpy.run_path(str(guide / "gateway_plugin_matrix/hooks.py"))
    verdict = matrix["classify_error"](
        matrix["MatrixError"](Response(status, {"retry-after": "3"}, b""), "M_NO", "no")
    )
    assert (meaning, 3.0) == (str(verdict), verdict.retry_after)
    assert ("unknown" if status == 502 else "no") == verdict.dispatched
    assert matrix["classify_error"](OSError()) is None


def test_every_program_of_the_run_pages_is_expected():
    assert set(EXPECTED) == {snippet.name for snippet in PROGRAMS}


@pytest.mark.parametrize("snippet", ALL, ids=map(place, ALL))
def test_snippets_are_whole(snippet):
    """Their language is one of ours; Python compiles, TOML and YAML parse, commands exist."""
    assert snippet.language in LANGUAGES
    if snippet.language == "python":
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(snippet.code, place(snippet), "exec", flags=flags)
    elif snippet.language == "toml":
        tomllib.loads(snippet.code)
    elif snippet.language == "yaml":
        yaml.safe_load(snippet.code)


@pytest.mark.parametrize("page", RUN)
def test_configurations_of_the_docs_load(page, tmp_path, monkeypatch):
    with in_folder(page, tmp_path, monkeypatch):
        config = load_config("gateway.toml")
    assert ["support-bot"] == [instance.id for instance in config.instances]


CONFIGURATIONS = [s for s in ALL if s.language == "toml" and "project" not in tomllib.loads(s.code)]


@pytest.mark.parametrize("snippet", CONFIGURATIONS, ids=map(place, CONFIGURATIONS))
def test_every_piece_of_a_configuration_is_one_without_a_mistake(snippet, tmp_path):
    (tmp_path / "support-token").write_text(TOKEN)
    certificate = ROOT / "tests/integration/certificates/localhost.pem"
    (tmp_path / "company-ca.pem").write_text(certificate.read_text())
    environ = {"SLACK_TOKEN": TOKEN, "PROXY_CREDENTIALS": "user:password"}
    environ |= {"TELEGRAM_TOKEN": "123456:" + "a" * 35, "DISCORD_TOKEN": "a.b.c"}
    environ["OUTBOX_KEY"] = base64.b64encode(bytes(range(32))).decode()
    parse_config(tomllib.loads(snippet.code), environ=environ, folder=tmp_path)


def test_make_targets_named_in_the_docs_exist():
    named = {
        word
        for snippet in ALL
        if snippet.language == "sh"
        for word in re.findall(r"^make (\w+)", snippet.code, re.MULTILINE)
    }
    assert {"demo", "test", "check", "docs"} <= named
    for target in named:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, target
