"""Shows the demo: a live table on a terminal, lines elsewhere, and the outcome at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.rooms import Message

_FRAME = 0.1
_LINE = 5.0
"""Seconds between two updates of the table, and between two lines."""

_SHOWN = 2
"""How many messages of a conversation are shown."""
_LINE_OF_TEXT = 78

_BAR = 20
_WIDEST = 1_000

Line = tuple[str, Callable[[Row], str]]
LINES: tuple[Line, ...] = (
    ("texts accepted", lambda row: f"{row.accepted}"),
    ("texts delivered", lambda row: f"{row.delivered}"),
    ("texts whose end is unknown", lambda row: f"{row.unknown}"),
    ("texts lost", lambda row: f"{row.lost}"),
    ("messages out of order", lambda row: f"{row.late}"),
    ("copies", lambda row: f"{row.duplicated}"),
    ("copies announced", lambda row: f"{row.announced}"),
    ("429s: injected / unforeseen", lambda row: f"{row.injected} / {row.unforeseen}"),
    ("messages, a long text has several", lambda row: f"{row.parts}"),
    ("pictures", lambda row: f"{row.pictures}"),
)
"""Lines of the table at the end: the label, and a function that returns a channel's figure."""
PACE: tuple[Line, ...] = (
    ("attempts", lambda row: f"{row.attempts}"),
    ("seconds taken", lambda row: f"{row.makespan_s:.1f}"),
    ("seconds needed at least", lambda row: f"{row.bound_s:.1f}"),
)
"""Further lines, for a demo with one process, which starts without a backlog."""
NEXT = "Next: docs/tutorial/first-message.md sends a message of yours, in ten minutes."


def introduce(console: Console, stage: Stage, folder: str) -> None:
    """Print where to look while the demo runs."""
    console.print("Reload these pages to see what arrives:")
    for channel, address in stage.addresses.items():
        console.print(f"  {channel:9} {address}/")
    console.print(f"The configuration is {folder}/gateway.toml")


def watcher(console: Console) -> Recorder:
    """A function that shows a running demo on this console."""

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
    wanted = Counter(room.channel for room in demo.rooms for _ in room.lines)
    done = ", ".join(
        f"{channel} {demo.tally.of(channel).ended} of {count}" for channel, count in wanted.items()
    )
    return f"{trio.current_time() - demo.started:4.0f} s: {done} texts done"


def picture(demo: Demo) -> Group:
    """The state of a running demo: what each channel has done, and where other texts wait."""
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
    """Figures of each channel, with a row for each channel, or a column on a narrow terminal.

    headings  the names of the figures; the first is the heading of the channels' names. Figures
              without a heading, such as bars, are left out if channels are columns
    channels  the figures of each channel
    """

    title: str
    headings: tuple[str, ...]
    channels: Mapping[str, tuple[str, ...]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._rows()
        needed = Measurement.get(console, options.update(width=_WIDEST), wide).maximum
        yield wide if needed <= options.max_width else self._columns()

    def _rows(self) -> Table:
        table = _table(self.title)
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for channel, figures in self.channels.items():
            table.add_row(channel, *figures)
        return table

    def _columns(self) -> Table:
        table = _table(self.title)
        table.add_column()
        for channel in self.channels:
            table.add_column(channel, justify="right")
        for heading, *figures in zip(self.headings[1:], *self.channels.values(), strict=True):
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


def outcome(report: Report, lines: Sequence[Line] = (*LINES, *PACE)) -> Table:
    """The table at the end: a line for each figure, a column for each channel."""
    table = _table("Result")
    table.box, table.padding = HORIZONTALS, (0, 1)
    table.add_column()
    rows = {**report.channels, "total": report.total}
    for name in rows:
        style = "bold" if name == "total" else ""
        table.add_column(name, justify="right", style=style, no_wrap=True)
    for words, figure in lines:
        table.add_row(words, *map(figure, rows.values()))
    return table


def verdict(report: Report) -> str:
    """A sentence below the table that says how the run went."""
    if report.good:
        return "Nothing was lost, and every room kept its order."
    total = report.total
    return (
        f"Something went wrong: {total.lost} lost, {total.late} out of order,"
        f" {total.strange} that nobody sent."
    )


def listed(sentences: Iterable[str]) -> Table:
    """The sentences as a list, each with a dash."""
    table = Table.grid(padding=(0, 1))
    for sentence in sentences:
        table.add_row("-", Text(sentence))
    return table


def remarks(demo: Demo, report: Report) -> Iterator[str]:
    """Sentences that say what failed on purpose, and what the figures mean."""
    yield from faults_of(demo)
    untroubled = ", ".join(f"{c} {row.untroubled_s:.1f} s" for c, row in report.channels.items())
    yield f"Rooms in which nothing failed were done after: {untroubled}."
    yield from findings_of(report.total)
    yield "Seconds needed at least: no client can be faster within the platforms' limits."


def faults_of(stage: Stage) -> Iterator[str]:
    """Sentences that say what failed on the platforms on purpose."""
    alike: dict[str, list[str]] = {}
    for channel, platform in stage.platforms.items():
        counts = platform.faults.counts
        told = ", ".join(
            f"a {words}" if counts[fault] == 1 else f"{counts[fault]} times a {words}"
            for fault, words in _FAULTS.items()
            if counts[fault]
        )
        alike.setdefault(told or "nothing", []).append(channel)
    for told, channels in alike.items():
        each = "each of " if len(channels) > 1 else ""
        yield f"Failed on purpose on {each}{', '.join(channels)}: {told}."


_FAULTS = {
    Fault.RATE_LIMITED: "429",
    Fault.SERVER_ERROR: "server error",
    Fault.RESET_BEFORE: "connection cut before the message was stored",
    Fault.RESET_AFTER: "connection cut after the message was stored",
}


def findings_of(total: Row) -> Iterator[str]:
    """Sentences that explain copies and unknown outcomes, and where the figures come from."""
    if total.announced:
        yield (
            "After a cut nobody knows whether the message was stored. It is sent again, and its"
            " receipt announces that there may be a copy. On Discord a key prevents the copy."
        )
    if total.unknown:
        yield (
            "Unknown: sending once more might have made one copy too many, and the receipt says"
            " that the message may or may not be there."
        )
    yield "Lost, out of order and copies are counted in the platforms' stores, not by the gateway."


def conversation(stage: Stage) -> Group:
    """A few messages of a room as a reader sees them: the shortest with an edited message."""
    room, count, messages = _telling(stage)
    title = f"[bold]{room.channel}[/], room {escape(room.room)}"
    title += f": what a person sees there, {len(messages)} of {count} messages"
    first = messages[0].stored_at
    shown = [part for message in messages for part in _message(message, first)]
    return Group(Rule(title, align="left"), *shown, "")


def _telling(stage: Stage) -> tuple[RoomPlan, int, list[Message]]:
    """A room, how many messages it has, and the few messages to show."""
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
    """The message's lines, without empty ones."""
    return [line for line in message.text.splitlines() if line.strip()]


def _lines(message: Message) -> int:
    return sum(1 + len(line) // _LINE_OF_TEXT for line in _words(message))


def _message(message: Message, first: float) -> Iterator[Text | Padding]:
    edited = "  (edited)" if message.revisions else ""
    yield Text(f"● {message.stored_at - first:5.1f} s{edited}", style="cyan")
    yield Padding(Text("\n".join(_words(message))), (0, 0, 0, 2))
