"""Streams: an answer that is sent while it is still being written.

This module waits for the acceptance of a stream's message, and for its end.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import attrs
import trio

from gateway_core.clock import SECOND, Clock
from gateway_core.contract.addresses import Interaction
from gateway_core.contract.beside.buttons import Buttons, Rows, rows_of
from gateway_core.contract.envelopes import Delivered, Json, Receipt, Send
from gateway_core.contract.errors import DeliveryError, GatewayClosed, Invalid, Problem
from gateway_core.contract.problems import problems_in
from gateway_core.contract.validators import UNSENDABLE, is_sendable
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.outboxes.journal import Journal
from gateway_core.plugins.plain import plain
from gateway_core.submission.checks import checked
from gateway_core.submission.door import Door
from gateway_core.submission.tickets import Ticket, wait_for_end, with_ref

OnError = Literal["mark", "delete", "keep"]
"""What happens to the shown text if the block of a stream ends with an exception."""

GATHER = 0.3
"""Seconds for which text is gathered before the first message: a single letter is no answer."""
MOMENT = 1.0
"""Most seconds for which leaving a block with an exception waits for the text's acceptance."""
RECORD = SECOND
"""The least number of nanoseconds between two records of a growing text in a durable outbox."""
PLACEHOLDER = "…"
"""Stands for the text of a stream when its place is checked, before there is any text."""
FINISHED = "differs from that of an earlier `finish`: the message can be changed by `gateway.edit`"
"""What is wrong with a second `finish` that says something else."""


class Asked(Protocol):
    """The interaction that a stream answers."""

    @property
    def shows_it(self) -> bool: ...  # noqa: D102 - its users see that an answer is being made
    def acknowledge(self) -> None: ...  # noqa: D102 - as a platform wants it, within seconds
    async def before_answer(self) -> Interaction | None: ...  # noqa: D102 - it is acknowledged then


class OpenStreams(Protocol):
    """What a stream needs of its gateway, and of the other streams."""

    door: Door
    clock: Clock
    journal: Journal | None

    @property
    def is_closed(self) -> bool: ...  # noqa: D102 - the gateway accepts nothing more
    def spawn(self, task: Callable[[], Any], /) -> None: ...  # noqa: D102 - starts one of its tasks
    def open(self, stream: Stream, envelope: Send) -> Stream | None: ...  # noqa: D102 - as `Streams` says
    def fields_beside(  # noqa: D102 - likewise
        self,
        envelope: Send,
        rows: Rows,
        given: Mapping[str, Json] | None,
        known: Mapping[str, Json] | None,
        /,
    ) -> Mapping[str, Json]: ...
    def close(self, stream: Stream) -> None: ...  # noqa: D102 - likewise
    def ends(self, delivery: Delivery) -> None: ...  # noqa: D102 - likewise


def check_chunks(chunks: object, wanted: type, named: str) -> None:
    """Raises `Invalid` for chunks that cannot be read, before anything is shown for them.

    wanted  what the face can read
    named   the same in words, such as "an iterable"
    """
    if isinstance(chunks, wanted):
        return
    hint = ""
    if isinstance(chunks, str):
        hint = ": `send` takes a whole text, and where a stream goes is one pair, (instance, room)"
    elif isinstance(chunks, Coroutine):
        hint = ": await it first"
    elif callable(chunks):
        hint = ": call it"
    text = f"must be {named} of texts, not {type(chunks).__name__}{hint}"
    raise Invalid([Problem("chunks", text)])


def warn_of_chunks_left(opening: object) -> None:
    """Warn that nobody awaited a stream with chunks, as Python does for a coroutine."""
    text = "a stream with chunks was never awaited: nothing of it was sent"
    warnings.warn(text, RuntimeWarning, stacklevel=3, source=opening)


def check_text(text: object, before: int, most: int) -> None:
    """Raises `Invalid` for a text that cannot be sent, or is too long.

    before  the characters that it is appended to
    most    the most characters that the whole text may have
    """
    if not isinstance(text, str):
        problem = f"must be a text, not {type(text).__name__}"
    elif before + len(text) > most:
        problem = f"has {before + len(text)} characters, at most {most}"
    elif not is_sendable(text):
        problem = UNSENDABLE
    else:
        return
    raise Invalid([Problem("text", problem)])


