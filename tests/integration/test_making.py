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
        timeout=300,
    )
    assert (0, "") == (made.returncode, made.stderr)
    assert "setup: npm cannot fetch it, left out" in made.stdout


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_an_installation_that_is_a_copy_is_made_editable_again(tmp_path):
    """`pip install ./core` in the same environment would otherwise run old code for ever."""
    stamp, packages = tmp_path / ".installed-run", tmp_path / "lib/python3.99/site-packages"
    packages.mkdir(parents=True)
    stamp.touch()

    def made():
        command = ["make", "--no-print-directory", "-n", f"VENV={tmp_path}", str(stamp)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return "setup: installing the gateway" in done.stdout

    assert not made()
    copy = packages / "gateway_core/__init__.py"
    copy.parent.mkdir()
    copy.touch()
    assert made()


def _interpreter(file, *, works):
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\nexit {0 if works else 127}\n")
    file.chmod(0o755)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_continuous_integration_finds_an_interpreter_that_only_pyenv_has(tmp_path):
    """What stands on the path is pyenv's shim, which fails unless that version is chosen."""
    versions = tmp_path / ".pyenv/versions"
    _interpreter(tmp_path / "bin/python3.99", works=False)
    _interpreter(versions / "3.99.0/bin/python", works=False)
    _interpreter(versions / "3.99.1/bin/python", works=True)
    _interpreter(versions / "3.9.1/bin/python", works=True)
    looking = "source <(sed -n '/^find_python/,/^}/p' .ci/run); set -euo pipefail; find_python"
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": str(tmp_path)}
    found = [
        subprocess.run(
            ["bash", "-c", f"{looking} {version}"],
            cwd=ROOT,
            env=variables | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        for version, more in (
            ("3.99", {}),
            ("3.99", {"HOME": "/nowhere", "PYENV_ROOT": str(tmp_path / ".pyenv")}),
            ("3.98", {}),
        )
    ]
    assert [f"{versions}/3.99.1/bin/python\n"] * 2 + [""] == [each.stdout for each in found]
    assert [0, 0, 1] == [each.returncode for each in found]
