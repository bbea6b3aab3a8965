"""Runs the demo: emulators, a configuration, a gateway with the installed plugins, 600 texts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import time as system_time
from typing import TypeAlias

import attrs
import trio

from gateway_contrib.cli.demo.load import ROOMS_PER_CHANNEL, Line, RoomPlan, in_turn, plan
from gateway_contrib.cli.demo.pictures import picture_for
from gateway_contrib.cli.demo.platforms import (
    Addresses,
    Emulated,
    Hosting,
    build,
    on_sockets,
    write_configuration,
)
from gateway_contrib.cli.demo.report import Report, row
from gateway_contrib.cli.demo.tally import Tally
from gateway_core import Edit, File, Gateway, Send, Ticket, load_config, open_gateway


@attrs.frozen(eq=False, kw_only=True)
class Stage:
    """The texts to deliver, and the platforms that they go to.

    addresses  the platforms' base URLs, each with a page at `/`
    """

    rooms: Sequence[RoomPlan]
    platforms: Mapping[str, Emulated]
    addresses: Addresses

    def compared(self, tally: Tally, started: float) -> Report:
        """The outcome so far, from the tally and the platforms' stores.

        started  when the first text was handed over (trio's clock)
        """
        return Report(
            channels={
                channel: row(
                    platform,
                    [room for room in self.rooms if room.channel == channel],
                    tally.of(channel),
                    started=started,
                )
                for channel, platform in self.platforms.items()
            }
        )


@attrs.frozen(eq=False, kw_only=True)
class Demo(Stage):
    """A demo under way, as a display sees it.

    started  when the first text was handed over (trio's clock)
    """

    gateway: Gateway
    tally: Tally
    started: float

    def report(self) -> Report:
        """The outcome so far."""
        return self.compared(self.tally, self.started)


Recorder: TypeAlias = Callable[[Demo], Awaitable[None]]
"""Shows a demo while it runs; it is cancelled at the end."""


@asynccontextmanager
async def open_stage(
    *, seed: str, rooms: int = ROOMS_PER_CHANNEL, hosting: Hosting = on_sockets
) -> AsyncIterator[Stage]:
    """The platforms, served and ready, with `rooms` rooms each."""
    platforms = build(seed)
    async with hosting({channel: each.app for channel, each in platforms.items()}) as addresses:
        platforms["slack"].emulator.files_url = addresses["slack"]  # where files' bytes are posted
        yield Stage(rooms=plan(seed, rooms=rooms), platforms=platforms, addresses=addresses)


@asynccontextmanager
async def open_demo(
    folder: Path,
    *,
    seed: str = "0",
    rooms: int = ROOMS_PER_CHANNEL,
    hosting: Hosting = on_sockets,
    wall_clock: Callable[[], float] = system_time,
    metrics: str | None = None,
) -> AsyncIterator[Demo]:
    """Platforms and a gateway, ready; the configuration is written to `folder`.

    metrics  `host:port` at which Prometheus may scrape the gateway's metrics
    """
    tally = Tally()
    async with open_stage(seed=seed, rooms=rooms, hosting=hosting) as stage:
        file = write_configuration(folder, stage.platforms, stage.addresses, metrics=metrics)
        rng = Random(f"gateway:{seed}")  # noqa: S311 - jitter that can be repeated
        async with open_gateway(
            load_config(file), plugins=[tally], rng=rng, wall_clock=wall_clock
        ) as gateway:
            yield Demo(
                rooms=stage.rooms,
                platforms=stage.platforms,
                addresses=stage.addresses,
                gateway=gateway,
                tally=tally,
                started=trio.current_time(),
            )


async def deliver(demo: Demo, *, seed: str = "0", watch: Recorder | None = None) -> Report:
    """Hand all texts over at once, wait until all have ended, and compare with what arrived."""
    async with trio.open_nursery() as nursery:
        if watch is not None:
            nursery.start_soon(watch, demo)
        tickets = [ticket async for _, ticket in submitted(demo.gateway, demo.rooms, seed)]
        for ticket in tickets:
            await ticket.receipt()
        nursery.cancel_scope.cancel()
    return demo.report()


async def submitted(
    gateway: Gateway, rooms: Sequence[RoomPlan], seed: str
) -> AsyncGenerator[tuple[RoomPlan, Ticket], None]:
    """Hand every text of the rooms over, one by one; yields each text's room and ticket."""
    tickets: dict[tuple[str, int], Ticket] = {}
    for room, place in in_turn(rooms, seed):
        line = room.lines[place]
        target = None if line.edits is None else tickets[room.room, line.edits]
        tickets[room.room, place] = await gateway.submit(_envelope(room, line, target))
        yield room, tickets[room.room, place]


def _envelope(room: RoomPlan, line: Line, target: Ticket | None) -> Send | Edit:
    instance, conversation = room.channel, room.room
    if target is None:
        return Send(
            instance_id=instance,
            external_room_id=conversation,
            text=line.words,
            format="markdown",
            files=_files(room, line),
        )
    return Edit(
        instance_id=instance,
        external_room_id=conversation,
        target=target.ref,
        text=line.words,
        format="markdown",
    )


def _files(room: RoomPlan, line: Line) -> tuple[File, ...]:
    """The picture that is sent with the line; each room has its own picture."""
    if not line.picture:
        return ()
    return (File(picture_for(room.room), name=line.picture, alt=f"A picture for {room.room}"),)
