"""Stored bytes that the database has lost a part of: said, and stored anew by the next who can."""

import attrs
import pytest
from postgres_runs import ran
from sealed import FIRST

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core.outboxes import BytesLost
from gateway_core.testing.outbox_contract import Entries, receipt_of
from gateway_core.testing.records_contract.making import Stored

BYTES = Stored(Stored.LARGE * 2)
DAMAGES = {
    "a piece is gone": "DELETE FROM pieces WHERE number = 1",
    "all are gone": "DELETE FROM pieces",
    "one is shorter": "UPDATE pieces SET content = substring(content FROM 2) WHERE number = 0",
}


@pytest.fixture
def schema(emptied_schema):
    return emptied_schema


@pytest.mark.parametrize("keys", [(), (FIRST,)], ids=["plain", "sealed"])
@pytest.mark.parametrize("name", DAMAGES)
async def test_bytes_of_another_size_are_stored_anew(server, schema, name, keys):
    """So that messages that wait have them again, and the next ones."""
    entry, settings = Entries(), PostgresSettings(lease=60, schema=schema)
    async with PostgresOutbox(server.url(), settings, keys=keys) as outbox:

        async def store():
            await outbox.store_bytes(BYTES.digest, BYTES.pieces())

        async def read():
            return await outbox.read_bytes(BYTES.digest, 0, 1 << 30)

        def using():
            return attrs.evolve(entry("with bytes"), files=(BYTES.digest,))

        await outbox.recover("bot")
        await store()
        await outbox.append(using(), lambda: None)
        ran(server, schema, DAMAGES[name])
        with pytest.raises(BytesLost):
            await read()
        await store()
        assert BYTES.whole == await read()
        one = using()
        await outbox.append(one, lambda: None)
        outbox.finished(receipt_of(one))
        await outbox.flush()
        assert BYTES.whole == await read()
        uploads = ran(server, schema, "SELECT DISTINCT upload FROM pieces")
        assert ran(server, schema, "SELECT upload FROM bytes") == uploads
