"""Finds out what really arrived: compares a platform's rooms with the demo's texts. Sans-I/O.

The gateway's receipts are not used. Markup, white space and symbols are removed from a message and
from the texts. The message belongs to the text that then contains the message's letters and digits
in the same order.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import attrs

from gateway_contrib.cli.demo.load import Line, RoomPlan
from gateway_contrib.emulators.rooms import Message

_FENCE = re.compile(r"^( *```)\w+$", re.MULTILINE)
_BOX = re.compile(r"^( *[-*] )\[[ xX]\]", re.MULTILINE)
_VARIATIONS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""Characters that select how an emoji looks; they are marks, but not content."""

_TARGET = re.compile(r"\]\([^)\s]*\)")


@attrs.frozen(kw_only=True)
class Findings:
    """What was found in one room or several rooms.

    lost        texts and edits that are missing or incomplete
    duplicated  messages that are there a second time
    copied      texts with a part that is there a second time
    late        messages that were stored after a later message of their room
    strange     messages that belong to no text
    pictures    texts that have their picture; texts that lack it are `lost`
    """

    lost: int = 0
    duplicated: int = 0
    copied: int = 0
    late: int = 0
    strange: int = 0
    pictures: int = 0

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            lost=self.lost + other.lost,
            duplicated=self.duplicated + other.duplicated,
            copied=self.copied + other.copied,
            late=self.late + other.late,
            strange=self.strange + other.strange,
            pictures=self.pictures + other.pictures,
        )


def skeleton(words: str, *, markdown: bool = False) -> str:
    """Only the letters, marks and digits of a text; in Markdown, only those that a reader sees."""
    if markdown:
        words = _TARGET.sub("]", _BOX.sub(r"\1", _FENCE.sub(r"\1", words)))
    return "".join(c for c in unicodedata.normalize("NFC", words) if _is_said(c))


def _is_said(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM" and character not in _VARIATIONS


@attrs.frozen
class _Piece:
    """The place of a message's letters: the room's line, and start and end in it."""

    line: int
    start: int
    end: int


def examine(plan: RoomPlan, conversation: Sequence[Message]) -> Findings:
    """Compare one room with its plan; `conversation` is in the order in which it was stored."""
    wanted = {n: _said(line) for n, line in enumerate(plan.lines) if line.edits is None}
    found: list[tuple[_Piece, Message]] = []
    duplicated = late = strange = 0
    copied: set[int] = set()
    for message in conversation:
        pieces = {piece for piece, _ in found}
        piece = _place(skeleton(_first(message)), wanted, pieces)
        if piece is None:
            strange += 1
            continue
        if piece in pieces:
            duplicated += 1
            copied.add(piece.line)
        late += any(_is_after(other, piece) for other in pieces)
        found.append((piece, message))
    missing = {n for n in wanted if not _covered(wanted[n], (p for p, _ in found if p.line == n))}
    illustrated = {piece.line for piece, message in found if message.files}
    wanting = {n for n, line in enumerate(plan.lines) if line.picture}
    return Findings(
        lost=len(missing | (wanting - illustrated)) + (not _edited(plan.edit, found)),
        duplicated=duplicated,
        copied=len(copied),
        late=late,
        strange=strange,
        pictures=len(wanting & illustrated),
    )


def _said(line: Line) -> str:
    return skeleton(line.words, markdown=True)


def _first(message: Message) -> str:
    """The message as it was sent."""
    return message.revisions[0] if message.revisions else message.text


def _place(said: str, wanted: dict[int, str], taken: set[_Piece]) -> _Piece | None:
    """The first free place with these letters; otherwise a taken place, which means a copy."""
    places = [
        _Piece(line, start, start + len(said))
        for line, text in wanted.items()
        if said and (start := text.find(said)) >= 0
    ]
    free = [piece for piece in places if piece not in taken]
    return next(iter([*free, *places]), None)


def _is_after(other: _Piece, piece: _Piece) -> bool:
    return (other.line, other.start) > (piece.line, piece.start)


def _covered(text: str, pieces: Iterable[_Piece]) -> bool:
    """Whether the pieces together cover all of the text."""
    reached = 0
    for piece in sorted(pieces, key=lambda piece: piece.start):
        if piece.start > reached:
            return False
        reached = max(reached, piece.end)
    return reached == len(text)


def _edited(edit: Line, found: Sequence[tuple[_Piece, Message]]) -> bool:
    """Whether the edited message now has the edit's text."""
    text = _said(edit)
    now = [skeleton(message.text) for piece, message in found if piece.line == edit.edits]
    return _covered(
        text,
        (_Piece(0, start, start + len(said)) for said in now if (start := text.find(said)) >= 0),
    )
