"""The demo in memory, and the program `gateway` in this process against emulators in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from gateway_contrib.cli.app import main
from gateway_contrib.cli.demo import command
from gateway_contrib.cli.demo.run import deliver, open_demo
from gateway_contrib.emulators.testing.platforms import PLATFORMS
from gateway_core.testing import open_network, virtual_wall

URL = "http://127.0.0.1:8081"


@asynccontextmanager
async def in_memory(apps):
    """The demo's platforms in a network in memory instead of on ports."""
    async with open_network() as network:
        addresses = {name: f"http://127.0.0.1:{9000 + n}" for n, name in enumerate(apps)}
        for name, address in addresses.items():
            network.mount(address, apps[name])
        yield addresses


demo_in_memory = partial(open_demo, hosting=in_memory, wall_clock=virtual_wall)


def run_demo(folder, *, seed="0", watch=None, **options):
    """A demo from its beginning to its end on a virtual clock: what ran, and the report."""

    async def whole():
        async with demo_in_memory(folder, seed=seed, **options) as running:
            return running, await deliver(running, seed=seed, watch=watch)

    return trio.run(whole, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture(scope="session", name="run_demo")
def _run_demo():
    """Runs a demo in a folder."""
    return run_demo


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One demo that is over, for tests that only look at it."""
    return run_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def demo(tmp_path):
    """Runs demos."""
    return partial(run_demo, tmp_path)


@pytest.fixture
def demo_of_the_command(monkeypatch):
    """`gateway demo` finds its platforms in memory."""
    monkeypatch.setattr(command, "open_demo", demo_in_memory)


@attrs.define
class Program:
    """`gateway`, run in this process, in a folder of its own with a `gateway.toml`."""

    emulator: object
    capsys: pytest.CaptureFixture
    channel: str

    def __call__(self, *arguments):
        """The exit code, what came to standard output, and the lines on standard error."""
        code = main(arguments)
        out, err = self.capsys.readouterr()
        return code, out, err.splitlines()

    def texts(self, room):
        return [message.text for message in self.emulator.rooms.conversation(room)]


@pytest.fixture(params=["slack"])
def program(request, tmp_path, monkeypatch, capsys):
    """The program with one account on an emulated platform, by default Slack."""
    channel = request.param
    platform = PLATFORMS[channel]
    emulator = platform.emulator(tokens={platform.token})
    (tmp_path / "gateway.toml").write_text(
        f'[instances.bot]\nchannel = "{channel}"\ntoken = {{ env = "BOT_TOKEN" }}\n'
        f'base_url = "{URL}{platform.path}"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_TOKEN", platform.token)
    real = trio.run

    async def inside(command, *args):
        async with open_network() as network:
            network.mount(URL, emulator.app)
            return await command(*args)

    def autojumping(command, *args):
        return real(inside, command, *args, clock=trio.testing.MockClock(autojump_threshold=0))

    monkeypatch.setattr(trio, "run", autojumping)
    return Program(emulator, capsys, channel)
