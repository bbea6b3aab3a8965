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
        ("import gateway_core.http", "httptools", "install 'gateway-core[http]'"),
        ("from gateway_core.testing import open_network", "httpx2", "'gateway-core[testing]'"),
        ("from gateway_core.testing import ChannelContract", "pytest", "pytest pytest-trio"),
    ],
)
def test_what_needs_an_extra_names_it(code, missing, told):
    line = last_line(code, missing)
    assert line.startswith("ModuleNotFoundError: ")
    assert f"needs {missing}: install" in line
    assert line.endswith(told)


def test_requests_over_sockets_need_no_library_for_http_but_the_parser():
    """httpx2 is for who puts a transport of it in the place of the sockets."""
    code = (
        "import trio, gateway_core.http as http, gateway_core.http.client as c\n"
        "async def main():\n"
        "    async with http.open_client(base_url='http://127.0.0.1:9') as client:\n"
        "        try:\n"
        "            await client.request('GET', '/')\n"
        "        except Exception as error:\n"
        "            print(type(error).__name__, c.tls_context().verify_mode.name)\n"
        "trio.run(main)"
    )
    missing = ("httpx2", "httpcore2", "httpx", "anyio", "h11", "truststore")
    assert "TransportError CERT_REQUIRED" == last_line(code, *missing)


def test_what_there_is_not_is_no_attribute():
    assert "has no attribute 'nope'" in last_line("import gateway_core.testing as t; t.nope")
