"""Kills, stops and continues the members of one outbox in PostgreSQL, and kills its server.

`python -m bench.crashes --outbox postgresql`: one owner and two standbys, with a lease of five
seconds. An application beside them hands messages over in transactions of its own. The three
emulated platforms run in this process, and note which member each request is from, and when it
came.

With `--accounts spread` six accounts, two on each platform, are spread over three processes, and
each process submits for all accounts. A process that owns accounts is killed or stopped. A process
that is started instead gets its share from the others.

A member's tenure of an account begins when the member owns the account, and ends when the next
member's tenure begins. A member may send requests only in its tenure. The only exception are
requests that were in flight in a process when it was stopped; these are counted.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from random import Random
from statistics import median
from typing import Any

import attrs
import psycopg
import trio

from bench.crashes import ROOT, Outcome, look, platforms
from bench.crashing import ROOMS, channel_of, text_of
from bench.crashing_members import now
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.wire import ASGIApp, Latency, Receive, Scope, Send

sys.path.insert(0, str(ROOT / "tests" / "shared"))

import postgres_server  # of the tests, which start a server in the same way

LEASE = 5.0
STANDBYS = 2
LONGEST = 3.0
"""The most seconds before something happens to an owner."""
PATIENCE = 120.0
"""Seconds within which a member must own the outbox, or another envelope must end."""
NUMBERS = 100_000
"""How many message numbers each process has for itself."""
HANDED = 90_000_000
"""The number of the first message that the application hands over."""
HANDS_EACH = 0.5
"""Seconds between two messages that the application hands over."""
EVERYBODY = 10
"""One of so many kills hits all members at once."""
SENDS = ("sendMessage", "chat.postMessage", "/messages")
SIGNALS = (signal.SIGINT, signal.SIGKILL, signal.SIGQUIT)
"""Signals that end the server, in turn: one ends its sessions, two end all processes at once."""


@attrs.define
class Request:
    """A request of an account by a process; when it came, and when it was answered.

    sends  whether the request makes a message; otherwise it asks who the account is
    """

    account: str
    name: str
    sends: bool
    came: float
    ended: float = float("inf")


@attrs.define(eq=False)
class Member:
    """One process, with its own reports.

    owns    when its tenures of each account began
    tries   when it was about to begin an attempt that is recorded
    stops   from when to when it was stopped
    """

    name: str
    process: trio.Process
    owns: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict(list))
    tries: list[float] = attrs.field(factory=list)
    stops: list[tuple[float, float]] = attrs.field(factory=list)
    alive: bool = True
    errors: bytearray = attrs.field(factory=bytearray, repr=False)

    @property
    def newest(self) -> float:
        """When the member's last tenure began; 0: it has not owned any account."""
        return max((times[-1] for times in self.owns.values()), default=0.0)


@attrs.define
class Shared(Outcome):
    """The outcome with several processes, in addition to that with one process.

    stops, servers  how often a stopped owner was followed by another, and how often the server
                    ended
    remainder       requests in flight in a process that was stopped, and followed by another owner
    overlapping     other requests of a member outside of its tenure
    takeovers       seconds from the end of an owner until the next owner began, for each account
    handed_over     how often an account got another owner, by takeover or handover
    """

    stops: int = 0
    servers: int = 0
    remainder: list[str] = attrs.field(factory=list)
    overlapping: list[str] = attrs.field(factory=list)
    takeovers: list[float] = attrs.field(factory=list)
    handed_over: int = 0

    @property
    def holds(self) -> bool:
        return super().holds and not self.overlapping

    def __str__(self) -> str:
        return (
            f"{super().__str__()}\n{self.stops} stops, {self.servers} ends of the server:"
            f" {len(self.remainder)} requests of what was in flight as a process was stopped,"
            f" {len(self.overlapping)} others outside of a tenure"
        )


