"""The pages' applications behind servers: they answer Slack's events, and end with nothing lost."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import attrs
import pytest
import trio
from amounts import amount
from needed import need
from ports import free_port
from whole_programs import client_command, files_of, start

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.slack.incoming.requests import request_of

TOKEN = "xoxb-1234-tutorial"
SECRET = "s3cret"
SECRETS = {
    "SLACK_TOKEN": TOKEN,
    "SLACK_SIGNING_SECRET": SECRET,
    "DJANGO_SECRET_KEY": "django's own",
}
USER = "U024BE7LH"
ROOM, ANOTHER = "C024BE91L", "C024BE92L"
BOUND = 90


def script(name):
    """A command of what is installed beside this Python, or on the path."""
    found = Path(sys.executable).parent / name
    return str(found) if found.exists() else shutil.which(name) or name


def uvicorn(url, port, loop, serves="fastapi_app:app"):
    where = ["--host", "127.0.0.1", "--port", port]
    return [sys.executable, "-m", "uvicorn", serves, *where, "--loop", loop]


def flask(url, port, loop):
    return [sys.executable, "web.py"]


def gunicorn(url, port, loop, count="2"):
    workers = ["--workers", count, "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    # `--timeout 0`: a worker of a busy machine is not taken for one that hangs.
    return [sys.executable, "-m", "gunicorn", "-c", "gunicorn_conf.py", *workers,
            "--timeout", "0", "web:app"]  # fmt: skip


def one_worker(url, port, loop):
    return gunicorn(url, port, loop, "1")


def django(url, port, loop):
    where = ["--threads", "4", "--bind", f"127.0.0.1:{port}", "--timeout", "0"]
    words = ["-c", "gunicorn_django.py", *where, "django_app:application"]
    return [sys.executable, "-m", "gunicorn", *words]


def runserver(url, port, loop):
    return [sys.executable, "django_app.py", "runserver", "--noreload", port]


def django_asgi(url, port, loop):
    return uvicorn(url, port, loop, "django_asgi:application")


def bolt_before(url, port, loop):
    return client_command("before.py", url)


def bolt(url, port, loop):
    return client_command("bot.py", url)


KNOWS_NO_REPEAT = ("bolt before", "gunicorn")
"""The first has no gateway; the other two workers, each of which knows its own events."""
SERVERS = {
    "uvicorn": ("asyncio", uvicorn, ("fastapi", "uvicorn")),
    "flask": ("blocking", flask, ("flask",)),
    "gunicorn": ("blocking", gunicorn, ("flask", "gunicorn")),
    "one worker": ("blocking", one_worker, ("flask", "gunicorn")),
    "django": ("blocking", django, ("django", "gunicorn")),
    "runserver": ("blocking", runserver, ("django",)),
    "django asgi": ("blocking", django_asgi, ("django", "uvicorn")),
    "bolt before": ("move-from-slack-sdk", bolt_before, ("slack_bolt",)),
    "bolt": ("move-from-slack-sdk", bolt, ("slack_bolt",)),
}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def posted(port, body, headers, path="/slack/events"):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@attrs.frozen
class Served:
    emulator: SlackEmulator
    program: object
    port: int

    async def deliver(self, payload):
        """As Slack does."""
        body, headers = request_of(payload, secret=SECRET, timestamp=int(time.time()))
        status, said = await trio.to_thread.run_sync(posted, self.port, body, headers)
        if "trigger_id" in payload:
            self.emulator.people.acknowledge(payload, said)
        return status

    async def say(self, text, room=ROOM):
        return await self.deliver(self.emulator.people.say(room, text, user=USER))

    async def submit(self, path, **fields):
        """A form, to a view of the application's own."""
        body = urlencode(fields, doseq=True)
        return await trio.to_thread.run_sync(posted, self.port, body, FORM, path)

    async def ask(self, text, room=ROOM):
        """As a command where the application takes it so, else as a message."""
        return await self.deliver(self.emulator.people.command(room, "/ask", text, user=USER))

    def texts(self, room=ROOM):
        conversation = self.emulator.rooms.conversation(room)
        return [message.text for message in conversation if message.user is None]


