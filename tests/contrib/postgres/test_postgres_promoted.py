"""A synchronous standby is promoted under load: of what was acknowledged none is lost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs
import postgres_load
import postgres_server
import pytest
import trio
from amounts import amount

LEASE = 5
PATIENCE = 240.0
"""Seconds that nothing takes unless it hangs."""
MESSAGES = amount("messages of a room while a standby is promoted")
FATES = (True, False)[: amount("fates of an owner while a standby is promoted")]
"""Whether the owner dies with the primary."""


class Standby(postgres_server.Server):
    """A copy of the primary, which follows it by the name that the primary waits for."""

    def __init__(self, primary):
        super().__init__()
        self._primary = primary

    def make(self):
        place = f"host={self._primary.folder} port={self._primary.port} user=postgres"
        named = f"{place} application_name=follower"
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d", named)


@contextmanager
def pair():
    """A primary whose every COMMIT waits for its standby, and that standby."""
    waits = ("synchronous_commit=on", "synchronous_standby_names=follower")
    primary = postgres_server.Server(*waits).start()
    try:
        standby = Standby(primary)
        try:
            standby.start()
            while [("sync",)] != primary.execute("SELECT sync_state FROM pg_stat_replication"):
                os.sched_yield()
            yield primary, standby
        finally:
            standby.remove()
    finally:
        primary.remove()


def kill(server):
    """All of its processes at once, as where its host is gone."""
    first = server.process_id
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    for process in (first, *map(int, children)):
        os.kill(process, signal.SIGKILL)
    server.end(signal.SIGKILL)


@attrs.define(eq=False)
class Process:
    """One that submits, and what it said."""

    process: trio.Process
    opened: trio.Event = attrs.field(factory=trio.Event)
    stands_by: trio.Event = attrs.field(factory=trio.Event)
    done: trio.Event = attrs.field(factory=trio.Event)
    killed: bool = False

    def kill(self):
        """Its end is no surprise."""
        self.killed = True
        self.process.kill()


class Load:
    """Processes on one outbox, and what they have been told of their messages.

    sent    by room, in order, by whichever process
    owners  names of the processes that owned the outbox, one after the other
    """

    def __init__(self, primary, standby, errors):
        hosts = f"host={primary.folder},{standby.folder}&port={primary.port},{standby.port}"
        self._url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"
        self.accepted, self.refused = defaultdict(list), defaultdict(list)
        self.sent = defaultdict(list)
        self.owners = []
        self._news = trio.Event()
        self._errors = errors

    @property
    def count(self):
        return sum(map(len, self.accepted.values()))

    @property
    def left(self):
        """Acknowledged and not sent, by room."""
        left = {room: set(told) - set(self.sent[room]) for room, told in self.accepted.items()}
        return {room: numbers for room, numbers in left.items() if numbers}

    async def begin(self, nursery, role, name):
        words = (postgres_load.__file__, self._url, str(LEASE), role, name, str(MESSAGES))
        begin = partial(
            trio.run_process, [sys.executable, *words], check=False,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        one = Process(await nursery.start(begin))
        nursery.start_soon(self._listen, one, name)
        return one

    async def _listen(self, one, name):
        rest = b""
        async with one.process.stdout, one.process.stdin:
            async for some in one.process.stdout:
                *lines, rest = (rest + some).split(b"\n")
                for line in lines:
                    if line.startswith(b"["):  # else it is the log's
                        self._heard(one, name, *json.loads(line))
                    elif b"gateway.outbox_stands_by" in line:
                        one.stands_by.set()
        if not one.killed:
            self._errors.seek(0)
            told = self._errors.read().decode()[-2_000:]
            pytest.fail(f"a process ended with status {await one.process.wait()}: {told}")

    def _heard(self, one, name, word, *rest):
        if word == "open":
            one.opened.set()
            self.owners += [] if name == "web" else [name]
        elif word == "done":
            one.done.set()
        else:
            room, number, *_ = rest
            getattr(self, word)[room].append(number)
        self._news.set()
        self._news = trio.Event()

    async def until(self, holds):
        """Wait for what processes say."""
        while not holds():
            await self._news.wait()


async def promoted(dies):
    """What processes heard while the primary died and its standby was promoted.

    dies  so does the owner, at the same time
    """
    with pair() as (primary, standby), tempfile.TemporaryFile() as errors:
        load = Load(primary, standby, errors)
        async with trio.open_nursery() as nursery:
            roles = {"one": "own", "another": "own", "web": "hand over"}
            every = {name: await load.begin(nursery, role, name) for name, role in roles.items()}
            await every["web"].opened.wait()
            await load.until(lambda: load.owners)
            (other,) = {"one", "another"} - set(load.owners)
            await every[other].stands_by.wait()  # before that, a dead primary ends it
            for each in every.values():
                await each.process.stdin.send_all(b"go\n")
            await load.until(lambda: load.count > postgres_load.ROOMS * MESSAGES // 2)
            first = every[load.owners[0]]
            if dies:
                first.kill()
            kill(primary)
            standby.execute("SELECT pg_promote(wait => false)")
            await every["web"].done.wait()
            await load.until(lambda: every[load.owners[-1]].done.is_set() and not load.left)
            for each in every.values():
                each.kill()
    return load


async def test_of_what_was_acknowledged_none_is_lost_and_rooms_keep_their_order():
    """The owner goes on with the new primary, or another takes over, as where it died too."""
    if postgres_server.programs() is None:
        pytest.skip("not tried: there is no PostgreSQL server here (Debian's `postgresql`)")
    loads = {}

    async def one(dies):
        loads[dies] = await promoted(dies)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for dies in FATES:
                nursery.start_soon(one, dies)
    for load in loads.values():
        assert {} == load.left
        for room, sent in load.sent.items():
            firsts = list(dict.fromkeys(sent))
            assert sorted(firsts) == firsts
            assert len(sent) <= len(firsts) + 1  # what was under way is unknown, and is repeated
            assert not set(sent) & set(load.refused[room])
    assert {"one", "another"} == set(loads[True].owners)
