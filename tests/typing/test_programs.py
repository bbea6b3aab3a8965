"""What the pages show is typed: whoever pastes it into a strict project gets no error from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = re.compile(
    r"^```python\n# (?P<name>\w+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
PAGES = (
    "README.md",
    "docs/tutorial/first-bot.md",
    "docs/tutorial/first-message.md",
    "docs/how-to/asyncio.md",
    "docs/how-to/embed.md",
    "docs/how-to/operate.md",
    "docs/how-to/stream-an-answer.md",
)


def programs(page: str) -> dict[str, str]:
    """The named Python files that a page shows."""
    return {found["name"]: found["code"] for found in PROGRAM.finditer((ROOT / page).read_text())}


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_of_a_page_pass_mypy_strict(page, tmp_path):
    """But for its tests: pytest's own style has no annotations."""
    shown = {name: code for name, code in programs(page).items() if not name.startswith("test_")}
    assert shown
    for name, code in shown.items():
        (tmp_path / name).write_text(code)
    cache = ROOT / ".mypy_cache/pages"
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", *sorted(shown)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == run.returncode, run.stdout + run.stderr


def test_every_piece_of_python_in_the_readme_is_such_a_program():
    text = (ROOT / "README.md").read_text()
    assert text.count("```python\n") == len(programs("README.md"))


def test_the_file_beside_this_one_is_the_readme_s_program():
    _, _, code = (Path(__file__).parent / "readme.py").read_text().partition('"""\n\n')
    assert programs("README.md")["main.py"] == code