class Campaign:
    """One outbox, its members, and the outcome.

    newest  the number of the newest owner of each account, if accounts are spread
    """

    def __init__(self, server: Any, seed: str, *, spread: bool = False) -> None:
        self.outcome = Shared()
        self.spread = spread
        more = [f"{name}-2" for name in ROOMS] if spread else []
        self.accounts = (*ROOMS, *more)
        self.server = server
        self.members: list[Member] = []
        self.requests: list[Request] = []
        self.ids: dict[int, str] = {}
        self.newest: Counter[str] = Counter()
        self.submitted: dict[int, float] = {}
        self.accepted: dict[int, float] = {}
        self.handed: dict[int, str] = {}
        self._rng = Random(seed)
        self._addresses: dict[str, str] = {}
        self._begun = 0
        self._connection: Any = None

    # -- requests that the platforms get

    def watched(self, channel: str, app: ASGIApp) -> ASGIApp:
        """The application, below `/of/NAME`, where NAME is the member that sent the request."""

        async def seen(scope: Scope, receive: Receive, send: Send) -> None:
            _, _, name, rest = str(scope["path"]).split("/", 3)
            sends = rest.endswith(SENDS)
            request = Request(channel, name, sends, now())
            self.requests.append(request)
            path = f"/{rest}"
            try:
                await app({**scope, "path": path, "raw_path": path.encode()}, receive, send)
            finally:
                request.ended = now()

        return seen

    # -- processes

    async def begin(self, nursery: trio.Nursery) -> None:
        name = f"p{self._begun}"
        command = [
            sys.executable, "-m", "bench.crashing_members", "--url", self.server.url(),
            "--addresses", json.dumps(self._addresses), "--name", name,
            "--first", str(self._begun * NUMBERS), "--lease", str(LEASE),
            "--accounts", "spread" if self.spread else "whole",
        ]  # fmt: skip
        self._begun += 1
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        member = Member(name, process)
        self.members.append(member)
        nursery.start_soon(self._listen, member, nursery)

    async def _listen(self, member: Member, members: trio.Nursery) -> None:
        async def complaints() -> None:
            async for some in member.process.stderr:
                member.errors.extend(some)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(complaints)
            rest = b""
            async for some in member.process.stdout:
                *lines, rest = (rest + some).split(b"\n")
                for line in lines:
                    self._heard(member, *line.decode().split())
        code = await member.process.wait()
        if not member.alive:
            return
        said = member.errors[-3000:].decode(errors="replace")
        if member.newest or "OutboxError" not in said:
            raise RuntimeError(f"{member.name} ended by itself: {code} {said}")
        member.alive = False  # it started while the server was down, so it is restarted
        await self.begin(members)

    def _heard(self, member: Member, word: str, *rest: str) -> None:
        at = float(rest[-1])
        if word == "owns":
            self._owned(member, rest[0], int(rest[1]), at)
        elif word == "tries":
            member.tries.append(at)
        elif word == "appends":
            self.ids[int(rest[0])] = rest[1]
        elif word == "submits":
            self.submitted[int(rest[0])] = at
        elif word == "accepted":
            self.accepted[int(rest[0])] = at
            self.ids[int(rest[0])] = rest[1]

    def _owned(self, member: Member, account: str, number: int, at: float) -> None:
        """Note a tenure, unless the member was stopped meanwhile, and another owner followed it."""
        if number >= self.newest[account]:
            self.newest[account] = number
            member.owns[account].append(at)

    async def owner(self, since: float) -> Member:
        """Wait for a living member that owns all accounts, and began to own them after `since`."""
        with trio.move_on_after(PATIENCE):
            while True:
                alive = [member for member in self.members if member.alive]
                newest = max(alive, key=lambda member: member.newest)
                if newest.newest > since and len(newest.owns) == len(self.accounts):
                    return newest
                await trio.sleep(0.02)
        raise RuntimeError(f"no process owns the outbox: {self._told()}")

    def owners(self) -> dict[str, tuple[float, Member]]:
        """Each account's owner and the time since when, by the members' reports."""
        found: dict[str, tuple[float, Member]] = {}
        for member in self.members:
            for account, times in member.owns.items():
                if account not in found or times[-1] > found[account][0]:
                    found[account] = (times[-1], member)
        return found

    async def owned_without(self, gone: Sequence[Member]) -> dict[str, tuple[float, Member]]:
        """Each account's owner, once all accounts are owned by living members other than these."""
        with trio.move_on_after(PATIENCE):
            while True:
                owners = self.owners()
                if len(owners) == len(self.accounts) and all(
                    member.alive and member not in gone for _, member in owners.values()
                ):
                    return owners
                await trio.sleep(0.02)
        raise RuntimeError(f"no process owns some account: {self._told()}")

    def _told(self) -> str:
        """What is known about the members that are alive, to help find a mistake."""
        sql = """SELECT pid, state, wait_event, left(query, 100) FROM pg_stat_activity
            WHERE application_name = 'gateway'"""
        said = [
            f"{it.name} (stopped {it.stops[-1:]}): {it.errors[-1500:].decode(errors='replace')}"
            for it in self.members
            if it.alive
        ]
        owner = self.server.execute("SELECT * FROM gateway.accounts LEFT JOIN gateway.members m "
                                    "USING (member)")  # fmt: skip
        return "\n".join([*said, str(owner), *map(str, self.server.execute(sql))])

    def kill(self, member: Member) -> None:
        member.alive = False
        member.process.kill()

    # -- the course of a campaign

    async def run(self, nursery: trio.Nursery, what: list[str]) -> None:
        for _ in range(1 + STANDBYS):
            await self.begin(nursery)
        left, since, at = deque(what), 0.0, 0.0
        while left:
            owner = await self.owner(since)
            if since and owner.newest > at:
                self.outcome.takeovers.append(owner.newest - at)
            await trio.sleep(self._rng.uniform(0.1, LONGEST))
            since, at, each = owner.newest, now(), left.popleft()
            if each == "server":  # the same member may still be the owner afterwards
                await self._end_server()
                since = 0.0
            elif each == "kill":
                await self._kill(owner, nursery)
            elif not await self._stop(owner):
                left.append(each)
        await self.owner(since)

    async def run_spread(self, nursery: trio.Nursery, what: list[str]) -> None:
        """Like `run`, but each event hits a member that owns some accounts."""
        for _ in range(1 + STANDBYS):
            await self.begin(nursery)
        left = deque(what)
        while left:
            owners = await self.owned_without([])
            await trio.sleep(self._rng.uniform(0.1, LONGEST))
            owners, at, each = self.owners(), now(), left.popleft()
            having = list(dict.fromkeys(member for _, member in owners.values() if member.alive))
            victim = self._rng.choice(having)
            if each == "server":
                await self._end_server()
            elif each == "kill":
                await self._kill(victim, nursery)
            else:
                self.outcome.stops += await self._stop_spread(victim)
            after = await self.owned_without([])
            for account, (since, member) in after.items():
                _, before = owners[account]
                stopped = each == "stop" and before is victim is not member
                if since > at and (stopped or not before.alive):
                    self.outcome.takeovers.append(since - at)

    async def _stop_spread(self, victim: Member) -> bool:
        """Stop a member until others own all of its accounts, and some time more.

        Returns whether it had accounts that another member took over.
        """
        had = [each for each, (_, member) in self.owners().items() if member is victim]
        since = now()
        victim.process.send_signal(signal.SIGSTOP)
        after = await self.owned_without([victim])
        await trio.sleep(self._rng.uniform(0.0, 1.5))
        victim.stops.append((since, now()))
        victim.process.send_signal(signal.SIGCONT)
        return any(after[each][0] > since for each in had)

    async def _kill(self, owner: Member, nursery: trio.Nursery) -> None:
        everybody = self.outcome.kills % EVERYBODY == EVERYBODY - 1
        killed = [it for it in self.members if it.alive] if everybody else [owner]
        for member in killed:
            self.kill(member)
        self.outcome.kills += 1
        self.outcome.steps["everybody" if everybody else "the owner"] += 1
        for _ in killed:
            await self.begin(nursery)

    async def _stop(self, owner: Member) -> bool:
        """Stop the owner longer than its lease: until another owns all accounts, and a bit more.

        Returns whether it was the owner when it was stopped: another may have followed just before.
        """
        since = now()
        owner.process.send_signal(signal.SIGSTOP)
        follower = await self.owner(owner.newest)
        await trio.sleep(self._rng.uniform(0.0, 1.5))
        owner.stops.append((since, now()))
        owner.process.send_signal(signal.SIGCONT)
        self.outcome.stops += follower.newest > since
        return follower.newest > since

    async def _end_server(self) -> None:
        number = SIGNALS[self.outcome.servers % len(SIGNALS)]
        await trio.to_thread.run_sync(self.server.end, number)
        await trio.sleep(self._rng.uniform(0.0, 1.0))
        self.server.start()  # in this thread, since the server ends with the thread that starts it
        self.outcome.servers += 1

    async def hand_over(self) -> None:
        """Hand over an application's messages, one by one, each in a transaction of its own."""
        number = HANDED
        try:
            while True:
                await trio.sleep(HANDS_EACH)
                instance = self._rng.choice(self.accounts)
                room = self._rng.choice(ROOMS[channel_of(instance)])
                with suppress(psycopg.Error):
                    await trio.to_thread.run_sync(self._hand, number, instance, room)
                number += 1
        finally:
            if self._connection is not None:
                self._connection.close()

    def _hand(self, number: int, instance: str, room: str) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = self.server.connect()
        sql = "SELECT gateway.send(%s, %s, %s)"
        row = self._connection.execute(sql, (instance, room, text_of(number))).fetchone()
        self.handed[number] = str(row[0])
        self.outcome.accepted[number] = (instance, room, "")

    async def finish(self) -> None:
        """Stop all submitting, wait until all accepted messages have ended, and end the members."""
        alive = [member for member in self.members if member.alive]
        for member in alive:
            if member.newest:
                member.process.send_signal(signal.SIGUSR1)
            else:  # it has owned nothing yet, and perhaps does not listen for signals yet
                self.kill(member)
        left = """SELECT (SELECT count(*) FROM gateway.envelopes)
            + (SELECT count(*) FROM gateway.handed WHERE answered_at IS NULL)"""
        fewest, since = float("inf"), now()
        while fewest and now() - since < PATIENCE:
            ((waiting,),) = await trio.to_thread.run_sync(self.server.execute, left)
            if waiting < fewest:
                fewest, since = waiting, now()
            await trio.sleep(0.2)
        for member in alive:
            self.kill(member)

    @asynccontextmanager
    async def served(self, emulators: Mapping[str, Any], seed: str) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            for name, emulator in emulators.items():
                app = self.watched(name, Latency(0.005, 0.06, f"{seed}:{name}")(emulator.app))
                self._addresses[name] = await nursery.start(partial(serve, app))
            yield
            nursery.cancel_scope.cancel()


