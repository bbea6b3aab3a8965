"""The files that the pages name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs/explanation").glob("*.md"))]
TEST = re.compile(r"`((?:\w+/)*test_\w+\.py)`")
CHANGE = re.compile(r"^\| [^|`]+ \| (`[^|]+) \|$", re.MULTILINE)
"""A row of the table of changes: what to change, and where."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_test_that_a_page_names_is_there(page):
    for name in TEST.findall(page.read_text()):
        found = list((ROOT / "tests").rglob(Path(name).name))
        assert any(str(file).endswith(f"/{name}") for file in found), name


def test_each_change_is_made_in_a_file_that_is_there():
    core = ROOT / "core/src/gateway_core"
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| change | file |")[2]
    rows = CHANGE.findall(table.partition("\n\n")[0])
    assert len(rows) >= 8
    for row in rows:
        for name in re.findall(r"`([\w/]+)`", row):
            places = (core / name, core / f"{name}.py", ROOT / name, ROOT / f"{name}.py")
            assert any(place.exists() for place in places), name
