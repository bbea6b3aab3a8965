"""Runs the programs of the READMEs against emulators, each in a process of the given Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```\w+\n# (?P<name>[\w.]+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
BOUND = 120
"""Seconds that a program may take."""
CHANNELS = {
    "plugins/telegram": "7",
    "plugins/slack": "C024BE91L",
    "plugins/discord": "1100000000000000001",
}
"""By a channel's package, the room that the program of its README writes to."""


ALONE = {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "", "PYTEST_ADDOPTS": ""}
"""Environment variables that let a program use only what is installed with its Python."""


def files(readme):
    """The files that a README shows, by name."""
    text = (ROOT / readme).read_text()
    return {found["name"]: found["code"] for found in FENCE.finditer(text)}


def run(python, *words, folder, **environ):
    """Run a program, which must succeed; returns its standard output."""
    done = subprocess.run(
        [str(python), *words],
        cwd=folder,
        env={**os.environ, **ALONE, **environ},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


class Platform:
    """An emulated platform in a process of its own."""

    def __init__(self, told):
        self.told = told

    def texts(self, room):
        url = f"{self.told['control']}/rooms/{room}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - loopback, http
            return [message["text"] for message in json.load(answer)]

    def environ(self, channel):
        return {f"{channel.upper()}_TOKEN": self.told["token"]}

    def placed(self, configuration):
        """The configuration with the platform's address added."""
        place = f'base_url = "{self.told["base_url"]}"\n'
        return re.sub(r'^(channel = ".*"\n)', rf"\1{place}", configuration, flags=re.MULTILINE)


@contextmanager
def emulated(channel):
    """A platform that this environment's `gateway emulate` serves."""
    gateway = Path(sys.executable).parent / "gateway"
    process = subprocess.Popen(
        [gateway, "emulate", channel, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Platform(json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.communicate(timeout=BOUND)


def run_member_s(member, python, folder):
    """Run the program of a package's README, and check that it does what the README says."""
    shown = files(f"{member}/README.md")
    for name, code in shown.items():
        (folder / name).write_text(code)
    if member == "contrib":
        said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=folder)
        assert "1 passed" in said
    elif member == "core":
        said = run(python, "hello.py", folder=folder)
        assert "delivered ['**Deployed** v2.3']\n" == said.splitlines(keepends=True)[-1]
    else:
        channel, room = member.partition("/")[2], CHANNELS[member]
        with emulated(channel) as platform:
            (folder / "gateway.toml").write_text(platform.placed(shown["gateway.toml"]))
            said = run(python, "hello.py", folder=folder, **platform.environ(channel))
            assert "delivered" == said.splitlines()[-1]
            assert ["Deployed v2.3"] == platform.texts(room)


def run_front_page_s(name, python, folder):
    """Run a program of the workspace's README, unchanged."""
    shown = files("README.md")
    with emulated("slack") as platform:
        (folder / "gateway.toml").write_text(platform.placed(shown["gateway.toml"]))
        (folder / name).write_text(shown[name])
        run(python, name, folder=folder, **platform.environ("slack"))
        assert ["Deployed v2.3, checked"] == platform.texts("C024BE91L")
