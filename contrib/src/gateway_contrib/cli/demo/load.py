"""Plans what the demo delivers: each room's texts and edits, in order. Seeded, sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import attrs

from gateway_contrib.cli.demo.texts import SHORT, Text, bundled, long, medium, short

CHANNELS = ("telegram", "slack", "discord")
ROOMS_PER_CHANNEL = 20
TEXTS_PER_ROOM = 10
"""Nine messages, of which one has a picture, and an edit of another message."""
PICTURE = "picture.png"

_GROUPS = 6
_MIXTURE = (2, 3, 4)
"""How many long, medium and short messages a room has; a Telegram group takes 20 a minute."""


@attrs.frozen
class Line:
    """One text for a room: a message, or an edit of the message `edits` (its place in the room).

    picture  the name of the picture that is sent with the text; empty: no picture
    """

    text: Text
    edits: int | None = None
    picture: str = ""

    @property
    def words(self) -> str:
        """The Markdown to hand to the gateway."""
        return self.text.words if self.edits is None else self.text.corrected


@attrs.frozen
class RoomPlan:
    """One room's lines, in the order in which they are handed to the gateway."""

    channel: str
    room: str
    lines: tuple[Line, ...]

    @property
    def edit(self) -> Line:
        """The room's only edit."""
        return next(line for line in self.lines if line.edits is not None)


def plan(
    seed: str, channels: Sequence[str] = CHANNELS, rooms: int = ROOMS_PER_CHANNEL
) -> list[RoomPlan]:
    """`rooms` rooms of each channel, with texts drawn from the bundled texts."""
    texts = bundled()
    return [
        RoomPlan(channel, room, _lines(texts, Random(f"lines:{seed}:{channel}:{room}")))  # noqa: S311 - a load to repeat
        for channel in channels
        for room in rooms_of(channel)[-rooms:]
    ]


def rooms_of(channel: str) -> list[str]:
    """The ids of a channel's rooms, in the platform's form."""
    numbers = range(1, ROOMS_PER_CHANNEL + 1)
    if channel == "telegram":
        first_person = _GROUPS + 1
        groups = [f"-100{1_700_000_000 + n}" for n in range(1, first_person)]
        return [*groups, *(str(40_000_000 + n) for n in range(first_person, numbers.stop))]
    if channel == "slack":
        return [f"C0DEMO{n:03d}" for n in numbers]
    return [str(1_200_000_000_000_000_000 + n) for n in numbers]


def in_turn(rooms: Sequence[RoomPlan], seed: str) -> Iterator[tuple[RoomPlan, int]]:
    """Every line as (room, place): rooms in random order, each room's lines in their order."""
    order = [room for room in rooms for _ in room.lines]
    Random(f"turns:{seed}").shuffle(order)  # noqa: S311 - a load to repeat
    done = dict.fromkeys((room.room for room in rooms), 0)
    for room in order:
        yield room, done[room.room]
        done[room.room] += 1


def _lines(texts: Sequence[Text], random: Random) -> tuple[Line, ...]:
    kinds = zip((long(texts), medium(texts), short(texts)), _MIXTURE, strict=True)
    lines = [Line(text) for kind, count in kinds for text in random.sample(kind, count)]
    random.shuffle(lines)
    place = random.choice([n for n, line in enumerate(lines) if line.text.correction])
    lines.insert(random.randint(place + 1, len(lines)), Line(lines[place].text, edits=place))
    few = [
        n
        for n, line in enumerate(lines)
        if line.text.size < SHORT and line.text != lines[place].text
    ]
    shown = random.choice(few)
    lines[shown] = attrs.evolve(lines[shown], picture=PICTURE)
    return tuple(lines)
