"""What `make` does where something that it would fetch cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not shutil.which("npm") or not shutil.which("make"), reason="no npm or make")
def test_a_registry_that_is_not_there_is_not_waited_for(tmp_path):
    """npm by itself tries three times, for more than a minute."""
    modules = tmp_path / "node_modules"
    registry = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_cache": str(tmp_path)}
    made = subprocess.run(
        ["make", "--no-print-directory", f"NODE={modules}", modules],
        cwd=ROOT,
        env={**os.environ, **registry},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (0, "") == (made.returncode, made.stderr)
    assert "setup: npm cannot fetch it, left out" in made.stdout