# -- judging


def judge(campaign: Campaign, emulators: Mapping[str, Any]) -> None:
    """Compare the messages in the rooms with what was accepted and with the receipts."""
    outcome, receipts = campaign.outcome, receipts_of(campaign)
    for number in campaign.accepted:
        outcome.accepted[number] = ("", "", campaign.ids[number])
    seen: dict[int, set[int]] = {}
    for account in campaign.accounts:
        for room in ROOMS[channel_of(account)]:
            words = [
                (int(number), int(word))
                for message in emulators[account].rooms.conversation(room)
                for number, word in re.findall(r"m(\d+)w(\d+)", message.text)
            ]
            firsts = list(dict.fromkeys(words))
            outcome.late += [f"{account} {room}: {text}" for text in late(campaign, firsts)]
            for number, word in firsts:
                seen.setdefault(number, set()).add(word)
            twice = {number for (number, _), count in Counter(words).items() if count > 1}
            for number in sorted(twice):
                outcome.duplicated.append(f"{account} m{number}")
                announced = receipts.get(number, {}).get("possible_duplicate", False)
                if channel_of(account) == "discord" or not announced:
                    outcome.unannounced.append(f"{account} m{number}")
    for number in outcome.accepted:
        look(outcome, number, receipts.get(number, {}), seen.get(number, set()))
    look_at_tenures(campaign)


