"""How the demo looks: a live table on a terminal, lines elsewhere, and the outcome at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import trio
from rich.box import HORIZONTALS, SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gateway_contrib.cli.demo.load import RoomPlan
from gateway_contrib.cli.demo.report import Report, Row
from gateway_contrib.cli.demo.run import Demo, Recorder, Stage
from gateway_contrib.emulators.rooms import Message

_FRAME = 0.1
_LINE = 5.0
"""Seconds between two pictures, and between two lines."""

_SHOWN = 2
"""Messages of the conversation that is shown."""
_LINE_OF_TEXT = 78

_BAR = 20
_WIDEST = 1_000
COLUMNS = (
    ("accepted", "accepted"),
    ("delivered", "delivered"),
    ("parts", "parts"),
    ("files", "pictures"),
    ("attempts", "attempts"),
    ("429s", "rate_limited"),
    ("lost", "lost"),
    ("dup", "duplicated"),
    ("late", "late"),
)
"""Headings of the table of the end, and the field of a row that each shows."""


def watcher(console: Console) -> Recorder:
    """What shows a running demo on this console."""

    async def live(demo: Demo) -> None:
        with Live(console=console, auto_refresh=False, transient=True) as shown:
            while True:
                shown.update(picture(demo), refresh=True)
                await trio.sleep(_FRAME)

    async def lines(demo: Demo) -> None:
        while True:
            await trio.sleep(_LINE)
            console.print(_progress(demo))

    return live if console.is_terminal else lines


def _progress(demo: Demo) -> str:
    done = ", ".join(
        f"{channel} {tally.ended} of {tally.accepted}"
        for channel, tally in demo.tally.channels.items()
    )
    return f"{trio.current_time() - demo.started:4.0f} s: {done}"


def picture(demo: Demo) -> Group:
    """The state of a running demo: what each channel has done, where the rest waits."""
    clock = Text(f"{trio.current_time() - demo.started:5.1f} s", style="bold")
    return Group(_channels(demo), _partitions(demo), clock)


def _table(title: str) -> Table:
    """A table that fits 80 columns."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )


@attrs.frozen
class _Figures:
    """Figures of each channel: a row for each, or a column where the terminal is narrow.

    headings  what the figures are; the first that of the channels' names. What has none, bars,
              is left out of columns
    channels  each one's figures
    total     those of all channels, where there is a total
    apart     each channel stands apart from the next
    """

    title: str
    headings: tuple[str, ...]
    channels: Mapping[str, tuple[str, ...]]
    total: tuple[str, ...] = ()
    apart: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._rows()
        needed = Measurement.get(console, options.update(width=_WIDEST), wide).maximum
        yield wide if needed <= options.max_width else self._columns()

    def _rows(self) -> Table:
        table = _table(self.title)
        if self.apart:
            table.title, table.box, table.leading = f"\n{self.title}", HORIZONTALS, 1
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for channel, figures in self.channels.items():
            table.add_row(channel, *figures)
        if self.total:
            table.add_section()
            table.add_row("total", *self.total, style="bold")
        return table

    def _columns(self) -> Table:
        table = _table(self.title)
        table.add_column()
        for channel in self.channels:
            table.add_column(channel, justify="right")
        lines = [*self.channels.values()]
        if self.total:
            table.add_column("total", justify="right", style="bold")
            lines.append(self.total)
        for heading, *figures in zip(self.headings[1:], *lines, strict=True):
            if heading:
                table.add_row(heading, *figures)
        return table


def _channels(demo: Demo) -> _Figures:
    running = {each.id: each.in_flight for each in demo.gateway.statistics().instances}
    rows = {}
    for channel, platform in demo.platforms.items():
        tally = demo.tally.of(channel)
        counts = (
            tally.ended,
            tally.accepted,
            tally.parts,
            tally.attempts,
            running[channel],
            tally.rate_limited,
            platform.faults.counts.total(),
        )
        rows[channel] = (_bar(tally.ended, tally.accepted), *map(str, counts))
    names = ("ended", "of", "parts", "attempts", "in flight", "429s", "faults")
    return _Figures("channels", ("channel", "", *names), rows)


def _bar(done: int, of: int) -> str:
    full = _BAR * done // max(1, of)
    return "█" * full + "░" * (_BAR - full)


