"""Which addresses become links: those of which every platform makes one."""

from __future__ import annotations

import pytest

from gateway_core.text import parse, web_address


@pytest.mark.parametrize(
    "address",
    ["http://localhost:8080", "http://db", "https://a.b:65536/x", "http://a b.c", "http://."],
)
def test_an_address_that_some_platform_takes_for_none_is_written_out(address):
    """Telegram refuses a whole message for one such link."""
    document = parse(f"[see](<{address}>)")
    assert (f"see ({address})", ()) == (document.text, document.spans)


@pytest.mark.parametrize(
    "address",
    ["http://a.b", "HTTPS://X.Y:65535?q", "https://1.2.3.4:8080/", "http://\u00fc.de/#a"],
)
def test_an_address_with_a_host_is_a_link(address):
    assert address == web_address(address)


def test_what_is_unsafe_in_an_address_is_escaped():
    assert "http://a.b/%3Cc%20d%3E" == web_address("http://a.b/<c d>")
