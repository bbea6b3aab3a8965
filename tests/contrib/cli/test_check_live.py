"""`gateway check --live`: a sentence for whatever a probe comes to, and what to do about it."""

from __future__ import annotations

import json

import pytest
from starlette.responses import Response

from gateway_contrib.cli.advice import advice
from gateway_core import ErrorClass, Instance, Reason, Secret, Verdict
from gateway_plugin_slack.settings import Settings

HTML = b"<html><h1>hello</h1></html>"
VIA = {"Via": "1.1 google"}
THE_TOKEN = "does not know the token"
ELSEWHERE = "What answers at http://"
ITS_FAULT = "The platform has a fault of its own: wait"
TOO_MUCH = "has sent too many requests: try again in "


def slack(error, **more):
    return 200, {"ok": False, "error": error, **more}, {}


def telegram(status, description, **parameters):
    body = {"ok": False, "error_code": status, "description": description}
    return status, {**body, "parameters": parameters}, {}


def discord(status, code, **more):
    return status, {"message": "said so", "code": code, **more}, VIA


# (channel, the answer on the wire, what is said)
ANSWERS = [
    ("slack", slack("invalid_auth"), THE_TOKEN),
    ("slack", slack("token_revoked"), "The token was revoked: install the app again"),
    ("slack", slack("token_expired"), "The token has expired: with refresh_token, client_id"),
    ("slack", slack("account_inactive"), "account was deactivated"),
    ("slack", slack("not_authed"), "got no token"),
    ("slack", slack("missing_scope", needed="chat:write"), "lacks a scope: add the one that is"),
    ("slack", slack("missing_scope", needed="chat:write"), "[missing_scope (needed: chat:write)]"),
    ("slack", slack("not_allowed_token_type"), "a token of another kind"),
    ("slack", slack("two_factor_setup_required"), "two-factor authentication"),
    ("slack", slack("access_denied"), "has barred this account"),
    ("slack", (429, b"", {"Retry-After": "30"}), TOO_MUCH + "30 s"),
    ("slack", slack("ratelimited"), TOO_MUCH + "a minute"),
    ("slack", (503, HTML, {}), ITS_FAULT),
    ("slack", slack("service_unavailable"), ITS_FAULT),
    ("slack", (200, HTML, {}), ELSEWHERE),
    ("slack", (404, HTML, {}), ELSEWHERE),
    ("slack", (302, b"", {"Location": "/"}), ELSEWHERE),
    ("slack", slack("a_word_from_next_year"), "and the gateway does not know why"),
    ("telegram", telegram(401, "Unauthorized"), THE_TOKEN),
    ("telegram", telegram(404, "Not Found"), THE_TOKEN),
    ("telegram", telegram(429, "Too Many Requests", retry_after=600), TOO_MUCH + "10 minutes"),
    ("telegram", (502, HTML, {}), ITS_FAULT),
    ("telegram", (404, HTML, {}), ELSEWHERE),
    ("telegram", (200, HTML, {}), ELSEWHERE),
    ("telegram", (403, HTML, {}), ELSEWHERE),
    ("telegram", (301, b"", {"Location": "/"}), ELSEWHERE),
    ("discord", discord(401, 0), THE_TOKEN),
    ("discord", discord(401, 50014), THE_TOKEN),
    ("discord", discord(403, 40002), "bans the bot until its owner verifies"),
    ("discord", discord(403, 40333), "blocks this machine's address for a while: wait 10 minutes"),
    ("discord", (429, HTML, {}), "blocks this machine's address for a while: wait 10 minutes"),
    ("discord", discord(429, 0, retry_after=1.5), TOO_MUCH + "2 s"),
    ("discord", (503, b"upstream connect error", {}), ITS_FAULT),
    ("discord", (200, HTML, {}), ELSEWHERE),
    ("discord", (404, HTML, {}), ELSEWHERE),
    ("discord", (302, b"", {"Location": "/"}), ELSEWHERE),
]


@pytest.mark.parametrize(
    ("program", "answer", "said"),
    [pytest.param(*row, id=f"{row[0]} {row[1][0]} {row[2][:30]}") for row in ANSWERS],
    indirect=["program"],
)
def test_what_is_wrong_is_said_in_a_sentence(program, answer, said):
    status, body, headers = answer
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def app(scope, receive, send):
        await Response(raw, status, headers)(scope, receive, send)

    program.emulator.app = app
    code, out, err = program("check", "--live")
    assert (1, ["gateway: not working: bot"]) == (code, err)
    assert out.startswith(f"bot ({program.channel}): does not work: ")
    assert said in out
    assert 1 == out.count("\n")


ASKS = "ProxyError: the proxy p:1 answered 407 No to CONNECT; it takes credentials of"
INSTANCE = Instance("bot", "slack", Settings(token=Secret("xoxb-1"), base_url="https://x.example"))


