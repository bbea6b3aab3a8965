"""Contract drift: every request that an adapter makes in any test is held against a table.

The table is `tests/requests.toml`. What a test starts as a process of its own is watched as well:
`tests/watching` stands on its path, and tells by a file.
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

TABLE = tomllib.loads((Path(__file__).parents[1] / "requests.toml").read_text())
TOLD = "GATEWAY_TESTS_DRIFT"
"""The variable that names the file in which processes tell what they saw."""

KINDS = {
    str: "text",
    bool: "flag",
    int: "whole",
    float: "number",
    list: "list",
    tuple: "list",
    dict: "object",
}
_PATTERNS = (
    (re.compile(r"/reactions/[^/]+"), "/reactions/{emoji}"),
    (re.compile(r"/(interactions|webhooks)/[0-9]+/[^/]+"), r"/\1/{id}/{token}"),
    (re.compile(r"/[0-9]+"), "/{id}"),
)
_SECRET_URL = re.compile(r"(actions|app|commands|services|upload)/.*")
"""A response_url (of a form it begins with `app`), an incoming webhook, or where a file goes."""
_TELEGRAM = "/bot{secret}/"


def kind_of(value):
    """A secret is a text when it is sent; a file is given as its source."""
    if hasattr(value, "open"):
        return "file"
    return "text" if hasattr(value, "reveal") else KINDS.get(type(value))


def fields_of(body):
    """Those of a streamed form: a file by its name without numbers, Discord's JSON unpacked."""
    fields = {}
    for field in getattr(body, "fields", ()):
        if field.filename is not None:
            fields[re.sub("[0-9]+", "", field.name)] = field.content
        elif field.name == "payload_json":
            fields |= json.loads(field.content.content)
        else:
            fields[field.name] = field.content.content.decode()
    return fields


def kinds_of(value, known):
    """In a form every value is a text, and JSON where the table wants something else."""
    if isinstance(value, str) and "text" not in known:
        with suppress(ValueError):
            return kind_of(json.loads(value))
    return kind_of(value)


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
        return _SECRET_URL.sub(r"\1/{secret}", path.removeprefix("/")), fields
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
        if kinds_of(value, known.get(name, "").split()) not in known.get(name, "").split()
    ]


def watch(client: type, note: Callable[[str], object]) -> None:
    """Let `note` hear what an adapter sends beyond the table through clients of that class."""
    request = client.request

    async def checked(self, method, path, *, json=None, form=None, body=None, headers=None):
        channel, fields = adapter(), json if form is None else form
        if channel is not None:
            every = {**(fields or {}), **fields_of(body)}
            for line in drift(channel, *named(channel, method, path, every)):
                note(line)
        headers = headers or {}
        return await request(self, method, path, json=json, form=form, body=body, headers=headers)

    client.request = checked


def tell(line: str) -> None:
    """As a process that a test began: it may be killed at any moment."""
    with Path(os.environ[TOLD]).open("a") as told:
        told.write(f"{line}\n")


class Told:
    """What the processes of a test run told."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        path.touch()

    def fresh(self) -> list[str]:
        """What nobody has been told yet."""
        lines = self._path.read_text().splitlines()
        lines, self._read = lines[self._read :], len(lines)
        return lines
