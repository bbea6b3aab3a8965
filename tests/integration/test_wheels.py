"""What is built of each member: its contents, what it says of itself, and that it works alone.

`make release` has the archives that it built looked at, in the folder that GATEWAY_RELEASE names.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from amounts import amount
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from readmes import run_front_page_s, run_member_s

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


def project(member: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
    return found


TRIED = {"core": ("http", "testing"), "contrib": ("cli", "emulators", "sqlite")}
"""Extras of members that programs of the READMEs need."""


def requirements() -> Iterator[Requirement]:
    """What the members need from others, and the program of contrib's README besides."""
    for member in MEMBERS:
        told = project(member)
        extras = told.get("optional-dependencies", {})
        wanted = [extras[name] for name in TRIED.get(member, ())]
        for text in [*told["dependencies"], *(text for texts in wanted for text in texts)]:
            needed = Requirement(text)
            here = needed.marker is None or needed.marker.evaluate()
            if here and not needed.name.startswith("gateway-"):
                yield needed
    yield Requirement("pytest")


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
def archives(tmp_path_factory):
    """The sdist of each member, and the wheel that it makes: those of `make release`, or built."""
    if built := os.environ.get("GATEWAY_RELEASE"):
        return Path(built)
    into = tmp_path_factory.mktemp("archives")
    for member in MEMBERS:
        run(
            sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", into, cwd=ROOT / member
        )
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        *offline,
        "-w",
        into,
        *into.glob("*.tar.gz"),
        cwd=into,
    )
    return into


@pytest.fixture(scope="module")
def wheels(archives, tmp_path_factory):
    """The members' wheels, and those of all that they need, without any index."""
    into = tmp_path_factory.mktemp("wheels")
    for wheel in archives.glob("*.whl"):
        (into / wheel.name).write_bytes(wheel.read_bytes())
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


LONG = pytest.mark.skipif(
    not amount("members that are installed alone"), reason="GATEWAY_LONG=1 tries it"
)
ALONE = {
    "core": ["gateway-core"],
    "plugins/telegram": ["gateway-plugin-telegram"],
    "plugins/slack": ["gateway-plugin-slack"],
    "plugins/discord": ["gateway-plugin-discord"],
    "contrib": ["gateway-contrib[emulators]", "pytest"],
}
"""What is asked for, in an order in which none finds there what it should have brought itself."""


@LONG
def test_each_member_alone_runs_the_program_of_its_readme(tmp_path, wheels):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh", cwd=tmp_path)
    ours = [project(member)["name"] for member in MEMBERS]
    for number, (member, asked) in enumerate(ALONE.items()):
        (folder := tmp_path / str(number)).mkdir()
        pip(tmp_path, "install", "--no-index", "--find-links", wheels, *asked)
        # An adapter opens its own sockets: httpx2 is for tests.
        brought = bool([*(tmp_path / "fresh/lib").glob("*/site-packages/httpx2")])
        assert (member == "contrib") == brought
        run_member_s(member, tmp_path / "fresh/bin/python", folder)
        pip(tmp_path, "uninstall", "-y", *ours)


@LONG
@pytest.mark.parametrize("name", ["main.py", "bot.py"])
def test_the_front_page_s_program_runs_on_what_it_says_to_install(name, tmp_path, wheels):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh", cwd=tmp_path)
    asked = ("gateway-core", "gateway-plugin-slack", "gateway-contrib[cli,sqlite]")
    pip(tmp_path, "install", "--no-index", "--find-links", wheels, *asked)
    run_front_page_s(name, tmp_path / "fresh/bin/python", tmp_path)
    assert "slack" in run(tmp_path / "fresh/bin/gateway", "plugins", cwd=tmp_path)


def test_wheels_hold_types_licence_and_nothing_else(archives):
    wheels = list(archives.glob("*.whl"))
    assert len(MEMBERS) == len(wheels)
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        package = wheel.name.split("-")[0]
        info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
        assert f"{package}/py.typed" in names
        assert f"{info}/licenses/LICENSE" in names
        assert {package, info} == {name.split("/")[0] for name in names}
        assert [] == [name for name in names if STRAY.search(name)]


STRAY = re.compile(r"(^|/)(tests?|docs|bench|build|__pycache__|\..*|.*\.pyc)(/|$)")
"""What no archive is to hold; `emulators/testing` and `gateway_core/testing` are for users."""
AROUND = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}


def test_sdists_hold_the_sources_and_nothing_else(archives):
    sdists = list(archives.glob("*.tar.gz"))
    assert len(MEMBERS) == len(sdists)
    for sdist in sdists:
        with tarfile.open(sdist) as opened:
            names = [name.partition("/")[2] for name in opened.getnames()]
        package = sdist.name.split("-")[0]
        around = {name for name in names if not name.startswith(f"src/{package}/")}
        assert around - {".gitignore"} == AROUND  # hatchling adds the first, to build as here
        assert [] == [name for name in set(names) - {".gitignore"} if STRAY.search(name)]


@pytest.mark.parametrize("member", MEMBERS)
def test_what_a_member_says_of_itself_is_valid_and_whole(member, archives):
    """As an index reads it: by the standard, and nothing left out."""
    told = project(member)
    name = told["name"].replace("-", "_")
    [wheel] = archives.glob(f"{name}-*.whl")
    info = f"{name}-{told['version']}.dist-info/METADATA"
    metadata = Metadata.from_email(zipfile.ZipFile(wheel).read(info), validate=True)
    with tarfile.open(archives / f"{name}-{told['version']}.tar.gz") as sdist:
        raw = sdist.extractfile(f"{name}-{told['version']}/PKG-INFO").read()
    assert Metadata.from_email(raw, validate=True).description == metadata.description
    assert (told["version"], told["description"]) == (str(metadata.version), metadata.summary)
    assert (ROOT / member / "README.md").read_text() == metadata.description
    assert "text/markdown" == metadata.description_content_type
    assert (told["license"], ["LICENSE"]) == (metadata.license_expression, metadata.license_files)
    assert told["classifiers"] == metadata.classifiers
    assert told["urls"] == metadata.project_urls
    assert told["keywords"] == metadata.keywords
    assert "The gateway authors" == metadata.author


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_a_tree_with_changes_is_not_released(tmp_path):
    run("git", "clone", "-q", "--no-hardlinks", ROOT, "clone", cwd=tmp_path)
    (tmp_path / "clone/README.md").write_text("changed\n")
    made = Path(sys.prefix)
    done = subprocess.run(
        ["make", "release", f"VENV={made}", "-o", made / ".installed-dev"],
        cwd=tmp_path / "clone",
        # Not as a part of the `make` that may have begun these tests.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert 2 == done.returncode
    assert [
        "release: commit or stash these changes first:",
        " M README.md",
    ] == done.stdout.splitlines()
    assert not (tmp_path / "clone/build").exists()
