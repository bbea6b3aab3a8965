"""What a compiled build compiles: `make compiled` runs these tests on one, `make test` on none."""

from __future__ import annotations

import importlib
import os
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEMBERS = ["core", "plugins/telegram", "plugins/slack", "plugins/discord"]
SUFFIXES = EXTENSION_SUFFIXES if os.environ.get("GATEWAY_COMPILED") else SOURCE_SUFFIXES


def compiled(member: str) -> list[str]:
    """The names of the modules that a member's build compiles where it is asked to."""
    manifest = tomllib.loads((ROOT / member / "pyproject.toml").read_text())
    hook = manifest["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    assert hook["enable-by-default"] is False
    paths = [Path(path).relative_to("src").with_suffix("") for path in hook["include"]]
    return [".".join(path.parts) for path in paths]


@pytest.mark.parametrize("name", [name for member in MEMBERS for name in compiled(member)])
def test_a_module_is_compiled_in_a_compiled_build_and_in_no_other(name):
    assert str(importlib.import_module(name).__file__).endswith(tuple(SUFFIXES))