def receipts_of(campaign: Campaign) -> dict[int, dict[str, Any]]:
    """How each message ended, by its number."""
    ended = dict(campaign.server.execute("SELECT id, receipt FROM gateway.history"))
    handed = dict(campaign.server.execute("SELECT id::text, envelope_id FROM gateway.handed"))
    ids = campaign.ids | {number: handed[name] for number, name in campaign.handed.items()}
    return {number: json.loads(ended[name]) for number, name in ids.items() if name in ended}


def late(campaign: Campaign, firsts: list[tuple[int, int]]) -> Iterator[str]:
    """Lines about messages that came too early: before a message that was accepted earlier.

    A message's words have an order, messages are not mixed, and the application's messages come in
    the order of their numbers. If accounts are spread, each process has its own order.
    """
    begun: dict[int, int] = {}
    newest_submitted: defaultdict[int, float] = defaultdict(float)
    newest_handed, last = -1, -1
    for number, word in firsts:
        if word < begun.get(number, -1):
            yield f"m{number}: word {word} after {begun[number]}"
        if number != last and number in begun:
            yield f"m{number} goes on after m{last}"
        if number not in begun and number >= HANDED:
            if number < newest_handed:
                yield f"m{number} after m{newest_handed}"
            newest_handed = max(newest_handed, number)
        elif number not in begun:
            process = number // NUMBERS if campaign.spread else 0
            if campaign.accepted.get(number, float("inf")) < newest_submitted[process]:
                yield f"m{number} was accepted before another was submitted that came first"
            at = campaign.submitted.get(number, 0.0)
            newest_submitted[process] = max(newest_submitted[process], at)
        begun[number], last = word, number


