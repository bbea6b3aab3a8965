"""What the guide to accounts by the thousand shows is run."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway_core import GatewayConfig, InstanceSourceError, UnknownInstance, blocking
from gateway_plugin_telegram.settings import TelegramSettings

PAGE = Path(__file__).parents[2] / "docs/how-to/serve-many-tenants.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKEN = "123456:" + "A" * 35


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """The program of the page, with a database of two tenants, and Telegram far away."""
    monkeypatch.chdir(tmp_path)
    outbox = f"sqlite://{tmp_path}/outbox.db"
    Path("gateway.toml").write_text(f'outbox = "{outbox}"\ndrain_timeout = 0\n')
    with closing(sqlite3.connect("tenants.db")) as database:
        database.execute("CREATE TABLE tenants (id TEXT PRIMARY KEY, token TEXT NOT NULL)")
        rows = [("acme", TOKEN), ("broken", "no token")]
        database.executemany("INSERT INTO tenants VALUES (?, ?)", rows)
        database.commit()
    names = {}
    for code in FENCE.findall(PAGE.read_text()):
        exec(code, names)  # noqa: S102 - the page's own words
    with names["gateway"]:
        yield names


def test_a_tenant_of_the_database_is_served(shown):
    gateway = shown["gateway"]
    found = gateway.find_instance("acme", timeout=30)
    assert TelegramSettings is type(found.settings)
    assert TOKEN == found.settings.token.reveal()
    with pytest.raises(UnknownInstance):
        shown["shipped"]("nobody", "42", 17)
    with pytest.raises(InstanceSourceError, match=r"'broken'.*'token' must be"):
        shown["shipped"]("broken", "42", 17)


def test_a_message_is_accepted_once_for_its_order(shown):
    gateway = shown["gateway"]
    gateway.find_instance("acme", timeout=30)
    gateway.suspend("acme")  # nothing goes out of here
    assert shown["shipped"]("acme", "42", 17) == shown["shipped"]("acme", "42", 17)


def test_another_token_is_used_at_once(shown):
    gateway = shown["gateway"]
    gateway.find_instance("acme", timeout=30)
    with closing(sqlite3.connect("tenants.db")) as database:
        database.execute("UPDATE tenants SET token = ?", ("654321:" + "B" * 35,))
        database.commit()
    shown["token_changed"]("acme")
    assert gateway.find_instance("acme", timeout=30).settings.token.reveal().startswith("654321:")


def test_what_the_page_names_is_there():
    assert {"at_once", "timeout", "idle"} == {
        field.name for field in GatewayConfig().instance_source.__attrs_attrs__
    }
    assert callable(blocking.Gateway.find_instance)
