"""Every page of the documentation fits its window, in a real browser; names can be linked to."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from amounts import long_run
from sphinx.util.inventory import InventoryFile

pytestmark = long_run
"""`make docs` builds the same pages."""

ROOT = Path(__file__).parents[2]
WIDTHS = (1366, 390)
"""CSS pixels of a small laptop's and a telephone's window."""
SCROLL_BAR = 20
"""Pixels of a window that its scroll bar may take."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=600000",
)

HARNESS = """<!doctype html><meta charset="utf-8"><pre id="found"></pre><script>
const pages = %s, widths = %s, found = [];
const frame = document.createElement("iframe");
frame.style.cssText = "border: 0; height: 900px";
document.body.append(frame);
const wide = part => part.scrollWidth > part.clientWidth + 1;
async function look(page, width) {
  frame.style.width = width + "px";
  await new Promise(loaded => { frame.onload = loaded; frame.src = page; });
  const all = frame.contentDocument, root = all.documentElement;
  const seen = {page, width, client: root.clientWidth, tables: 0, cut: []};
  if (wide(root)) seen.cut.push("the page");
  for (const table of all.querySelectorAll("article table")) {
    const parts = [table.closest(".table-wrapper") ?? table, ...table.querySelectorAll("th, td")];
    const part = parts.find(wide);
    seen.tables += 1;
    if (part) seen.cut.push(part.tagName + ": " + part.textContent.trim().slice(0, 60));
  }
  found.push(seen);
}
(async () => {
  for (const width of widths) for (const page of pages) await look(page, width);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing about it."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def served(folder: Path):
    """The folder's address while it is served on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The documentation as `make docs` builds it, without what watches other programs in tests."""
    folder = tmp_path_factory.mktemp("docs")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", folder / "trees"]
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*sphinx, ROOT / "docs", folder / "html"], check=True, cwd=ROOT, env=plain)
    return folder / "html"


def looked_at(folder: Path, profile: Path, pages: list[str]) -> list[dict]:
    """What a real Chromium saw of each page at each width."""
    (folder / "harness.html").write_text(HARNESS % (json.dumps(pages), json.dumps(WIDTHS)))
    with served(folder) as url:
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--window-size=1500,1000"]
        run = subprocess.run(
            [*command, "--dump-dom", f"{url}/harness.html"],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
            env={**os.environ, "HOME": str(profile)},
        )
    answer = re.search(r'<pre id="found">(.*?)</pre>', run.stdout, re.DOTALL)
    assert answer is not None, run.stderr
    return json.loads(html.unescape(answer[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_no_page_and_no_table_is_cut_in_a_laptops_and_a_telephones_window(built, tmp_path):
    pages = [str(page.relative_to(built)) for page in sorted(built.rglob("*.html"))]
    seen = looked_at(built, tmp_path, pages)
    assert len(pages) > 50
    assert [(each["width"], each["page"]) for each in seen] == [
        (width, page) for width in WIDTHS for page in pages
    ]
    assert all(each["width"] - SCROLL_BAR <= each["client"] <= each["width"] for each in seen)
    assert sum(each["tables"] for each in seen) > 200
    assert [] == [(each["page"], each["width"], *each["cut"]) for each in seen if each["cut"]]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_table_that_is_too_wide_is_seen(tmp_path):
    """The measure measures: a cell that cannot be broken, as the pages would have without rules."""
    row = "".join(f"<td>{'x' * 40}</td>" for _ in range(9))
    wrapper = "<div class='table-wrapper' style='overflow-x: auto'>"
    page = f"<article>{wrapper}<table><tr>{row}</tr></table></div></article>"
    (tmp_path / "wide.html").write_text(page)
    seen = looked_at(tmp_path, tmp_path / "profile", ["wide.html"])
    assert [each["cut"] for each in seen] == [[f"DIV: {'x' * 60}"]] * len(WIDTHS)


def test_a_long_name_in_a_cell_breaks_at_its_joints_and_a_short_one_never(built):
    page = (built / "reference/telemetry.html").read_text()
    assert "gateway.<wbr>partition.<wbr>oldest_<wbr>wait" in page
    short = r'<code class="short [^"]*"><span class="pre">gateway.skew<'
    assert re.search(short, page) is not None


def test_numbers_stand_at_the_right_edge_of_a_column_of_numbers_only(built):
    def at_the_edge(page, column):
        cells = re.findall(f'data-column="{column}"([^>]*)>', (built / page).read_text())
        return {"number" in cell for cell in cells}

    assert at_the_edge("explanation/comparison.html", "of bound") == {True}
    assert at_the_edge("explanation/comparison.html", "announced") == {True}
    assert at_the_edge("how-to/add-buttons.html", "Discord") == {False}


def test_other_projects_can_link_to_what_an_application_and_an_author_import(built):
    with (built / "objects.inv").open("rb") as file:
        objects = InventoryFile.loads(file.read(), uri="https://example.org").data
    named = {name for kind in objects if kind.startswith("py:") for name in objects[kind]}
    assert {
        "gateway_core.Gateway",
        "gateway_core.Gateway.send",
        "gateway_core.Ticket.receipt",
        "gateway_core.Receipt",
        "gateway_core.DeliveryError",
        "gateway_core.authors.Traits",
        "gateway_core.contract.hookspecs.send",
        "gateway_core.testing.FakeChannel",
    } <= named
    index = (built / "genindex.html").read_text()
    assert [] == [name for name in named if f"#{name}" not in index]


def test_every_name_of_the_index_has_its_anchor(built):
    links = re.findall(r'href="([\w/.-]+\.html)#([\w.]+)"', (built / "genindex.html").read_text())
    pages = {page: (built / page).read_text() for page, _ in links}
    assert len(links) > 300
    assert [] == [each for each in links if f'id="{each[1]}"' not in pages[each[0]]]
