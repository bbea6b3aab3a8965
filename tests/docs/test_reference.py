"""What the pages name exists, and what exists is named: hooks, endings, links, pins."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from pathlib import Path

import attrs
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway_contrib.outboxes import OPTIONS
from gateway_contrib.sqlite import SqliteSettings
from gateway_core import (
    CircuitSettings,
    Disposition,
    GatewayConfig,
    OutboxSettings,
    PressureSettings,
    RetrySettings,
    TelemetrySettings,
    Ttl,
    telemetry,
)
from gateway_core.contract import errors, hookspecs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")))
MANIFESTS = (
    *sorted(ROOT.glob("plugins/*/pyproject.toml")),
    ROOT / "core/pyproject.toml",
    ROOT / "contrib/pyproject.toml",
)
HOOKS = {name for name, thing in vars(hookspecs).items() if hasattr(thing, "gateway_spec")}


def first_column(page: str, after: str) -> set[str]:
    """The names in the first column of the table that follows a heading."""
    table = (DOCS / page).read_text().split(after, 1)[1]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_every_hook_has_a_section_with_its_docstring(from_code):
    page = from_code.fill((DOCS / "reference/hooks.md").read_text())
    assert HOOKS == set(re.findall(r"^## (\w+)$", page, re.MULTILINE))
    assert all(getattr(hookspecs, name).__doc__.split("\n")[0] in page for name in HOOKS)


def test_a_page_that_is_written_from_the_code_says_so_until_it_is(from_code):
    for page in DOCS.rglob("*.md"):
        text = page.read_text()
        marked = from_code.MARK.search(text) is not None
        assert marked == (text.split("\n\n", 1)[1].startswith(from_code.UNFILLED)), page
        assert from_code.UNFILLED not in from_code.fill(text), page


def test_every_error_is_in_the_tree(from_code):
    page = from_code.fill((DOCS / "reference/errors.md").read_text())
    public = {n for n, t in vars(errors).items() if isinstance(t, type) and n[0] != "_"}
    raised = {n for n in public if issubclass(getattr(errors, n), Exception)}
    assert raised == set(re.findall(r"^ *- `(\w+)`:", page, re.MULTILINE))


FACES = (
    "gateway_core",
    "gateway_core.authors",
    "gateway_core.http",
    "gateway_core.outboxes",
    "gateway_core.settings",
    "gateway_core.testing",
    "gateway_core.text",
)


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_in_the_reference(from_code, face):
    pages = "".join(from_code.fill(p.read_text()) for p in (DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"^#+ (\w+)$|^ *- `(\w+)`:", pages, re.MULTILINE))
    named |= set(re.findall(r"`(?:gateway_core\.)?(\w+)`", pages))
    told = {name for names in named for name in (names if isinstance(names, tuple) else (names,))}
    assert set() == set(importlib.import_module(face).__all__) - told


@pytest.mark.parametrize("page", ["gateway.md", "kit.md"])
def test_every_name_with_a_section_is_public_and_shown_as_it_is_called(from_code, page):
    filled = from_code.fill((DOCS / "reference" / page).read_text())
    public = {name for face in map(importlib.import_module, FACES) for name in face.__all__}
    sections = re.findall(r"^### (\w+)$", filled, re.MULTILINE)
    assert sections
    assert set() == set(sections) - public
    assert len(sections) == len(set(sections))
    assert "ForwardRef" not in filled


def test_every_disposition_is_explained():
    assert set(Disposition) == first_column("reference/errors.md", "## Endings")


def test_the_policy_guide_names_hooks_that_exist():
    guide = (DOCS / "how-to/write-a-policy.md").read_text().split("## Which hook", 1)[1]
    cells = re.findall(r"^\|[^|]+\|([^|]+)\|", guide.split("##")[0], re.MULTILINE)[2:]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named
    assert named <= HOOKS


def test_every_setting_of_a_channel_has_its_meaning(from_code):
    """A field without a line in its class' docstring would be an empty cell."""
    page = from_code.fill((DOCS / "reference/settings.md").read_text())
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    assert rows
    assert [] == [name for name, meaning in rows if not meaning.strip()]


SECTIONS = {
    "## The gateway": GatewayConfig,
    "### outbox": OutboxSettings,
    "### ttl": Ttl,
    "### retries": RetrySettings,
    "### circuit": CircuitSettings,
    "### pressure": PressureSettings,
    "### telemetry": TelemetrySettings,
    "### plugins": type(GatewayConfig().plugins),
}


def in_toml(value: object) -> str:
    return "none" if value is None else f"`{json.dumps(value)}`"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_of_the_gateway_stands_with_its_default_and_reason(heading):
    section = (DOCS / "reference/settings.md").read_text().split(f"{heading}\n", 1)[1]
    table = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
    assert plain(SECTIONS[heading]) == defaults_with_reasons(table)