@pytest.mark.parametrize(
    ("reason", "raw", "said"),
    [
        (Reason.UNREACHABLE, "OSError: all attempts to connect to 127.0.0.1:9 failed",
         "Nobody answers at https://x.example: correct base_url"),
        (Reason.UNREACHABLE, "gaierror: [Errno -2] Name or service not known",
         "The name in https://x.example is not found"),
        (Reason.UNREACHABLE, "BrokenResourceError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate",
         "does not trust its certificate. Set ca_file if a company"),
        (Reason.UNREACHABLE, "BrokenResourceError: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13",
         "configure client_certificate and client_key"),
        (Reason.UNREACHABLE, "ProxyError: the proxy p:1 answered 407 No to CONNECT",
         "correct proxy_credentials"),
        (Reason.UNREACHABLE, f"{ASKS} Basic, NTLM", "correct proxy_credentials"),
        (Reason.UNREACHABLE, f"{ASKS} NTLM, Negotiate", "run a helper on this machine"),
        (Reason.UNREACHABLE, "ProxyError: the proxy p:1 answered 403 No to CONNECT",
         "does not allow connections to https://x.example"),
        (Reason.UNREACHABLE, "ProxyError: the proxy p:1 answered 502 No to CONNECT",
         "The proxy does not reach https://x.example"),
        (Reason.UNREACHABLE, "ProxyError: the proxy p:1: all attempts to connect to p:1 failed",
         "correct the address and port of proxy"),
        (Reason.UNREACHABLE, "ProxyError: the proxy p:1: [SSL: WRONG_VERSION_NUMBER] wrong",
         "correct the address and port of proxy"),
        (Reason.UNREACHABLE, "ConnectTimeout: no connection within 10 s through the proxy p:1",
         "There is no way through the proxy"),
        (Reason.OUTCOME_UNKNOWN, "the probe did not end within 30 s", "but does not answer"),
        (Reason.RATE_LIMITED, "8000 answers of 401, 403 or 429 in 10 minutes: the gateway sends",
         "blocks this machine's address"),
        (Reason.HOOK_CONTRACT, "irc: hook probe: no Identity", "plugin has a bug"),
        (Reason.UNCLASSIFIED, "ValueError: /srv/tokens.json: no file of Slack tokens",
         "The token file is damaged"),
        (Reason.BAD_REQUEST, "", "and the gateway does not know why: its own words may say it."),
    ],
)  # fmt: skip
def test_what_no_answer_says_is_said_as_well(reason, raw, said):
    verdict = Verdict(error_class=ErrorClass.RETRYABLE, reason=reason, raw=raw)
    sentence = advice(INSTANCE, verdict)
    assert said in sentence
    assert sentence.endswith(f"[{raw}]" if raw else ".")


@pytest.fixture
def half_damaged(program, tmp_path):
    """The program, with an account whose session does not open beside one that works."""
    (tmp_path / "tokens.json").write_text("no tokens")
    with (tmp_path / "gateway.toml").open("a") as file:
        file.write(
            '[instances.worn]\nchannel = "slack"\ntoken = "xoxe.xoxb-1"\nrefresh_token = "xoxe-1"\n'
            'client_id = "1.2"\nclient_secret = "0badcafe"\n'
            f'token_file = "{tmp_path}/tokens.json"\n'
        )
    return program


def test_nothing_stands_between_its_sentences_but_what_verbose_asks_for(half_damaged):
    """The log would say of a session in its own words what the sentence says in ours."""
    code, out, err = half_damaged("check", "--live")
    assert (1, ["gateway: not working: worn"]) == (code, err)
    works, does_not = out.splitlines()
    assert works.startswith("bot (slack): works")
    assert does_not.startswith("worn (slack): does not work: The token file is")
    loud = half_damaged("check", "--live", "--verbose")[2]
    assert [line for line in loud if "event='gateway.session_failed'" in line]


LEAST = """
import attrs
from gateway_core.authors import Answer, hookimpl
GATEWAY_CONTRACT = 1
@attrs.frozen
class Settings:
    pass
@hookimpl
def settings_type():
    return Settings
@hookimpl
async def send():
    return Answer()
"""


def test_a_channel_without_a_probe_is_not_said_to_be_out_of_order(program, tmp_path, monkeypatch):
    """The least channel that works has two hooks: nobody can ask its platform."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gateway_plugin_drum.py").write_text(LEAST)
    about = tmp_path / "drum-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: drum\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gateway_plugin]\ndrum = gateway_plugin_drum\n")
    with (tmp_path / "gateway.toml").open("a") as file:
        file.write('[instances.hill]\nchannel = "drum"\n')
    code, out, err = program("check", "--live")
    assert (0, []) == (code, err)
    said = "hill (drum): configured; its channel has no probe, so it was not asked"
    assert said == out.splitlines()[1]
