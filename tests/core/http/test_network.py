"""Settings of the way to a platform: what is a mistake, and what the environment may say."""

import ssl
from types import SimpleNamespace

import pytest
import trustme

from gateway_core import ConfigError, Secret, parse_config
from gateway_core.http import NetworkSettings, network, open_client
from gateway_core.http.network import proxy_for, system_context
from gateway_core.http.urls import is_excepted, origin_of

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made, folder = trustme.CA(), tmp_path_factory.mktemp("certificates")
    made.cert_pem.write_to_path(folder / "ca.pem")
    one, other = made.issue_cert("a.example"), made.issue_cert("b.example")
    one.cert_chain_pems[0].write_to_path(folder / "one.pem")
    one.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    one.private_key_pem.write_to_path(folder / "one.key")
    other.private_key_pem.write_to_path(folder / "other.key")
    (folder / "locked.key").write_bytes(locked(one, b"open sesame"))
    (folder / "text").write_text("hello\n")
    return folder


def locked(certificate, password):
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415 - trustme's

    key = s.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encryption = s.BestAvailableEncryption(password)
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption)


def mistakes(folder, **table):
    """What is wrong with them, as a file of settings tells it."""
    bot = {"channel": "telegram", "token": "123456789:AAbcdefgh", **table}
    try:
        parse_config({"instances": {"bot": bot}}, environ={"UP": "user:hazelnut"}, folder=folder)
    except ConfigError as error:
        return [(p.place.removeprefix("instances.bot."), p.text) for p in error.problems]
    return []


A_PROXY = "must be a proxy's URL with a port, as in http://proxy.example:3128"
ALONE = "must be given together with"
WRONG = [
    ({"proxy": "proxy.example:3128"}, ("proxy", A_PROXY)),
    ({"proxy": "http://proxy.example"}, ("proxy", A_PROXY)),
    ({"proxy": "socks5://proxy.example:1080"}, ("proxy", A_PROXY)),
    ({"proxy": "http://proxy.example:99999"}, ("proxy", A_PROXY)),
    ({"proxy": "http://proxy.example:3128/path"}, ("proxy", A_PROXY)),
    ({"proxy": "http://pro xy:3128"}, ("proxy", A_PROXY)),
    (
        {"proxy": "http://user:hazelnut@proxy.example:3128"},
        ("proxy", "must have no user or password: give them as proxy_credentials"),
    ),
    ({"proxy_credentials": {"env": "UP"}}, ("proxy_credentials", f"{ALONE} `proxy`")),
    (
        {"proxy": PROXY, "proxy_credentials": "hazelnut"},
        ("proxy_credentials", "must be a user and a password, as in user:password"),
    ),
    (
        {"proxy": PROXY, "proxy_credentials": "us\ner:hazelnut"},
        ("proxy_credentials", "must be a user and a password, as in user:password"),
    ),
    (
        {"ca_file": "nowhere.pem"},
        ("ca_file", "must be a file that can be read: No such file or directory"),
    ),
    ({"ca_file": "text"}, ("ca_file", "certificates in PEM: ")),
    ({"ca_file": "one.key"}, ("ca_file", "must be a file of certificates in PEM: ")),
    ({"ca_file": "one.pem"}, ("ca_file", "must hold the certificate of an authority")),
    ({"ca_file": ""}, ("ca_file", "must be a path")),
    ({"ca_file": 7}, ("ca_file", "must be a path")),
    (
        {"client_certificate": "nowhere.pem"},
        ("client_certificate", "must be a file that can be read: No such file or directory"),
    ),
    ({"client_certificate": "one.pem"}, ("client_certificate", "with its key: ")),
    ({"client_certificate": "text"}, ("client_certificate", "in PEM, with its key: ")),
    (
        {"client_certificate": "one.pem", "client_key": "other.key"},
        ("client_certificate", "with its key: key values mismatch"),
    ),
    (
        {"client_certificate": "one.pem", "client_key": "nowhere.key"},
        ("client_key", "must be a file that can be read: No such file or directory"),
    ),
    ({"client_key": "one.key"}, ("client_key", f"{ALONE} `client_certificate`")),
    ({"client_key_password": "x"}, ("client_key_password", f"{ALONE} `client_certificate`")),
    (
        {"client_certificate": "one.pem", "client_key": "locked.key"},
        ("client_key_password", "must be the password of the client's key"),
    ),
    (
        {
            "client_certificate": "one.pem",
            "client_key": "locked.key",
            "client_key_password": "open barley",
        },
        ("client_key_password", "must be the password of the client's key"),
    ),
    ({"trust_environment": "yes"}, ("trust_environment", "must be true or false, not 'yes'")),
    ({"http_proxy": PROXY}, ("http_proxy", "is not a setting; did you mean 'proxy'?")),
]