def _partitions(demo: Demo) -> Table:
    statistics = demo.gateway.statistics()
    table = _table("partitions: texts that wait, by channel")
    table.add_column("")
    for partition in statistics.partitions:
        table.add_column(str(partition.index), justify="right", min_width=3)
    for channel in demo.platforms:
        waiting = (demo.tally.waiting[channel, p.index] for p in statistics.partitions)
        table.add_row(channel, *(str(count or "·") for count in waiting))
    table.add_section()
    table.add_row("in flight", *(str(p.in_flight or "·") for p in statistics.partitions))
    return table


def outcome(report: Report, columns: Sequence[tuple[str, str]] = COLUMNS) -> _Figures:
    """The table of the end."""
    headings = ("channel", *(heading for heading, _ in columns), "time", "bound")
    fields = [field for _, field in columns]
    rows = {channel: tuple(_cells(row, fields)) for channel, row in report.channels.items()}
    total = tuple(_cells(report.total, fields))
    return _Figures("what became of it, with times in seconds", headings, rows, total, apart=True)


def _cells(row: Row, fields: Sequence[str]) -> Iterator[str]:
    for name in fields:
        yield str(getattr(row, name))
    yield f"{row.makespan_s:.1f}"
    yield f"{row.bound_s:.1f}"


def remarks(demo: Demo, report: Report) -> Iterator[str]:
    """What the numbers mean, in sentences."""
    total = report.total
    yield from faults_of(demo)
    untroubled = ", ".join(f"{c} {row.untroubled_s:.1f} s" for c, row in report.channels.items())
    yield f"time: rooms that no fault touched were done after {untroubled}; the others wait alone"
    # One that meets a look at what became of an upload is no attempt's.
    unforeseen = max(0, total.rate_limited - total.injected)
    yield f"429s: {total.injected} injected as faults, {unforeseen} that pacing should have avoided"
    yield from findings_of(total)


def faults_of(stage: Stage) -> Iterator[str]:
    """What went wrong on the platforms, as the demo wanted it."""
    alike: dict[str, list[str]] = {}
    for channel, platform in stage.platforms.items():
        counts = sorted(platform.faults.counts.items())
        told = ", ".join(f"{n} {fault.replace('_', ' ')}" for fault, n in counts)
        alike.setdefault(told or "none", []).append(channel)
    for told, channels in alike.items():
        each = "each of " if len(channels) > 1 else ""
        yield f"faults on {each}{', '.join(channels)}: {told}"


def findings_of(total: Row) -> Iterator[str]:
    """What stands in the platforms' stores, and why."""
    yield f"duplicated: {_copies(total)}"
    yield (
        "lost, duplicated and late are counted in the platforms' stores; the bound is the"
        " shortest time that their limits leave for these messages, without round trips or faults"
    )
    if total.strange:
        yield f"{total.strange} messages arrived that nobody sent"


def _copies(total: Row) -> str:
    if not total.announced:
        return f"{total.duplicated}"
    return (
        f"{total.duplicated}, and {total.announced} receipts warned of one. A connection that"
        " breaks after the message was stored looks like one that breaks before; only Discord"
        " takes a key that makes sending again harmless"
    )


def conversation(stage: Stage) -> Group:
    """Some messages of one room as its reader sees them: the shortest with one that was edited."""
    room, count, messages = _telling(stage)
    title = f"[bold]{room.channel}[/], room {escape(room.room)}"
    title += f": what its reader sees, {len(messages)} of {count} messages"
    first = messages[0].stored_at
    shown = [part for message in messages for part in _message(message, first)]
    return Group(Rule(title, align="left"), *shown, "")


def _telling(stage: Stage) -> tuple[RoomPlan, int, list[Message]]:
    """A room, how many messages it has, and the few that are shown."""
    rooms = [
        (room, stage.platforms[room.channel].emulator.rooms.conversation(room.room))
        for room in stage.rooms
    ]
    some = [
        (room, len(said), said[start : start + _SHOWN])
        for room, said in rooms
        for start in range(len(said) - _SHOWN + 1)
    ]
    edited = [row for row in some if any(message.revisions for message in row[2])]
    return min(edited or some, key=lambda row: sum(map(_lines, row[2])))


def _words(message: Message) -> list[str]:
    """Its lines, the empty ones left out."""
    return [line for line in message.text.splitlines() if line.strip()]


def _lines(message: Message) -> int:
    return sum(1 + len(line) // _LINE_OF_TEXT for line in _words(message))


def _message(message: Message, first: float) -> Iterator[Text | Padding]:
    edited = "  (edited)" if message.revisions else ""
    yield Text(f"● {message.stored_at - first:5.1f} s{edited}", style="cyan")
    yield Padding(Text("\n".join(_words(message))), (0, 0, 0, 2))