def look_at_tenures(campaign: Campaign) -> None:
    """Check that each request is its account's owner's, or was in flight in a stopped process."""
    outcome = campaign.outcome
    by_name = {member.name: member for member in campaign.members}
    for account in campaign.accounts:
        tenures = sorted(
            (at, member.name) for member in campaign.members for at in member.owns[account]
        )
        outcome.handed_over += sum(one[1] != other[1] for one, other in pairwise(tenures))
        requests = [it for it in campaign.requests if it.sends]
        for request in [it for it in requests if it.account == account]:
            began = [at for at in tenures if at[0] <= request.came]
            ended = [at for at in tenures if at[0] <= request.ended]
            if began and began[-1][1] == ended[-1][1] == request.name:
                continue
            text = f"{account}: a request of {request.name} in {began[-1:]} to {ended[-1:]}"
            of_stop = _in_flight(by_name[request.name], request, requests)
            (outcome.remainder if of_stop else outcome.overlapping).append(text)


def _in_flight(member: Member, request: Request, requests: list[Request]) -> bool:
    """Whether the request may be from an attempt that began before a stop, but arrived later."""
    for stopped, let_on in member.stops:
        if request.ended < let_on:
            continue
        if request.came < stopped:  # not all of the request had arrived by then
            return True
        begun = sum(at <= stopped for at in member.tries)
        own = [it for it in requests if it.name == member.name]
        came = sum(it.came <= stopped for it in own)
        after = sum(let_on <= it.came <= request.came for it in own)
        if came + after <= begun:
            return True
    return False


# -- running


def plan(kills: int, stops: int, servers: int, seed: str) -> list[str]:
    what = ["kill"] * kills + ["stop"] * stops + ["server"] * servers
    Random(f"plan of {seed}").shuffle(what)
    return what


async def crash(
    kills: int, stops: int, servers: int, seed: str = "0", *, spread: bool = False
) -> Shared:
    """Kill, stop and end the server in a random order, let everything be sent, and judge."""
    server = postgres_server.Server(safe=True)
    emulators = platforms()
    if spread:
        emulators |= {f"{name}-2": each for name, each in platforms().items()}
    campaign = Campaign(server.start(), seed, spread=spread)
    run = campaign.run_spread if spread else campaign.run
    try:
        async with campaign.served(emulators, seed), trio.open_nursery() as nursery:
            async with trio.open_nursery() as load:
                load.start_soon(campaign.hand_over)
                await run(nursery, plan(kills, stops, servers, seed))
                load.cancel_scope.cancel()
            await campaign.finish()
        judge(campaign, emulators)
    finally:
        for member in campaign.members:
            if member.alive:
                campaign.kill(member)
        server.remove()
    return campaign.outcome


def main(asked: argparse.Namespace) -> None:
    """Run the campaign, and print the outcome. The exit code is 1 if a law is broken."""
    spread = asked.accounts == "spread"
    run = partial(crash, asked.kills, asked.stops, asked.servers, asked.seed, spread=spread)
    outcome = trio.run(run)
    for line in (*outcome.lost, *outcome.late, *outcome.unannounced, *outcome.overlapping):
        print(line)
    took = sorted(outcome.takeovers)
    print(f"takeovers: median {median(took):.1f} s, longest {took[-1]:.1f} s after the end before")
    if spread:
        print(
            f"{outcome.handed_over} tenures followed another process's,"
            f" {len(took)} of them after its end"
        )
    print(f"{len(outcome.unknown)} ended unknown, and say so")
    print(outcome)
    sys.exit(0 if outcome.holds else 1)
