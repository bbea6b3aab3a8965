"""Finds contract drift: compares every request that an adapter makes in any test with a table.

The table is `tests/requests.toml`. Processes that a test starts are watched as well:
`tests/watching` is on their path, and reports in a file.
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
"""The environment variable that names the file in which processes report."""

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
    (re.compile(r"/[0-9]+(%2F[^/]*)?"), "/{id}"),  # or one that tries to be several words
)
_SECRET_URL = re.compile(r"(actions|app|commands|services|upload)/.*")
"""A response_url (a form's begins with `app`), an incoming webhook, or a URL for an upload."""
_TELEGRAM = "/bot{secret}/"


def kind_of(value):
    """The kind of a value; a secret counts as a text, and a source of bytes as a file."""
    if hasattr(value, "open"):
        return "file"
    return "text" if hasattr(value, "reveal") else KINDS.get(type(value))


def fields_of(body):
    """A streamed form's fields: files by their names without numbers, Discord's JSON unpacked."""
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
    """The kind of a value; a text is read as JSON if the table wants another kind than a text."""
    if isinstance(value, str) and "text" not in known:
        with suppress(ValueError):
            return kind_of(json.loads(value))
    return kind_of(value)


def adapter():
    """The channel whose adapter makes the request; None: a test makes it itself."""
    asking = sys._getframe(2).f_globals["__name__"]
    found = re.match(r"gateway_plugin_(\w+)\.", asking)
    return found[1] if found and found[1] in TABLE else None


def named(channel, verb, path, fields):
    """(method, fields) of a request, without the ids in its path."""
    if channel == "telegram":
        return path.removeprefix(_TELEGRAM), fields
    if channel == "slack":
        return _SECRET_URL.sub(r"\1/{secret}", path.removeprefix("/")), fields
    path, _, query = path.partition("?")
    for pattern, name in _PATTERNS:
        path = pattern.sub(name, path)
    return f"{verb} {path}", {**fields, **dict(parse_qsl(query))}


def drift(channel, method, fields):
    """A line for each thing in a request that is not in the table."""
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
    """Call `note` with each thing that an adapter sends, with this class, beyond the table."""
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
    """Report a line from a process that a test started, which may be killed at any moment."""
    with Path(os.environ[TOLD]).open("a") as told:
        told.write(f"{line}\n")


class Told:
    """Reads the reports of a test run's processes."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        path.touch()

    def fresh(self) -> list[str]:
        """The reports that were not returned before."""
        lines = self._path.read_text().splitlines()
        lines, self._read = lines[self._read :], len(lines)
        return lines
