"""Files of groups that processes hand over which deliver nothing: bytes, paths and URLs."""

from functools import partial

import pytest
import trio
from amounts import amount
from fetched_from import CAT, NoUrls, serving
from postgres_shared import Shared
from sealed import FIRST

from gateway_core import Disposition, File, FilesSettings, Invalid, Send
from gateway_core.groups import feeding, job

KEYS = {"plain": (), "sealed": (FIRST,)}


@pytest.fixture(params=list(KEYS)[: amount("kinds of outboxes that are handed over to")])
def shared(server, emptied_schema, request, monkeypatch):
    for module in (job, feeding):
        monkeypatch.setattr(module, "AGAIN", 0.05)
    return Shared(server, emptied_schema, KEYS[request.param])


def by_room(channel):
    """What the files of each room's messages are made of."""
    return {
        room: [[channel.contents[name] for name in channel.files.get(one, ())] for one in messages]
        for room, messages in channel.rooms.items()
    }


async def none_left(shared):
    counts = "SELECT (SELECT count(*) FROM pieces), (SELECT count(*) FROM bytes)"
    while shared.ran(counts) != [(0, 0)]:  # noqa: ASYNC110 - another process's
        await trio.sleep(0.01)


async def test_a_group_has_the_files_that_its_caller_reads(shared, tmp_path):
    """Each content is handed over once; the owner may come later, or be another one then."""
    (tmp_path / "large.bin").write_bytes(large := bytes(range(256)) * 2_000)
    picture, path = File(b"picture", name="cat.png"), File(tmp_path / "large.bin")
    every = [
        Send(instance_id="bot", external_room_id=room, text="own", files=files)
        for room, files in {"c": (picture,), "d": (path, picture), "e": ()}.items()
    ]
    jobs = []
    async with shared.producer() as producer:
        with pytest.raises(Invalid, match=r"^files\.0: 'no/such\.png' cannot be read"):
            await producer.broadcast("bot", ["a"], "all", files=[File("no/such.png")])

        async def hand_over(group):
            jobs.append(await group())

        async with trio.open_nursery() as nursery:
            files = [picture, path]
            broadcast = partial(producer.broadcast, "bot", ["a", "b"], "all", files=files, key="k")
            nursery.start_soon(hand_over, broadcast)
            nursery.start_soon(hand_over, partial(producer.submit_many, every))
            while shared.ran("SELECT count(*) FROM handed") != [(2,)]:  # noqa: ASYNC110 - likewise
                await trio.sleep(0.01)
            (tmp_path / "large.bin").unlink()
            async with shared.owner():
                while len(jobs) < 2:  # noqa: ASYNC110 - likewise
                    await trio.sleep(0.01)
                counts = [dict((await each.wait()).counts) for each in jobs]
                await none_left(shared)
    assert [{Disposition.DELIVERED: 2}, {Disposition.DELIVERED: 3}] == sorted(counts, key=str)
    wanted = {
        "a": [[b"picture", large]],
        "b": [[b"picture", large]],
        "c": [[b"picture"]],
        "d": [[large, b"picture"]],
        "e": [[]],
    }
    assert wanted == by_room(shared.channel)


async def test_what_it_may_fetch_is_fetched_here_once(shared):
    """By whoever hands over, whose owner gets the bytes and asks no host."""
    async with serving() as host:
        url, plugins = File(f"{host.url}/cat.png"), [NoUrls()]
        may = {"plugins": plugins, "files": FilesSettings(fetch_from=[host.url])}
        async with shared.owner(plugins=plugins) as owner, shared.producer(**may) as producer:
            with pytest.raises(Invalid, match=r"files\.0: it fetches nothing"):
                await owner.send("bot", "a", "", files=[url])
            job = await producer.broadcast("bot", ["a", "b"], "all", files=[url])
            assert {Disposition.DELIVERED: 2} == dict((await job.wait()).counts)
            assert 1 == len(host.asked)
            assert (await producer.send("bot", "c", "one", files=[url])).delivered
            assert 2 == len(host.asked)
            await none_left(shared)
    assert {"a": [[CAT]], "b": [[CAT]], "c": [[CAT]]} == by_room(shared.channel)
