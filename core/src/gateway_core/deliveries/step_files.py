"""Describes the files of a step: those that it sends, and their ids afterwards. Sans-I/O."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from gateway_core.contract.envelopes import Edit, Part, PartRef, Send
from gateway_core.contract.fast_init import fast_evolve
from gateway_core.contract.files import File
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict

changed_file = fast_evolve(File)

FILES_REFUSED = "files refused"
"""The degradation of a text that was sent without its files begins with this."""


@attrs.define(eq=False)
class StepFiles:
    """The files that a step has beside its text.

    files  those that it sends; of a delete: those that are deleted with the message
    held   the message has exactly these files already: only its text changes
    named  they are sent by the ids of earlier uploads, like a message without files
    before  of an edit: those that the message had, and has if the edit fails; None: not known
    ids    the platform's id of each file, once it was sent
    more   ids of further messages that the step has made: the rest of an album
    lost   why bytes of them can never be sent; empty: none are known to be lost
    """

    files: tuple[File, ...]
    held: bool = False
    named: bool = False
    before: tuple[File, ...] | None = None
    ids: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    lost: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """What a failed attempt means if stored bytes are lost; None: what its error means.

        A request whose body breaks off is never complete, so the platform has not acted.
        """
        if not self.lost:
            return None
        refused, reason = ErrorClass.NON_RETRYABLE, Reason.BAD_REQUEST
        return Verdict(error_class=refused, reason=reason, raw=self.lost, files_refused=True)

    def compare(self, before: tuple[File, ...]) -> None:
        """Note which files the message has now, and whether it shall have others."""
        self.before = before
        self.held = len(before) == len(self.files) and all(map(_stays, self.files, before))

    def of_album(self, known: PartRef) -> bool:
        """Whether they are an album's other files, each of which takes the place of another."""
        return bool(known.more) and not self.held and 0 < len(self.files) <= 1 + len(known.more)

    def learn(self, answer: Answer) -> None:
        """Note what the platform said about the files.

        Of an edit that keeps the files, an id may be that of a file that an earlier edit was to
        replace.
        """
        if len(answer.files) == len(self.files) and not self.held:
            self.ids = answer.files
        self.more = answer.more or self.more

    @property
    def are_uploaded(self) -> bool:
        """Whether some of them have no URL from which the platform can fetch them."""
        return any(file.url is None for file in self.files)

    @property
    def identities(self) -> list[list[object]]:
        """What distinguishes each file from others, for a reader; None: its bytes are not known."""
        return [
            [
                None if self.held and file.is_stored else _name(file),
                file.name,
                file.alt,
                file.spoiler,
            ]
            for file in self.files
        ]

    @property
    def standing(self) -> tuple[File, ...]:
        """The files as their message has them: with the platform's ids, if those are known."""
        if not self.ids:
            return self.files
        named = zip(self.files, self.ids, strict=True)
        return tuple(changed_file(file, id=name) for file, name in named)


def files_of(part: Part, files: Sequence[File]) -> StepFiles | None:
    """The files of the part; None: it has none."""
    return StepFiles(tuple(files[place] for place in part.files)) if part.files else None


def files_against(
    part: Part, files: Sequence[File], known: PartRef, *, bare: bool = False
) -> StepFiles | None:
    """The files of an edited part, compared with the files that its message has already.

    bare  without files of its own, the part loses those that it may have, although none are known
    """
    made = files_of(part, files)
    if made is None:
        return StepFiles((), before=known.files) if known.files or bare else None
    made.compare(known.files)
    made.more = known.more
    return made


def with_held(wanted: Sequence[File] | None, parts: Sequence[PartRef]) -> tuple[File, ...]:
    """The files of a message after an edit; a file named by an id is one that the message has.

    wanted  the edit's files; None: the message keeps its files
    """
    there = held(parts)
    if wanted is None:
        return there
    own: dict[str | None, File] = {file.id: file for file in there if file.id is not None}
    return tuple(_in_look(file, own.get(file.id, file)) for file in wanted)


def _in_look(wanted: File, own: File) -> File:
    """The message's own file, with the description and the spoiler that are wanted.

    A file that is named by a bare id keeps those that it has.
    """
    if changed_file(wanted, alt=own.alt, spoiler=own.spoiler) == own:
        return wanted
    return changed_file(own, alt=wanted.alt or own.alt, spoiler=wanted.spoiler or own.spoiler)


def left_out(plan: Sequence[Part], message: Send | Edit) -> str | None:
    """Why a plan has none of the message's files; None: each of them goes with one part.

    A channel that takes no files names none of them in its plan.
    """
    if not message.files or any(part.files for part in plan):
        return None
    if isinstance(message, Edit):
        named = "its plan names none, kept or new (`Part.files`)"
        return f"the channel takes no files in an edit: {named}"
    return "the channel takes no files"


def files_gone(known: PartRef) -> StepFiles | None:
    """The files of a message that is deleted."""
    return StepFiles(known.files, held=True) if known.files else None


def held(parts: Sequence[PartRef]) -> tuple[File, ...]:
    """All files that a message has, in order."""
    return tuple(file for part in parts for file in part.files)


def _name(file: File) -> object:
    """What identifies the file both before and after it was sent."""
    return file.digest or file.url or file.id


def _stays(wanted: File, there: File) -> bool:
    """Whether the message certainly has the file that is wanted, or the edit keeps what is there.

    A file that was uploaded, but got no id, may be that of an edit whose outcome is unknown.
    """
    return wanted is there or (not there.is_stored and _is_same(wanted, there))


def _is_same(one: File, other: File) -> bool:
    """Whether both are the same file in the same look."""
    if (one.alt, one.spoiler, one.as_document) != (other.alt, other.spoiler, other.as_document):
        return False
    return (one.id is not None and one.id == other.id) or _name(one) == _name(other)
