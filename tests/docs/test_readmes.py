"""The program of each member's README does what it says."""

from __future__ import annotations

import sys

import pytest
from readmes import CHANNELS, run_member_s


@pytest.mark.parametrize("member", ["core", *CHANNELS, "contrib"])
def test_the_program_of_a_member_s_readme_does_what_it_says(member, tmp_path):
    run_member_s(member, sys.executable, tmp_path)