class Stream:
    """A message that grows: write into it, and finish it. Made by `Gateway.stream`.

    The first message is sent once there is text, and edited from then on. The newest text wins, one
    attempt at a time, as fast as the account's limits leave room for intermediate states. The
    complete text is always sent.
    """

    def __init__(
        self,
        streams: OpenStreams,
        envelope: Send,
        on_error: OnError,
        most: int,
        asked: Asked | None = None,
        typing: Callable[[], Callable[[], None] | None] | None = None,
    ) -> None:
        self._streams = streams
        self._interaction = asked
        self._shows_typing = typing
        self._typing_ends: Callable[[], None] | None = None
        self._envelope = envelope
        self._on_error = on_error
        self._most = most
        self._growth = Growth(
            reply=envelope.reply_to,
            extra=envelope.extra or None,
            markdown=envelope.format == "markdown",
        )
        self._first: Stream | None = None
        self._ticket: Ticket | None = None
        self._error: Exception | None = None
        self._posting = self._asked = False
        self._finished_with: tuple[Mapping[str, Json] | None, Rows | None] | None = None
        self._whole, self._accepted = trio.Event(), trio.Event()
        self._recorded_at = 0

    def __repr__(self) -> str:
        envelope = self._envelope
        return f"<Stream {envelope.instance_id} {envelope.external_room_id} {self._growth.state}>"

    # -- what is said

    def write(self, text: str) -> None:
        """Append to the text. Never waits.

        Raises `Invalid` for a text that cannot be sent, and beyond `max_text` characters.
        """
        check_text(text, len(self._growth.written), self._most)
        self._growth.write(plain(text))
        self._said()

    def replace(self, text: str) -> None:
        """Replace the text. Never waits; raises as `write` does."""
        check_text(text, 0, self._most)
        self._growth.replace(plain(text))
        self._said()

    def status(self, text: str) -> None:
        """Show a line below the text, such as "searching …"; empty: none. The final text lacks it.

        If a platform appends to a shown message (Slack's streams), a status is seen if it comes
        before any text: the stream is then shown by edits. Never waits; raises as `write` does.
        """
        check_text(text, 0, self._most)
        self._growth.status(plain(text))
        self._said()

    def _said(self) -> None:
        if self._first is not None:
            return
        if self._typing_ends is not None and self._delivery is not None and self._delivery.started:
            self._stop_typing()
        if not self._posting and self._growth.has_something():
            self._post()
        self._record()

    def _stop_typing(self) -> None:
        """End the typing sign: the message itself shows that somebody writes."""
        ends, self._typing_ends = self._typing_ends, None
        if ends is not None:
            ends()

    # -- how it ends

    async def finish(
        self,
        text: str | None = None,
        *,
        extra: Mapping[str, Json] | None = None,
        buttons: Buttons | None = None,
    ) -> Delivered:
        """Say that the text is complete, and wait until all of it is delivered.

        text     replaces all that was written; None: the text stays as written
        extra    the platform's own fields, on the last part; they replace earlier buttons
        buttons  the buttons of the last part; None keeps them, an empty tuple removes them

        Returns and raises as `Gateway.send` does; after `Invalid` the text is not complete yet.
        Cancelling the call does not withdraw the message. A second call waits for the same message,
        and raises `Invalid` if it gives something else.
        """
        extra = self._checked(text, extra)
        while self._first is not None:
            self._asked = True
            if (joined := await self._first._joined()) is not None:  # noqa: SLF001 - of one kind
                return joined
            self._first = self._streams.open(self, self._envelope)
            self._asked = False
        self._becomes_whole(text, extra, buttons)
        if not self._posting:
            self._post()
        return await self._outcome()

    def _becomes_whole(
        self, text: str | None, extra: Mapping[str, Json] | None, buttons: Buttons | None
    ) -> None:
        extra = self._checked(text, extra)
        rows = None if buttons is None else rows_of(buttons)
        if not self._growth.is_open:
            self._asked = True
            self._check_same(text, extra, rows)
            return
        given = extra, rows
        if rows is not None:
            had = self._growth.extra
            extra = self._streams.fields_beside(self._envelope, rows, extra, had)
        self._asked = True
        whole, grows = self._growth.written if text is None else text, self._envelope.grows
        if grows is not None and self._leaves_waiting and not whole.strip():
            self._error = Invalid([Problem("text", "is empty")])
            self._end_waiting(grows.broken_off)
        else:
            self._finished_with = given
            self._growth.finish(plain(text), extra)
        self._ends()

    def _check_same(
        self, text: str | None, extra: Mapping[str, Json] | None, rows: Rows | None
    ) -> None:
        """Raise `Invalid` if `finish` was called before, with something else than these."""
        if self._finished_with is None or self._error is not None:
            return
        had_extra, had_rows = self._finished_with
        given = (
            ("text", plain(text), self._growth.written),
            ("extra", extra, had_extra),
            ("buttons", rows, had_rows),
        )
        problems = [Problem(name, FINISHED) for name, one, had in given if one not in (None, had)]
        if problems:
            raise Invalid(problems)

    def _checked(
        self, text: str | None, extra: Mapping[str, Json] | None
    ) -> Mapping[str, Json] | None:
        """The platform's own fields in plain values. Raises `Invalid` if either cannot be sent."""
        if text is not None:
            check_text(text, 0, self._most)
        if extra is None:
            return None
        try:
            whole = attrs.evolve(self._envelope, extra=extra)
        except ValueError as error:
            raise Invalid(problems_in(error)) from None
        return checked(whole).extra  # type: ignore[union-attr]  # a `Send` stays one

    async def _joined(self) -> Delivered | None:
        """The receipt, for a stream that joined this one; None: this one sent nothing.

        If this stream sent nothing, the other stream answers.
        """
        await self._accepted.wait()
        if self._ticket is None and self._error is None:
            return None
        return await self._outcome()

    async def _outcome(self) -> Delivered:
        """The receipt, once the message has ended. Raises as `finish` does."""
        await self._accepted.wait()
        if self._error is not None:
            raise self._error
        assert self._ticket is not None  # noqa: S101 - accepted, or refused
        delivery = self._ticket._delivery  # noqa: SLF001 - a ticket is this package's own
        receipt = await wait_for_end(delivery, joining=True)
        if receipt.delivered:
            return with_ref(delivery, receipt)
        raise DeliveryError(receipt)

    def _break_off(self) -> None:
        """End the stream, since its block ended with an exception or the gateway closes."""
        if self._first is not None or not self._growth.is_open:
            return
        grows, deletes = self._envelope.grows, self._on_error == "delete"
        shows_none = deletes or not self._growth.written.strip()
        if grows is not None and self._leaves_waiting and shows_none:
            self._end_waiting(grows.broken_off)
        elif deletes:
            self._growth.delete()
        elif self._on_error == "mark" and grows is not None:
            self._growth.break_off(grows.broken_off)
        else:
            self._growth.finish()
        self._ends()

    @property
    def _leaves_waiting(self) -> bool:
        """Whether users see that an answer is being made, and see nothing of it yet."""
        asked, delivery = self._interaction, self._delivery
        if asked is None or not asked.shows_it or self._first is not None:
            return False
        return delivery is None or not delivery.started

    def _end_waiting(self, mark: str) -> None:
        """Answer with `mark` alone: nothing else ends "is thinking …"."""
        self._growth.replace("")
        self._growth.break_off(mark)
        if not self._posting:
            self._post()

    def _ends(self) -> None:
        """Note that the text grows no more: its time to live counts from now."""
        self._whole.set()
        delivery = self._delivery
        if delivery is not None:
            self._streams.ends(delivery)
        self._record(whole=True)

    @property
    def _delivery(self) -> Delivery | None:
        """The unfinished delivery whose text is this stream's; None: there is none here."""
        delivery = None if self._ticket is None else self._ticket._delivery  # noqa: SLF001 - a ticket is this package's own
        if delivery is None or delivery.growth is not self._growth:  # another stream has its key
            return None
        return None if delivery.receipt is not None or delivery.stored else delivery

    @property
    def receipt(self) -> Receipt | None:
        """How the stream ended; None: it has not ended."""
        if self._first is not None:
            return self._first.receipt
        ticket = self._ticket
        return ticket._delivery.receipt if ticket is not None and ticket.ended else None  # noqa: SLF001 - likewise

    @property
    def ticket(self) -> Ticket | None:
        """The message's ticket, once it is accepted; the ticket's ref can be stored at once."""
        return self._ticket if self._first is None else self._first.ticket

    @property
    def max_text(self) -> int:
        """The most characters that the text may have."""
        return self._most

    @property
    def stopped(self) -> bool:
        """Whether writing more is pointless: the user stopped the stream, or it has ended."""
        if self._first is not None:
            return self._first.stopped
        if self._growth.stopped or self._error is not None:
            return True
        return self._ticket is not None and self._delivery is None

    # -- its message

    async def __aenter__(self) -> Self:
        """Check where the stream goes, and join an open stream with the same key.

        Accepts nothing yet. Raises as `Gateway.submit` does.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        # Before any pause: trio goes on with tasks in any order, and the first of a key is shown.
        self._first = self._streams.open(self, self._envelope)
        if self._first is None and self._shows_typing is not None:
            self._typing_ends = self._shows_typing()
        if self._interaction is not None:
            self._interaction.acknowledge()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the stream; after an exception, do what `on_error` says.

        Then it waits only until the text is accepted, so that the program's next message comes
        after it, and at most `MOMENT` seconds, even if it is cancelled.
        """
        try:
            if error is not None:
                self._break_off()
                if self._posting and not isinstance(error, GeneratorExit):
                    with trio.move_on_after(MOMENT, shield=True):
                        await self._accepted.wait()
            elif not self._asked:
                await self.finish()
        finally:
            self._stop_typing()
            self._streams.close(self)
            if not self._posting:
                self._accepted.set()  # streams that joined this one must not wait any longer

    def _post(self) -> None:
        self._posting = True
        if self._streams.is_closed:
            self._error = GatewayClosed()
            self._accepted.set()
        else:
            self._streams.spawn(self._submit)

    async def _submit(self) -> None:
        """Submit the stream's message; `finish` raises the error if it is not accepted."""
        try:
            text = await self._first_text()
            envelope = attrs.evolve(self._envelope, text=text)
            answered = None
            if self._interaction is not None:
                answered = await self._interaction.before_answer()
            if answered is not None:
                text = self._growth.showing() or text
                envelope = attrs.evolve(envelope, text=text, interaction=answered)
                self._growth.answers(answered)
            envelope = self._said_to_be_whole(envelope)
            self._ticket = await self._streams.door.submit(envelope, wait=True, growth=self._growth)
            self._ticket._delivery.hold()  # noqa: SLF001 - a ticket is this package's own
            if not self._growth.is_open:
                self._ends()
        except Exception as error:  # noqa: BLE001 - raised where it is finished
            self._error = error
        finally:
            if self._ticket is None and self._error is None:  # the gateway ended meanwhile
                self._error = GatewayClosed()
            self._accepted.set()

    def _said_to_be_whole(self, envelope: Send) -> Send:
        """The envelope, which says that its text is whole if no more text will come."""
        grows = envelope.grows
        if self._growth.is_open or grows is None:
            return envelope
        ended = attrs.evolve(grows, stored_as=self._growth.stored_as)
        return attrs.evolve(envelope, text=self._growth.written or envelope.text, grows=ended)

    async def _first_text(self) -> str:
        """The text of the first message, after gathering text for a moment."""
        with trio.move_on_after(GATHER):
            await self._whole.wait()
        while self._growth.is_open and not (text := self._growth.showing()).strip():
            with trio.move_on_after(GATHER):
                await self._whole.wait()
        return self._growth.showing() if not self._growth.is_open else text

    def _record(self, *, whole: bool = False) -> None:
        """Store the newest text in the outbox, at most once a second until it is whole."""
        journal, delivery = self._streams.journal, self._delivery
        if journal is None or delivery is None or delivery.is_elsewhere:
            return
        now = self._streams.clock.now()
        if whole or now - self._recorded_at >= RECORD:
            self._recorded_at = now
            journal.grew(delivery)

    def _gateway_closes(self) -> None:
        """The gateway closes: store the newest text, or break the stream off.

        It is broken off if there is no outbox, or if another process delivers it.
        """
        delivery = self._delivery
        if self._streams.journal is None or (delivery is not None and delivery.is_elsewhere):
            self._break_off()
        else:
            self._record(whole=True)
