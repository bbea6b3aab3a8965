"""What pages say of installing: one way, and no name on an index that is not ours yet.

At the release `RELEASED` turns, and these tests name each page that must say it the other way.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASED = False
"""Whether the names are ours on the index, and what they name can be had there."""

MEMBERS = ("core", "plugins/telegram", "plugins/slack", "plugins/discord", "contrib")
PROJECTS = {
    member: tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]
    for member in MEMBERS
}
READMES = [ROOT / member / "README.md" for member in MEMBERS]
PAGES = [
    *ROOT.glob("*.md"),
    *READMES,
    *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]
SOURCES = [path for member in MEMBERS for path in (ROOT / member / "src").rglob("*.py")]
BY_NAME = re.compile(r"\b(?:pip|pipx|uv|poetry)\b[^`\n]*\b(?:install|add)\b[^`\n]*[ '\"]gateway-\w")
BY_PATH = re.compile(r"pip install [^`\n]*\./(?:core|plugins|contrib)\b[^`\n]*")
NEAR = 250
"""Characters before a command in which it is said that it is for a checkout."""


def place(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_a_page_installs_in_the_one_way(page):
    text = page.read_text()
    if RELEASED:
        assert [] == BY_PATH.findall(text)
        return
    assert [] == BY_NAME.findall(text)
    for found in BY_PATH.finditer(text):
        assert found[0].startswith("pip install ./core"), "the others need it"
        said = text[max(0, found.start() - NEAR) : found.start()]
        assert "checkout" in said, f"before it stands where: {found[0]}"


def test_no_message_tells_anybody_to_install_a_name_from_an_index():
    found = [place(path) for path in SOURCES if BY_NAME.search(path.read_text())]
    assert RELEASED or [] == found


def test_what_would_be_missed_is_found():
    assert BY_NAME.search("pip install gateway-core")
    assert BY_NAME.search("`uv add 'gateway-contrib[cli]'`")
    assert not BY_NAME.search("pip install ./core './contrib[cli]'")
    assert not BY_NAME.search("`gateway-contrib[cli]`, after pip install")


def test_the_members_are_of_one_release():
    [version] = {project["version"] for project in PROJECTS.values()}
    for project in PROJECTS.values():
        asked = [*project["dependencies"]]
        asked += [
            need for needs in project.get("optional-dependencies", {}).values() for need in needs
        ]
        ours = [need for need in asked if need.startswith("gateway-")]
        own = [need for need in ours if need.startswith(f"{project['name']}[")]
        pinned = [need for need in ours if need not in own]
        assert all(need.endswith(f"=={version}") for need in pinned), pinned
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


ALIKE = ("authors", "classifiers", "license", "license-files", "readme", "requires-python", "urls")


def test_the_members_say_the_same_of_themselves():
    for field in ALIKE:
        told = {member: project[field] for member, project in PROJECTS.items()}
        if field == "classifiers":
            told = {m: [c for c in cs if c != "Framework :: Pytest"] for m, cs in told.items()}
        assert all(one == told["core"] for one in told.values()), field
    assert all(project["keywords"] and project["description"] for project in PROJECTS.values())


@pytest.mark.parametrize("readme", READMES, ids=place)
def test_a_member_s_readme_would_do_as_its_page(readme):
    """Its links lead somewhere from anywhere; it says how to get it, and shows a program."""
    text = readme.read_text()
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert [] == [target for target in targets if not target.startswith("https://")]
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert ["Install", "Smallest program"] == headings[:2]
    assert "Links" == headings[-1]
    assert text.startswith(f"# {PROJECTS[place(readme).removesuffix('/README.md')]['name']}\n")
