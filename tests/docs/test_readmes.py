"""The program of each README does what it says, and can be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from readmes import CHANNELS, run_front_page_s, run_member_s

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("member", ["core", *CHANNELS, "contrib"])
def test_the_program_of_a_member_s_readme_does_what_it_says(member, tmp_path):
    run_member_s(member, sys.executable, tmp_path)


@pytest.mark.parametrize("name", ["main.py", "bot.py"])
def test_the_programs_of_the_front_do_what_they_say(name, tmp_path):
    run_front_page_s(name, sys.executable, tmp_path)


def test_the_two_programs_of_the_front_fit_side_by_side():
    """GitHub gives a README 832 pixels: two columns of 43 letters, and what is around them."""
    front = (ROOT / "README.md").read_text()
    table = front.partition("<table>")[2].partition("</table>")[0]
    assert 2 == table.count("```python\n")
    assert 43 >= max(map(len, table.splitlines()))