@asynccontextmanager
async def serving(server, tmp_path, loop="asyncio"):
    page, command, packages = SERVERS[server]
    need(*packages, loop)
    emulator = SlackEmulator(tokens={TOKEN})
    with trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            emulator.hooks_url = url = await nursery.start(serve, emulator.app)
            files_of(page, tmp_path, f"{url}/api")
            port = free_port()
            words = command(url, str(port), loop)
            program = await start(words, tmp_path, nursery, PORT=str(port), **SECRETS)
            await program.until(lambda: listens(port))
            yield Served(emulator, program, port)
            nursery.cancel_scope.cancel()


ANSWERING = [
    "gunicorn", "django asgi", "bolt before", "one worker", "runserver",
    "uvicorn", "flask", "django", "bolt",
]  # fmt: skip
"""By a short run the first: the last four answer below, too, before they are ended."""
assert set(SERVERS) == set(ANSWERING)


@pytest.mark.parametrize("server", ANSWERING[: amount("servers that answer")])
async def test_an_application_answers_an_event_once_and_streams(server, tmp_path):
    async with serving(server, tmp_path) as served:
        event = served.emulator.people.say(ROOM, "*hello* &lt;3", user=USER)  # as Slack escapes
        assert 200 == await served.deliver(event)
        await served.program.until(lambda: "You said: *hello* <3" in served.texts())
        if server not in KNOWS_NO_REPEAT:
            assert 200 == await served.deliver(event)
        asks = served.ask if "bolt" in server else served.say
        assert 200 == await asks("why?", ANOTHER)
        whole = ["You asked: why? The answer is 42."]
        await served.program.until(
            lambda: [t.rstrip().replace("**", "") for t in served.texts(ANOTHER)] == whole
        )
        assert ["You said: *hello* <3"] == served.texts()
        answer = next(m for m in served.emulator.rooms.conversation(ROOM) if m.user is None)
        assert event["event"]["ts"] == answer.thread
    assert {} == served.emulator.limited


async def test_the_page_s_own_event_is_answered(tmp_path):
    async with serving("uvicorn", tmp_path) as served:
        url = f"http://127.0.0.1:{served.port}/slack/events"
        command = [sys.executable, "event.py", url, "hello"]
        done = await trio.run_process(
            command, cwd=tmp_path, env=os.environ | SECRETS, capture_stdout=True
        )
        assert b"200\n" == done.stdout
        await served.program.until(lambda: "You said: hello" in served.texts())


ENDS = [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)]
SOME = [
    ("uvicorn", "asyncio", signal.SIGTERM, 1),
    ("uvicorn", "uvloop", signal.SIGINT, 2),
    ("flask", "asyncio", signal.SIGINT, 1),
    ("django", "asyncio", signal.SIGTERM, 1),
    ("bolt", "asyncio", signal.SIGINT, 2),
    ("gunicorn", "asyncio", signal.SIGTERM, 1),
    ("runserver", "asyncio", signal.SIGINT, 1),
    ("django asgi", "asyncio", signal.SIGTERM, 1),
]
"""By a short run the first: each framework, each loop and each end; then all else that there is."""
ALL = [
    *((server, "asyncio", *end) for server in dict.fromkeys(s for s, *_ in SOME) for end in ENDS),
    *(("uvicorn", "uvloop", *end) for end in (ENDS[0], ENDS[2])),
]
WAYS = [*SOME, *(way for way in ALL if way not in SOME)][: amount("ends behind a server")]


@pytest.mark.parametrize(("server", "loop", "number", "times"), WAYS)
async def test_an_application_that_is_ended_loses_nothing_that_was_accepted(
    server, loop, number, times, tmp_path
):
    """Four messages wait for their room's limit, and an answer is half written."""
    async with serving(server, tmp_path, loop) as served:
        program = served.program
        asks = served.ask if server == "bolt" else served.say
        assert 200 == await asks("why?", ANOTHER)
        for n in range(4):
            assert 200 == await served.say(f"hello {n}")
        await program.until(lambda: len(program.ids("handed")) >= 5)
        await program.press(number, times)
        with trio.fail_after(60):
            await program.process.wait()
    told = program.told()
    assert (set(), 0) == (program.lost(), told.count("gateway.left_at_close")), told
    assert {"delivered": 5} == program.dispositions(), told
    assert sorted(f"You said: hello {n}" for n in range(4)) == sorted(served.texts()), told
    (answer,) = served.texts(ANOTHER)
    assert answer.rstrip().endswith((" […]", "The answer is 42.", "The answer is **42**.")), told
    assert "Event loop is closed" not in told
    if server != "gunicorn":  # Its workers are two gateways, and share a room.
        assert {} == served.emulator.limited