@pytest.mark.parametrize(("table", "expected"), WRONG, ids=[str(t)[:70] for t, _ in WRONG])
def test_a_mistake_is_told_at_its_place(folder, table, expected):
    [(place, text)] = mistakes(folder, **table)
    assert expected[0] == place
    assert expected[1] in text
    assert "_ssl.c" not in text
    assert "hazelnut" not in text
    assert "barley" not in text


@pytest.mark.parametrize(
    "table",
    [
        {"proxy": PROXY},
        {"proxy": "https://[::1]:3128/", "proxy_credentials": {"env": "UP"}},
        {"proxy": PROXY, "proxy_credentials": r"COMPANY\bot:with:colons"},
        {"ca_file": "ca.pem"},
        {"client_certificate": "both.pem"},
        {"client_certificate": "one.pem", "client_key": "one.key"},
        {
            "client_certificate": "one.pem",
            "client_key": "locked.key",
            "client_key_password": "open sesame",
        },
        {"trust_environment": True},
    ],
)
def test_what_is_right_is_taken(folder, table):
    assert [] == mistakes(folder, **table)


TOKENS = {"telegram": "123456789:AAbcdefgh", "slack": "xoxb-1", "discord": "a.b.c"}


@pytest.mark.parametrize("channel", TOKENS)
def test_every_channel_has_them_and_reads_paths_beside_the_file(folder, channel):
    table = {"channel": channel, "token": TOKENS[channel], "ca_file": "ca.pem"}
    [bot] = parse_config({"instances": {"bot": table}}, folder=folder).instances
    assert isinstance(bot.settings, NetworkSettings)
    assert folder / "ca.pem" == bot.settings.ca_file


VARIABLES = [
    ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY must be a proxy's URL"),
    ({"https_proxy": "socks5://a:1"}, "https_proxy must be a proxy's URL"),
    ({"HTTPS_PROXY": "http://hazelnut@a:1"}, "or http://user:password@proxy.example:3128"),
    ({"SSL_CERT_FILE": "/nowhere"}, "SSL_CERT_FILE must be a file that can be read"),
]


@pytest.mark.parametrize(("variables", "words"), VARIABLES)
def test_a_bad_variable_is_a_mistake_where_they_are_trusted(folder, monkeypatch, variables, words):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert [] == mistakes(folder)
    [(place, text)] = mistakes(folder, trust_environment=True)
    assert "trust_environment" == place
    assert words in text
    assert "hazelnut" not in text


async def test_a_variable_that_went_bad_is_one_when_a_client_opens(monkeypatch):
    network = NetworkSettings(trust_environment=True)
    monkeypatch.setenv("HTTPS_PROXY", "ftp://a:1")
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        async with open_client(base_url="https://api.example", network=network):
            pass


@pytest.fixture
def way(monkeypatch):
    def found(environ, scheme="https", host="api.example", **network):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        settings = NetworkSettings(trust_environment=True, **network)
        return proxy_for(settings, scheme, host, 443)

    return found


def test_a_variable_may_leave_the_scheme_out_and_hold_credentials(way):
    found = way({"HTTPS_PROXY": "us%40er:p%2Fw@proxy:8080"})
    assert (False, "proxy", 8080) == (found.secure, found.host, found.port)
    assert Secret("us@er:p/w") == found.credentials
    assert "proxy:8080" == str(found)
    assert "p/w" not in repr(found)


def test_a_setting_goes_before_a_variable(way):
    found = way({"HTTPS_PROXY": "http://other:1", "NO_PROXY": "*"}, proxy=PROXY)
    assert "proxy.example" == found.host


