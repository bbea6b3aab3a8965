"""A look at an envelope sees it as of one moment, whatever is written meanwhile."""

import apsw
import pytest

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core.testing.outbox_contract import Entries


@pytest.mark.parametrize("by", ["id", "scope"])
async def test_what_ends_during_a_look_is_found_all_the_same(tmp_path, monkeypatch, by):
    """It moves to the table that was looked into before; whoever sees none sends it again."""
    one, path = Entries()("one", key="k"), tmp_path / "outbox.db"
    async with SqliteOutbox(path, SqliteSettings()) as outbox:
        await outbox.append(one, lambda: None)
        rows = outbox._reader._rows

        def later(sql, bound):
            with apsw.Connection(str(path)) as other:
                other.execute("DELETE FROM envelopes")
            return rows(sql, bound)

        monkeypatch.setattr(outbox._reader, "_rows", later)
        assert one == (await outbox.find(getattr(one, by))).stored.entry
