"""How a process stands with the outbox, as its statistics tell it."""

import pytest
import trio
from postgres_shared import Shared

from gateway_core import OutboxError


@pytest.fixture
def shared(server, emptied_schema):
    return Shared(server, emptied_schema)


async def test_an_owner_counts_what_it_takes_and_how_long_that_had_waited(shared):
    async with shared.producer() as producer:
        ticket = await producer.enqueue("bot", "room", "text")
        shared.ran("UPDATE handed SET handed_at = handed_at - interval '100 s'")
        async with shared.owner() as owner:
            assert (await ticket.receipt()).delivered
            tenure = owner.statistics().tenure
        assert producer.statistics().tenure is None
    assert (True, 1, 0, 0, 1) == (
        tenure.owns, tenure.takeovers, tenure.lost, tenure.fenced, tenure.taken
    )  # fmt: skip
    assert 0 < tenure.lease <= 60
    assert 100 <= tenure.waited < 200


async def test_one_that_was_followed_says_so_and_counts_when_it_has_it_again(shared):
    async with shared.owner() as owner:
        await owner.send("bot", "room", "text")
        shared.ran("DELETE FROM members")  # as whoever stands by would
        async with shared.owner() as other:
            with pytest.raises(OutboxError, match="another process"):
                await owner.send("bot", "room", "refused")
            followed = owner.statistics().tenure
            assert (False, 0.0, 1) == (followed.owns, followed.lease, followed.takeovers)
            assert followed.fenced >= 1
            assert followed.lost >= 1
            assert other.statistics().tenure.owns
        while not owner.statistics().tenure.owns:  # noqa: ASYNC110 - it has no event
            await trio.sleep(0.05)
        assert 2 == owner.statistics().tenure.takeovers