@pytest.mark.parametrize(
    ("scheme", "host"), [("http", "127.0.0.1"), ("https", "localhost"), ("https", "::1")]
)
def test_no_variable_sends_what_stays_on_this_machine_elsewhere(way, scheme, host):
    assert way({"HTTPS_PROXY": PROXY}) is not None
    assert way({"HTTPS_PROXY": PROXY}, scheme, host) is None


def test_the_small_letters_go_first(way):
    environ = {"HTTPS_PROXY": "http://big:1", "https_proxy": "http://small:1"}
    assert "small" == way(environ).host
    assert way({**environ, "no_proxy": "example", "NO_PROXY": "other"}) is None


EXCEPTED = [
    ("*", "slack.com", True),
    ("slack.com", "slack.com", True),
    ("slack.com", "api.slack.com", True),
    (".slack.com", "api.slack.com", True),
    ("*.slack.com", "api.slack.com", True),
    ("SLACK.com.", "slack.com", True),
    ("slack.com", "notslack.com", False),
    ("a.example, slack.com ,b.example", "slack.com", True),
    ("slack.com:443", "slack.com", True),
    ("slack.com:8443", "slack.com", False),
    ("10.0.0.0/8", "10.1.2.3", True),
    ("10.0.0.0/8", "11.1.2.3", False),
    ("10.0.0.0/99", "10.1.2.3", False),
    ("10.1.2.3", "10.1.2.3", True),
    ("10.1.2.3:443", "10.1.2.3", True),
    ("10.1.2.3:80", "10.1.2.3", False),
    ("[fd00::1]", "fd00::1", True),
    ("[fd00::1]:443", "fd00::1", True),
    ("[fd00::1]:80", "fd00::1", False),
    ("[fd00::1]:443", "fd00::2", False),
    ("[]:443", "fd00::1", False),
    ("fd00::/8", "fd00::1", True),
    ("10.0.0.0/8", "slack.com", False),
    ("", "slack.com", False),
    (",,.", "slack.com", False),
]


@pytest.mark.parametrize(("no_proxy", "host", "expected"), EXCEPTED)
def test_no_proxy_names(no_proxy, host, expected):
    assert expected == is_excepted(host, 443, no_proxy)


def found_at(monkeypatch, file, folder, bundles=()):
    """What is trusted where OpenSSL was built for these places."""
    paths = SimpleNamespace(openssl_cafile=str(file), openssl_capath=str(folder))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(network, "_BUNDLES", bundles)
    return system_context().cert_store_stats()["x509_ca"]


def test_what_the_system_trusts_is_found_where_openssl_was_built_to_look(
    folder, tmp_path, monkeypatch
):
    """Or else where systems keep it; never where SSL_CERT_FILE says."""
    authority, nowhere = folder / "ca.pem", tmp_path / "nowhere"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert 1 == found_at(monkeypatch, authority, nowhere)
    assert 0 == found_at(monkeypatch, nowhere, nowhere)
    assert 1 == found_at(monkeypatch, nowhere, nowhere, ("/nowhere", str(authority)))
    assert 1 == found_at(monkeypatch, nowhere, tmp_path, (str(authority),)), "an empty folder"
    (tmp_path / "0a1b2c3d.0").write_bytes(authority.read_bytes())
    assert 0 == found_at(monkeypatch, nowhere, tmp_path, (str(authority),)), "asked when needed"


@pytest.mark.parametrize(
    ("url", "shown", "port", "path"),
    [
        ("https://slack.com/api", "https://slack.com", 443, "/api"),
        ("https://API.Example.org:443/x/", "https://api.example.org", 443, "/x"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081", 8081, ""),
        ("http://[::1]:80/a%20b", "http://[::1]", 80, "/a%20b"),
        ("https://[2606:4700::1111]:8443", "https://[2606:4700::1111]:8443", 8443, ""),
        ("https://a.example:80/p/q", "https://a.example:80", 80, "/p/q"),
    ],
)
def test_an_origin_is_what_requests_go_to(url, shown, port, path):
    origin, rest = origin_of(url)
    assert (shown, port, path) == (str(origin), origin.port, rest)
    assert origin.host == shown.partition("//")[2].removesuffix(f":{port}").strip("[]")
