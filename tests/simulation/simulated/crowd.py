"""Keeps messages waiting in every room, and checks how much accounts send once all is well.

The law: in a window that begins `SOON` seconds after the last fault, an account sends at least the
share `SHARE` of what its limits allow, as `ideal` computes it. A room that has anything else to do
than to send waits for limits that sends do not use: the law expects nothing of that room, but the
calls that it makes count. The law does not judge a gateway that closes, nor an account with a
request that was refused at random: a room that is refused again and again is taken for a strict one
for minutes. For the same reason, nothing is expected of a room that was refused twice because
others had spent its limit.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import trio
from simulated.callers import EXPECTED
from simulated.drain import SOON
from simulated.drawing import GRID, Place, Setup
from simulated.ideal import Made, Room, Sums
from simulated.ledger import Call, Entry, Ledger, words_of
from simulated.platforms import Platforms
from simulated.spending import KIND

from gateway_contrib.durable.committer import LONGEST_PAUSE
from gateway_contrib.emulators.faults import Fault
from gateway_core import Gateway, GatewayConfig, Send, Ticket

WINDOW = 10.0
SHARE = 0.85
AHEAD = 2
"""How many messages of a room wait at a time."""

LONGEST = 90.0
"""Seconds of calm after which an account that had always something else to do is not judged."""

TTL = 4_000.0


class Crowd:
    """Feeds the rooms of one world during one life; in the last, judges the accounts."""

    def __init__(
        self, setup: Setup, ledger: Ledger, platforms: Platforms, callers: Any, gateway: Gateway
    ) -> None:
        self._setup = setup
        self._ledger = ledger
        self._platforms = platforms
        self._callers = callers
        self._gateway = gateway
        self._judged = {instance.id: False for instance in setup.config.instances}
        self._refused: set[Place] = set()

    async def run(self) -> None:
        """Run from the drawn time on, until each account was judged."""
        await trio.sleep_until(self._setup.crowd or 0.0)
        async with trio.open_nursery() as nursery:
            for place in self._setup.places:
                nursery.start_soon(self._feed, place)
            for name in self._judged:
                nursery.start_soon(self._judge, name)

    # -- feeding

    async def _feed(self, place: Place) -> None:
        """Keep a few messages waiting: hand one over for each that ended."""
        tickets: list[Ticket] = []
        while not self._judged[place.instance] and place not in self._refused:
            try:
                while len(tickets) < AHEAD:
                    tickets.append(await self._gateway.submit(self._message(place)))
                await self._ended(tickets.pop(0), place)
            except EXPECTED as refusal:
                self._ledger.note("refused", type(refusal).__name__)
                await trio.sleep(GRID)

    async def _ended(self, ticket: Ticket, place: Place) -> None:
        receipt = await ticket.receipt()
        verdict = receipt.verdict
        if receipt.disposition == "rejected" and verdict is not None:
            self._refused.add(place)  # the room is gone
        if not receipt.delivered:
            await trio.sleep(GRID)

    def _message(self, place: Place) -> Send:
        self._callers.texts += 1
        return Send(
            instance_id=place.instance,
            external_room_id=place.room,
            thread_id=self._callers.thread(place),
            text=f"m{self._callers.texts}x0",
            ttl=TTL,
        )

    # -- judging

    async def _judge(self, name: str) -> None:
        await trio.sleep_until(self._setup.lasts)
        while not self._ledger.ending:
            now, start = trio.current_time(), self._well_since(name) + SOON
            if start + WINDOW <= now:
                if Fault.RATE_LIMITED not in self._setup.trouble.platform:
                    self._compare(name, start)
                break
            if now > self._setup.lasts + LONGEST:
                break
            wait = start + WINDOW - now if start < math.inf else 1.0
            await trio.sleep(max(GRID, wait))
        self._judged[name] = True

    def _well_since(self, name: str) -> float:
        """When the last fault was over, and all else that the account had to do."""
        setup, ledger, config = self._setup, self._ledger, self._setup.config
        wires, trouble = self._platforms.wires, setup.trouble
        if ledger.absent or ledger.held or (wires is not None and wires.suffering):
            return math.inf
        times = [setup.lasts, ledger.born_at, self._platforms.late_until]
        times.append(ledger.returned_at)
        if wires is not None:
            times.append(wires.last)
        if trouble.sessions or trouble.hooks:  # one that hangs, or lingers
            times.append(setup.lasts + config.attempt_timeout + 25.0)
        if trouble.disk:
            times.append(ledger.unwritten_at + LONGEST_PAUSE)
        times += [self._spent_until(at + seconds) for at, what, _, seconds in trouble.weather
                  if what == KIND]  # fmt: skip
        for entry in ledger.entries:
            times += [self._counts_until(call) for call in entry.calls]
            if entry.spoken is not None:  # its passing states draw on the same limits
                times.append(math.inf if entry.receipt is None else entry.ended_at)
        since = max(times)
        return max(since, ledger.told_until(name, before=since + GRID))

    def _spent_until(self, end: float) -> float:
        """When a room has back what others used of its limits: after the longest window."""
        limits = self._setup.limits
        longest = max(limits["group"][1], limits["discord"][1])
        return min(end, self._setup.lasts) + longest

    def _counts_until(self, call: Call) -> float:
        """Until when a call counts as trouble: an attempt that began in trouble may last."""
        if call.begun <= self._setup.lasts or self._is_left(call.entry):
            return math.inf if call.ended is None else call.ended
        return 0.0

    def _is_left(self, entry: Entry) -> bool:
        """Whether it has parts, or tries, each of which may be its lane's last for a while."""
        return len(words_of(getattr(entry.envelope, "text", ""))) > 1

    def _compare(self, name: str, start: float) -> None:
        until, calls = start + WINDOW, self._calls(name)
        made = [self._made(call) for call in calls if call.begun < start - 1e-9]
        rooms = [room for place in self._places(name, start) for room in [self._room(place)]]
        config = self._setup.config_of(self._ledger.life)
        slots = {str(index): _share(config) for index in range(config.partition_count)}
        slots[name] = config.attempts_per_instance
        made += [one for room in rooms for one in _careful(room, self._ledger.opened_at(name))]
        expected = Sums(slots, made).sends(rooms, start, until)
        sent = [call for call in calls if start - 1e-9 <= call.begun < until]
        found = sum(call.answered or call.ended is None or not call.repeated for call in sent)
        # What an earlier run spent is reckoned from times that were written down later than it was;
        # and an aged lane keeps the only slot free for the moment at which its room's limit is.
        fewer = 1 + bool(self._ledger.life) + (config.attempts_per_instance == 1)
        enough = found >= SHARE * expected - fewer
        self._ledger.note("pace", name, found, "of", expected, f"from {start:.2f}")
        text = f"{name} made {found} sends of {expected} from {start:.2f} s on"
        self._ledger.expect(enough, text)

    def _calls(self, name: str) -> list[Call]:
        mine = [e for e in self._ledger.entries if e.envelope.instance_id == name]
        return sorted((call for e in mine for call in e.calls), key=lambda call: call.begun)

    def _made(self, call: Call) -> Made:
        limits = self._ledger.limits(call.attempt.instance_id, call.attempt)
        ended = call.begun if call.ended is None else call.ended
        return Made(call.begun, ended, limits)

    def _places(self, name: str, start: float) -> list[Place]:
        """The conversations that may send: nobody told them to wait, and their rooms exist."""
        mine = [place for place in self._setup.places if place.instance == name]
        return [
            place
            for place in {place.lane: place for place in mine}.values()
            if place not in self._refused
            and self._ledger.room_waits_until(name, place.room) < start
            and not self._is_taken_for_strict(place)
            and not self._is_held(place, start)
            and not self._is_busy(place, start)
        ]

    def _is_taken_for_strict(self, place: Place) -> bool:
        """Whether it was refused repeatedly because others spent its limit, or calls were late."""
        trouble = self._setup.trouble
        spent = trouble.late or any(what == KIND for _, what, *_ in trouble.weather)
        return bool(spent) and self._ledger.refusals(place.instance, place.room) > 1

    def _is_held(self, place: Place, start: float) -> bool:
        """Whether an envelope of its room was itself told to wait."""
        here = (e for e in self._ledger.entries if e.lane and e.lane[:2] == place.lane[:2])
        return any(entry.hold > start for entry in here)

    def _is_busy(self, place: Place, start: float) -> bool:
        """Whether anything else was to be done there in the window."""
        here = (e for e in self._ledger.entries if e.lane and e.lane[:2] == place.lane[:2])
        others = (entry for entry in here if not isinstance(entry.envelope, Send))
        return any(entry.receipt is None or entry.ended_at > start for entry in others)

    def _room(self, place: Place) -> Room:
        setup, gateway = self._setup, self._gateway
        account = gateway._registry.account(place.instance)
        fields = {
            "room": account.addresses.get(place.room, place.room),
            "thread": self._callers.thread(place),
            "operation": "send",
            "envelope_id": "",
        }
        limits = self._ledger.limits(place.instance, _As(**fields))  # type: ignore[arg-type]  # as far as it is asked
        trip = 2 * max(setup.latency) + (setup.linger if setup.durable else 0.0)
        partition = gateway._partition_of(place.instance, place.room).index
        return Room(limits, trip, (place.instance, str(partition)))


def _careful(room: Room, opened: float) -> list[Made]:
    """What a process assumes of a room's windows when it begins: half of each was spent, evenly."""
    found = []
    for limit in room.limits:
        if limit.of == "room" and limit.pace != "even" and limit.count > 1:
            half = limit.count // 2
            ends = [opened + n * limit.per / (half + 1) - limit.per for n in range(1, half + 1)]
            found += [Made(end, end, [limit]) for end in ends]
    return found


def _share(config: GatewayConfig) -> int:
    """Attempt slots of an account in a partition.

    If there are several slots, no channel gets the last quarter of the partition's, and no account
    gets the last quarter of its channel's.
    """
    slots = config.attempts_per_partition
    for _ in range(2):
        slots = max(1, slots - max(1, slots // 4))
    return slots


@attrs.frozen(kw_only=True)
class _As:
    """What the limits of an attempt depend on."""

    room: str
    thread: str | None
    operation: str
    envelope_id: str
