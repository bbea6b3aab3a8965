"""Channels come and go with their distributions: proven on built wheels in a fresh environment."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from amounts import amount
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MEMBERS = ("core", "plugins/telegram", "plugins/slack", "plugins/discord", "contrib")
CHANNELS = ("telegram", "slack", "discord")
BOUND = 60
"""Seconds that a command may take."""

CONFIG = """
[instances.on-telegram]
channel = "telegram"
token = "123456789:AAbbCCdd-eeFFggHHiiJJkkLLmmNNooPPqq"

[instances.on-slack]
channel = "slack"
token = "xoxb-0-wheels"

[instances.on-discord]
channel = "discord"
token = "MTIz.Gabcde.wheels-wheels-wheels-wheels"
"""

PROBE = """
import json, sys
import gateway_core
try:
    config = gateway_core.load_config(sys.argv[1])
except gateway_core.ConfigError as error:
    print(json.dumps([gateway_core.__file__, [problem.place for problem in error.problems]]))
else:
    print(json.dumps([gateway_core.__file__, []]))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def needed(requirement: Requirement, seen: dict[str, Distribution]) -> dict[str, Distribution]:
    """The installed distributions that a requirement leads to, its own included."""
    name = canonicalize_name(requirement.name)
    if name not in seen:
        seen[name] = distribution(name)
        for text in seen[name].requires or ():
            further = Requirement(text)
            extras = requirement.extras or {""}
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in extras):
                needed(further, seen)
    return seen


def requirements() -> Iterator[Requirement]:
    """What core and the channels need from others."""
    project = tomllib.loads((ROOT / "core/pyproject.toml").read_text())["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"]["http"]):
        yield Requirement(text)


def packed(dist: Distribution, into: Path) -> None:
    """The wheel that an installed distribution came from, made again of its own files."""
    tags = [line[5:] for line in (dist.read_text("WHEEL") or "").splitlines() if line[:4] == "Tag:"]
    python, abi, platform = (
        ".".join(sorted(set(column)))
        for column in zip(*(tag.split("-") for tag in tags), strict=True)
    )
    name = canonicalize_name(dist.name).replace("-", "_")
    with zipfile.ZipFile(into / f"{name}-{dist.version}-{python}-{abi}-{platform}.whl", "w") as to:
        for file in dist.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                to.write(str(file.locate()), str(file))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Wheels of core and the channels, built; and of all that they need, without any index."""
    into = tmp_path_factory.mktemp("wheels")
    built = [str(ROOT / member) for member in MEMBERS]
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", into, *built, cwd=into)
    seen: dict[str, Distribution] = {}
    for requirement in requirements():
        needed(requirement, seen)
    for dist in seen.values():
        packed(dist, into)
    return into


@pytest.fixture
def environment(tmp_path, wheels):
    """A fresh environment with core and all three channels installed from wheels."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh", cwd=tmp_path)
    names = [f"gateway-plugin-{channel}" for channel in CHANNELS]
    pip(tmp_path, "install", "--no-index", "--find-links", wheels, *names)
    return tmp_path


def pip(where: Path, *words: str | Path) -> None:
    python = where / "fresh/bin/python"
    run(sys.executable, "-m", "pip", "-q", "--python", python, *words, cwd=where)


def faults(where: Path) -> list[str]:
    """What a program in the fresh environment finds wrong with a file that names three channels."""
    (where / "gateway.toml").write_text(CONFIG)
    (where / "probe.py").write_text(PROBE)
    python = where / "fresh/bin/python"
    core, places = json.loads(run(python, "-I", "probe.py", "gateway.toml", cwd=where))
    assert Path(core).is_relative_to(where), "the fresh environment uses its own core"
    return places


@pytest.mark.skipif(
    not amount("environments that channels come and go in"), reason="GATEWAY_LONG=1 tries it"
)
def test_channels_go_and_come_with_their_distributions(environment, wheels):
    """The others do not notice."""
    assert [] == faults(environment)
    pip(environment, "uninstall", "-y", "gateway-plugin-slack")
    assert ["instances.on-slack.channel"] == faults(environment)
    pip(environment, "uninstall", "-y", "gateway-plugin-telegram", "gateway-plugin-discord")
    assert [f"instances.on-{channel}.channel" for channel in CHANNELS] == faults(environment)
    pip(environment, "install", "--no-index", "--find-links", wheels, "gateway-plugin-slack")
    assert ["instances.on-telegram.channel", "instances.on-discord.channel"] == faults(environment)


def test_wheels_hold_types_licence_and_nothing_else(wheels):
    for wheel in wheels.glob("gateway_*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        package = wheel.name.split("-")[0]
        info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
        assert f"{package}/py.typed" in names
        assert f"{info}/licenses/LICENSE" in names
        assert {package, info} == {name.split("/")[0] for name in names}
