"""Core alone imports what it needs and nothing else; what needs an extra names it."""

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules.update(dict.fromkeys({missing}))\n"


def last_line(code, *missing):
    """What Python says last of `code` where these libraries are not installed."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing) + code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return (run.stdout + run.stderr).splitlines()[-1]


def test_core_and_its_world_in_memory_need_no_extra():
    code = "import gateway_core.testing as t; print(t.open_test_gateway.__name__)"
    missing = ("httpx2", "httptools", "pytest", "apsw", "rich", "cyclopts", "opentelemetry.sdk")
    assert "open_test_gateway" == last_line(code, *missing)


@pytest.mark.parametrize(
    ("code", "missing", "told"),
    [
        ("import gateway_core.http", "httptools", "pip install 'gateway-core[http]'"),
        ("from gateway_core.testing import open_network", "httpx2", "'gateway-core[testing]'"),
        ("from gateway_core.testing import ChannelContract", "pytest", "pytest pytest-trio"),
    ],
)
def test_what_needs_an_extra_names_it(code, missing, told):
    line = last_line(code, missing)
    assert line.startswith("ModuleNotFoundError: ")
    assert f"needs {missing}: pip install" in line
    assert line.endswith(told)


def test_what_there_is_not_is_no_attribute():
    assert "has no attribute 'nope'" in last_line("import gateway_core.testing as t; t.nope")
