"""A look at an envelope sees it as of one moment, whatever is written meanwhile."""

import pytest
from postgres_runs import ran

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings, reading
from gateway_core.testing.outbox_contract import Entries

ENDS = """WITH gone AS (DELETE FROM envelopes RETURNING *) INSERT INTO history
        (account, seq, id, number, room, disposition, reason, raw, accepted_at, deadline, ended_at,
        fingerprint, receipt, stream)
    SELECT account, seq, id, 1, room, 'delivered', '', '', accepted_at, deadline, accepted_at,
        fingerprint, '', stream FROM gone"""


@pytest.mark.parametrize("by", ["id", "scope"])
async def test_what_ends_during_a_look_is_found_all_the_same(
    server, emptied_schema, monkeypatch, by
):
    """It moves to the table that was looked into before; whoever sees none sends it again."""
    one, stored_at = Entries()("one", key="k"), reading.stored_at

    def later(connection, seals, seqs):
        ran(server, emptied_schema, ENDS)
        return stored_at(connection, seals, seqs)

    settings = PostgresSettings(schema=emptied_schema, lease=60)
    async with PostgresOutbox(server.url(), settings) as outbox:
        await outbox.append(one, lambda: None)
        monkeypatch.setattr(reading, "stored_at", later)
        assert one == (await outbox.find(getattr(one, by))).stored.entry
