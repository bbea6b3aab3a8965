"""Where files may be fetched from: just the origins that were named, however a URL is written."""

import pytest

from gateway_core import ConfigError, FilesSettings, parse_config
from gateway_core.contract.beside.origins import origin_of, read_origin
from gateway_core.http.urls import is_public


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("cdn.example.com", "https://cdn.example.com"),
        ("CDN.example.com:8443", "https://cdn.example.com:8443"),
        ("https://cdn.example.com:443", "https://cdn.example.com"),
        ("10.0.0.7", "https://10.0.0.7"),
        ("[fd00::7]:8443", "https://[fd00::7]:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost", "https://localhost"),
    ],
)
def test_a_host_is_https_and_http_is_loopback_s(named, meant):
    assert meant == str(read_origin(named))


@pytest.mark.parametrize(
    "named",
    [
        *("", "*", "*.example.com", "cdn.example.com/", "cdn.example.com/pictures", "a b"),
        *("user@cdn.example.com", "http://cdn.example.com", "http://10.0.0.7", "ftp://x.example"),
        *("http://localhost", "cdn.example.com?x", "cdn.example.com#x", "2130706433", "127.1"),
        *("0x7f.1", "cdn.example.com:0x50", "cdn.example.com:99999", "cdn_example.com", ".example"),
        *("cdn.example.com.", "http:\\\\127.0.0.1", "https://", 7, None),
    ],
)
def test_whatever_else_is_no_host(named):
    with pytest.raises(ValueError, match="must be"):
        read_origin(named)
    with pytest.raises(ConfigError, match=r"files\.fetch_from|files"):
        parse_config({"files": {"fetch_from": [named]}})


def test_hosts_are_a_list():
    with pytest.raises(ValueError, match="'fetch_from' must be a list of hosts"):
        FilesSettings(fetch_from="cdn.example.com")


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example.com/cat.png",
        "https://cdn.example.com:8443/cat.png",
        "https://cdn.example.com./cat.png",
        "https://www.cdn.example.com/cat.png",
        "https://cdn.example.com.evil.example/cat.png",
        "https://evil.example/https://cdn.example.com/cat.png",
        "https://cdn.example.com@evil.example/cat.png",
        "https://user:secret@cdn.example.com/cat.png",
        "https://cdn.example.com\\@evil.example/cat.png",
        "https://evil.example\\.cdn.example.com/cat.png",
        "https://cdn.example.com:443x/cat.png",
        "https://[::1/cat.png",
    ],
)
def test_what_only_looks_like_a_host_is_another(url):
    assert read_origin("cdn.example.com") != origin_of(url)


@pytest.mark.parametrize("url", ["https://cdn.example.com/cat.png", "https://CDN.Example.com:443"])
def test_a_url_of_the_host(url):
    assert read_origin("cdn.example.com") == origin_of(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((each, True) for each in ("93.184.216.34", "2606:2800:220:1::1")),
        *((each, False) for each in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1")),
        *((each, False) for each in ("169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1")),
        *((each, False) for each in ("::1", "::", "fe80::1", "fd00::1", "ff02::1")),
        *((each, False) for each in ("::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1")),
        *((each, False) for each in ("fe80::1%eth0", "cdn.example.com", "")),
    ],
)
def test_which_addresses_anybody_may_reach(address, public):
    assert public is is_public(address)