def plain(thing: type) -> dict[str, str]:
    """The defaults of an attrs class as a file would spell them, but those that are tables."""
    required = {field.name for field in attrs.fields(thing) if field.default is attrs.NOTHING}
    made = thing(**dict.fromkeys(required, "x"))
    return {
        field.name: "required" if field.name in required else in_toml(getattr(made, field.name))
        for field in attrs.fields(thing)
        if field.name != "instances"
        and (not isinstance(field.default, attrs.Factory) or field.default.takes_self)
    }


def defaults_with_reasons(table: str) -> dict[str, str]:
    """The defaults of a table in which every cell says something."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|([^|]*)\|([^|]*)\|$", table, re.MULTILINE)
    assert [] == [name for name, _, *cells in rows if not all(cell.strip() for cell in cells)]
    return {name: default.strip() for name, default, *_ in rows}


def test_every_option_of_an_outbox_in_a_file_stands_with_its_default_and_reason():
    page = (DOCS / "how-to/keep-what-is-accepted.md").read_text()
    tables = [part.split("\n\n", 1)[0] for part in page.split("| why this default |\n")[1:]]
    wanted = {name: default.replace('"', "") for name, default in plain(SqliteSettings).items()}
    wanted |= {"key_window": "as `idempotency_window`"}
    wanted = {name: re.sub(r"\.0`$", "`", default) for name, default in wanted.items()}
    in_url, in_code = map(defaults_with_reasons, tables)
    assert set(OPTIONS) == set(in_url)
    assert wanted == in_url | in_code


def test_the_page_of_telemetry_names_all_of_the_schema(from_code):
    page = from_code.fill((DOCS / "reference/telemetry.md").read_text())
    named = [thing.name for thing in (*telemetry.METRICS, *telemetry.ATTRIBUTES, *telemetry.SPANS)]
    named += [event.name for span in telemetry.SPANS for event in span.events]
    assert [] == [name for name in (*named, *telemetry.EVENTS) if f"`{name}`" not in page]
    assert f"Schema version: **{telemetry.SCHEMA_VERSION}**" in page


def links(text: str) -> list[str]:
    """The targets of a page's links, without what follows `#`."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in links(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_front_page_is_short_and_its_contents_name_every_page():
    """`make docs` fails where a page is in no table of contents."""
    front = (DOCS / "index.md").read_text()
    assert len(links(front)) < 30
    globs = re.findall(r"^([\w-]+)(?:/\*)?$", front.split("```{toctree}", 1)[1], re.MULTILINE)
    folders = {path.relative_to(DOCS).parts[0] for path in DOCS.rglob("*.md")}
    assert {name.removesuffix(".md") for name in folders - {"index.md", "_build"}} == set(globs)


def test_the_figures_of_the_readme_stand_on_the_pages_that_it_links_to():
    table = (ROOT / "README.md").read_text().split("## Measured", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "](" in line]
    assert len(rows) == 4
    for row in rows:
        page = (ROOT / links(row)[0]).read_text()
        work, *cells = row.strip("| ").split(" | ")
        figures = re.findall(r"\d[\d,.]*\d|\d+", " ".join([link_texts(work), *cells]))
        assert figures
        assert [] == [figure for figure in figures if figure not in page]


def link_texts(text: str) -> str:
    """The text without the targets of its links."""
    return re.sub(r"\]\([^)]*\)", "]", text)


@pytest.mark.parametrize("front", ["README.md", "contrib/README.md"])
def test_the_front_pages_name_every_extra_of_contrib(front):
    project = tomllib.loads((ROOT / "contrib/pyproject.toml").read_text())["project"]
    text = (ROOT / front).read_text()
    assert [] == [name for name in project["optional-dependencies"] if f"`{name}`" not in text]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in found}


def required() -> set[str]:
    """Everything that the members and the workspace's groups ask for by name."""
    texts: list[str] = []
    for manifest in MANIFESTS:
        table = tomllib.loads(manifest.read_text())
        texts += table["build-system"]["requires"]
        texts += table["project"]["dependencies"]
        for extra in table["project"].get("optional-dependencies", {}).values():
            texts += extra
    for group in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"].values():
        texts += [entry for entry in group if isinstance(entry, str)]
    names = {canonicalize_name(Requirement(text).name) for text in texts}
    return {name for name in names if not name.startswith("gateway-")}


def test_everything_that_is_installed_is_pinned_exactly():
    assert set() == required() - set(pins())
    assert all(re.fullmatch(r"==[^,*]+", pin) for pin in pins().values())


def test_every_dependency_has_a_line_that_says_why():
    page = (DOCS / "explanation/dependencies.md").read_text()
    named = {canonicalize_name(name) for name in re.findall(r"\[([\w.-]+)\]\(", page)}
    plain = {"pip", "editables", "packaging"}
    assert set() == required() - plain - named
