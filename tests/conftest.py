"""Contract drift: every request that an adapter makes in any test is held against a table.

What tests of several places share stands in `shared`, and is imported from there by its name.
"""

import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import settings

from gateway_core.http import HttpClient

# How fast an example is says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

sys.path.insert(0, str(Path(__file__).parent / "shared"))

TABLE = tomllib.loads((Path(__file__).parent / "requests.toml").read_text())
KINDS = {str: "text", bool: "flag", int: "whole", list: "list", tuple: "list", dict: "object"}
_PATTERNS = (
    (re.compile(r"/reactions/[^/]+"), "/reactions/{emoji}"),
    (re.compile(r"/(interactions|webhooks)/[0-9]+/[^/]+"), r"/\1/{id}/{token}"),
    (re.compile(r"/[0-9]+"), "/{id}"),
)
_TELEGRAM = "/bot{secret}/"
_drifted: list[str] = []


def adapter():
    """The channel whose adapter awaits the request; None: a test makes it by hand."""
    asking = sys._getframe(2).f_globals["__name__"]
    found = re.match(r"gateway_plugin_(\w+)\.", asking)
    return found[1] if found and found[1] in TABLE else None


def named(channel, verb, path, fields):
    """(method, fields) of a request, without its ids."""
    if channel == "telegram":
        return path.removeprefix(_TELEGRAM), fields
    if channel == "slack":
        return path.removeprefix("/"), fields
    path, _, query = path.partition("?")
    for pattern, name in _PATTERNS:
        path = pattern.sub(name, path)
    return f"{verb} {path}", {**fields, **dict(parse_qsl(query))}


def drift(channel, method, fields):
    """What of a request is not in the table."""
    methods = TABLE[channel]["methods"]
    # The Bot API does not look at a method's case.
    spelled = {name.lower(): name for name in methods} if channel == "telegram" else {}
    known = methods.get(spelled.get(method.lower(), method))
    if known is None:
        return [f"{channel}: no method {method}"]
    return [
        f"{channel} {method}: {name} = {value!r}, but the table says {known.get(name)}"
        for name, value in fields.items()
        if KINDS.get(type(value)) not in known.get(name, "").split()
    ]


_request = HttpClient.request


async def _checked(self, method, path, *, json=None, form=None, headers=None):
    channel, fields = adapter(), json if form is None else form
    if channel is not None:
        _drifted.extend(drift(channel, *named(channel, method, path, dict(fields or {}))))
    return await _request(self, method, path, json=json, form=form, headers=headers or {})


HttpClient.request = _checked


@pytest.fixture(autouse=True)
def _no_request_beyond_the_table():
    _drifted.clear()
    yield
    assert [] == _drifted, "not in tests/requests.toml"
