"""A Markdown document in Discord's own dialect: what a stretch costs, and its content."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import attrs

from gateway_core.text import Document
from gateway_plugin_discord.atoms import Atom, Atomizer, joint
from gateway_plugin_discord.dialect import units


@attrs.define(eq=False)
class Dialect:
    """One document as Discord shows it; a `Rendering` of gateway_core.text.

    previews  let Discord unfold links
    mentions  let the text notify people
    fields    what every part's payload has besides, made from its content
    """

    document: Document
    fields: Callable[[str], Mapping[str, Any]]
    previews: bool = False
    mentions: bool = False
    atoms: list[Atom] = attrs.field(init=False)
    starts: list[int] = attrs.field(init=False)
    joints: list[str] = attrs.field(init=False)
    bodies: list[str] = attrs.field(init=False)
    sums: list[int] = attrs.field(init=False)
    asked: tuple[int, int, int | None] = attrs.field(init=False, default=(-1, 0, None))
    """Where the last question began, at which atom, and what that atom costs beyond the sums.

    None: nobody has asked beyond that atom, whose rest may be all of a long text.
    """

    def __attrs_post_init__(self) -> None:
        text = self.document.text
        self.atoms = Atomizer(self.document, self.previews, self.mentions).atoms()
        self.starts = [atom.start for atom in self.atoms]
        self.bodies = [atom.write(text[atom.body : atom.end]) for atom in self.atoms]
        self.joints = [""] * bool(self.atoms)
        self.joints += self._between()
        pairs = [*map("".join, zip(self.joints, self.bodies, strict=True))]
        whole = "".join(pairs)
        self.sums = [0, *accumulate(map(len if units(whole) == len(whole) else units, pairs))]

    def _between(self) -> Iterator[str]:
        """What stands between each atom and the next."""
        text = self.document.text
        for before, written, atom in zip(self.atoms, self.bodies, self.atoms[1:], strict=False):
            gap = atom[0] - before[2]  # of one place: one line feed
            if gap == 1 and atom[8] and not (before[4] or atom[4]):
                yield f"\n{atom[5]}"  # as between most lines
                continue
            if gap > 1 and atom.first:
                gap = text.count("\n", before.end, atom.start)
            yield joint(before, written, atom, gap)

    def cost(self, start: int, end: int) -> int:
        """UTF-16 units of the content; never fewer than its code points."""
        if start != self.asked[0]:
            self.asked = (start, self._from(start), None)
        _, first, size = self.asked
        last = self._at(end - 1)
        if first >= last:
            return units(self._alone(first, start, end))
        if size is None:
            size = units(self._begun(first, start)) - self.sums[first + 1]
            self.asked = (start, first, size)
        return size + self.sums[last] + units(self._ended(last, end))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """The content, with the fields that every part has."""
        first, last = self._from(start), self._at(end - 1)
        if first >= last:
            return self.fields(self._alone(first, start, end))
        between = range(first + 1, last)
        pieces = [piece for index in between for piece in (self.joints[index], self.bodies[index])]
        content = "".join([self._begun(first, start), *pieces, self._ended(last, end)])
        return self.fields(content)

    def _at(self, place: int) -> int:
        return max(bisect_right(self.starts, place) - 1, 0)

    def _from(self, start: int) -> int:
        """The atom that a part from `start` begins with: a gap belongs to the next one."""
        index = self._at(start)
        between = start >= self.atoms[index].end and index + 1 < len(self.atoms)
        return index + 1 if between else index

    def _alone(self, index: int, start: int, end: int) -> str:
        atom = self.atoms[index]
        return self._begun(index, start, end) + atom.closed()

    def _begun(self, index: int, start: int, end: int | None = None) -> str:
        """An atom from `start` on, as a part begins with it."""
        atom = self.atoms[index]
        lead = atom.lead if start <= atom.start and atom.first else atom.again
        header = self.document.header_at(start)
        written = atom.write(header) if header else ""
        return f"{lead}{atom.opened()}{written}{self._body(index, max(start, atom.body), end)}"

    def _ended(self, index: int, end: int) -> str:
        """An atom up to `end`, as a part ends with it."""
        return self.joints[index] + self._body(index, None, end) + self.atoms[index].closed()

    def _body(self, index: int, start: int | None, end: int | None) -> str:
        atom = self.atoms[index]
        low = atom.body if start is None else start
        high = atom.end if end is None else min(end, atom.end)
        if low == atom.body and high == atom.end:
            return self.bodies[index]
        return atom.write(self.document.text[low : max(high, low)])