DJANGO = ("django", "runserver", "django asgi")


@pytest.mark.parametrize("server", DJANGO[: amount("servers of Django that save")])
async def test_what_a_request_saves_is_announced_once_it_is_saved(server, tmp_path):
    """A request that was rolled back announces nothing, an ended server all that was saved."""
    async with serving(server, tmp_path) as served:
        command = [sys.executable, "django_app.py", "migrate", "--verbosity", "0"]
        await trio.run_process(command, cwd=tmp_path, env={**os.environ, **SECRETS})
        assert 201 == (await served.submit("/sign-up", name=["Ada"]))[0]
        assert 500 == (await served.submit("/sign-up", name=["Bob", "Ada"]))[0]
        assert 201 == (await served.submit("/sign-up", name=["Cy", "Bob"]))[0]
        last = await served.submit("/deployed", version="v2.5")
        assert (200, {"disposition": "delivered"}) == (last[0], json.loads(last[1]))
        said = [f"{name} has signed up." for name in ("Ada", "Cy", "Bob")]
        assert [*said, "Deployed v2.5"] == served.texts()
        names = ["Dee", "Eve", "Flo"]
        assert 201 == (await served.submit("/sign-up", name=names))[0]
        await served.program.press(signal.SIGTERM)
        with trio.fail_after(60):
            await served.program.process.wait()
        assert [f"{name} has signed up." for name in names] == served.texts()[4:]


SENDS = """
import sys
import tasks
for n in range(4):
    tasks.announce.delay("C024BE91L", f"announced {n}", f"key {n}")
tasks.answer.delay({"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": {
    "type": "message", "channel": "C024BE92L", "user": "U024BE7LH", "ts": "1700000000.000100",
    "text": "hello"}})
"""


@pytest.mark.parametrize(("number", "times"), ENDS[: amount("ends of a prefork worker")])
async def test_a_prefork_worker_that_is_ended_loses_nothing_that_was_accepted(
    number, times, tmp_path
):
    need("celery")
    emulator = SlackEmulator(tokens={TOKEN})
    (tmp_path / "data_in").mkdir()
    (tmp_path / "data_out").symlink_to("data_in")
    environ = {"SLACK_TOKEN": TOKEN, "CELERY_BROKER_URL": "filesystem://"}
    with trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, emulator.app)
            files_of("blocking", tmp_path, f"{url}/api")
            await trio.run_process(
                [sys.executable, "-c", SENDS], cwd=tmp_path, env={**os.environ, **environ}
            )
            command = [sys.executable, "-m", "celery", "-A", "tasks", "worker",
                       "--pool", "prefork", "--concurrency", "2"]  # fmt: skip
            program = await start(command, tmp_path, nursery, **environ)
            await program.until(lambda: len(program.ids("handed")) >= 2)
            await program.press(number, times)
            with trio.move_on_after(60 if times == 1 else 10) as waited:
                await program.process.wait()
            # A cold shutdown may leave Celery waiting for its own queue's lock, held by a child
            # that it ended: its worker processes have drained by then.
            while times == 2 and program.lost():  # noqa: ASYNC110 - another process's doing
                await trio.sleep(0.1)
            assert times == 2 or not waited.cancelled_caught
            nursery.cancel_scope.cancel()
    told = program.told()
    texts = [m.text for room in (ROOM, ANOTHER) for m in emulator.rooms.conversation(room)]
    assert (set(), 0) == (program.lost(), told.count("gateway.left_at_close")), told
    assert {"delivered": len(texts)} == program.dispositions(), told
