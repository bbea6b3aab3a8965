"""`gateway send`, `edit`, `delete` and `cancel`: one envelope, from the command line to its end.

If the application's gateway runs with an outbox, the command asks it to send. Otherwise the command
sends with the application's accounts itself, from memory.
"""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.apart import Application, accounts_of
from gateway_contrib.cli.ending import Ended, in_json, one_line, printable
from gateway_contrib.cli.logs import Verbose, set_up_log
from gateway_core import (
    Delete,
    DeliveryError,
    Disposition,
    Edit,
    Envelope,
    Invalid,
    KeyRef,
    MessageRef,
    Receipt,
    Send,
    from_json,
    load_config,
    open_gateway,
    to_json,
)
from gateway_core import File as SentFile

Format = Literal["plain", "markdown", "native"]
OnFileError = Annotated[
    Literal["fail", "send_text"],
    Parameter(help="If the platform refuses a file: send nothing, or only the text."),
]
Config = Annotated[Path, Parameter(help="The configuration file.")]
File = Annotated[
    str | None,
    Parameter(allow_leading_hyphen=True, help="Read the text from this file; - is standard input."),
]
Json = Annotated[bool, Parameter(negative=(), help="Print the receipt as one JSON object.")]
Ttl = Annotated[float, Parameter(validator=Number(gt=0), help="Give up after this many seconds.")]
Key = Annotated[
    str | None, Parameter(help="Idempotency key: nothing is sent if the outbox has it already.")
]
Ref = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="The message: the output of `send --json`, or - to read it from standard input.",
    ),
]
TargetKey = Annotated[
    str | None,
    Parameter(help="The message's key, if the outbox has it; needs --instance and --room."),
]
Account = Annotated[str | None, Parameter(help="With --key: the instance that sent the message.")]
Room = Annotated[str | None, Parameter(help="With --key: the room of the message.")]
Look = Annotated[Format, Parameter(help="The format of the text.")]
Attached = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--file-attach",
        negative=(),
        consume_multiple=False,
        show_default=False,
        help="A picture or other file to send along; may be given several times.",
    ),
]
AsDocument = Annotated[
    bool,
    Parameter(negative=(), help="Send the files to download, not as pictures or players."),
]
Shown = Annotated[str | None, Parameter(help="The text, unless --file is given.")]

CONFIG = Path("gateway.toml")
GOOD = (Disposition.DELIVERED, Disposition.SUPERSEDED)
CANCELLED = "cancelled"
PATIENCE = 60.0
"""Seconds after which a command gives up a message, since a person is waiting."""

Making: TypeAlias = Callable[[Application], Envelope]
"""Makes the envelope. Raises `Ended` if the application's outbox says that it must not be sent."""


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Written:
    """The options for a text's file and for the text's format."""

    file: File = None
    format: Look = "markdown"

    def words(self, text: str | None) -> str:
        """The text of the message."""
        return text_of(text, self.file)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Named:
    """The options that name a message: its ref; or its key, with the account and the room."""

    ref: Ref = None
    key: TargetKey = None
    instance: Account = None
    room: Room = None

    def target(self) -> MessageRef | KeyRef:
        """The message that the options name."""
        return _target(self.ref, self.key, self.instance, self.room)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Delivery:
    """The options for the time to live, the configuration and the output."""

    ttl: Ttl = PATIENCE
    config: Config = CONFIG
    json: Json = False
    verbose: Verbose = False


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Attachments:
    """The files that go with the text."""

    file_attach: Attached = ()
    caption: Annotated[str | None, Parameter(help="The text that goes with --file-attach.")] = None
    as_document: AsDocument = False

    @property
    def files(self) -> tuple[SentFile, ...]:
        """The files as an envelope has them: with absolute paths."""
        if any(path.parts[:1] in (("http:",), ("https:",)) for path in self.file_attach):
            raise Ended("--file-attach takes the path of a file; a program can send a URL")
        return tuple(
            SentFile(path.absolute(), as_document=self.as_document) for path in self.file_attach
        )

    def words(self, text: str | None, written: Written) -> str:
        """The message's text; with files, it may be a caption or empty."""
        if self.caption is not None:
            if not self.file_attach or text is not None or written.file is not None:
                raise Ended("--caption needs --file-attach, and no other text")
            return self.caption
        if self.file_attach and text is None and written.file is None:
            return ""
        return written.words(text)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Beside(Attachments):
    """The options for the files of a message that is sent."""

    on_file_error: OnFileError = "fail"


WRITTEN, NAMED, DELIVERY, BESIDE = Written(), Named(), Delivery(), Beside()


async def send(
    text: Shown = None,
    /,
    *,
    instance: Annotated[str, Parameter(help="The account, as gateway.toml names it.")],
    room: Annotated[str, Parameter(help="The conversation's id on the platform.")],
    thread: Annotated[str | None, Parameter(help="The thread or topic in the room.")] = None,
    reply_to: Annotated[str | None, Parameter(help="The id of the message to answer.")] = None,
    key: Key = None,
    beside: Beside = BESIDE,
    written: Written = WRITTEN,
    delivery: Delivery = DELIVERY,
) -> int:
    """Send a message, wait until it has arrived or failed, and show the result."""
    words = beside.words(text, written)

    def envelope(application: Application) -> Send:
        application.refuse_known(instance, room, key)
        return Send(
            instance_id=instance,
            external_room_id=room,
            text=words,
            thread_id=thread,
            reply_to=reply_to,
            key=key,
            format=written.format,
            ttl=delivery.ttl,
            files=beside.files,
            on_file_error=beside.on_file_error,
        )

    return await _deliver(envelope, delivery)


async def edit(
    text: Shown = None,
    /,
    *,
    named: Named = NAMED,
    written: Written = WRITTEN,
    delivery: Delivery = DELIVERY,
) -> int:
    """Replace the text of a message that was sent."""
    if named.ref == "-" and written.file == "-":
        raise Ended("--ref and --file cannot both be read from standard input")
    target, words = named.target(), written.words(text)

    def envelope(application: Application) -> Edit:
        return Edit(
            instance_id=target.instance_id,
            external_room_id=target.external_room_id,
            target=application.message_of(target),
            text=words,
            format=written.format,
            ttl=delivery.ttl,
        )

    return await _deliver(envelope, delivery)


async def delete(*, named: Named = NAMED, delivery: Delivery = DELIVERY) -> int:
    """Delete a message that was sent, with all of its parts."""
    target = named.target()

    def envelope(application: Application) -> Delete:
        return Delete(
            instance_id=target.instance_id,
            external_room_id=target.external_room_id,
            target=application.message_of(target),
            ttl=delivery.ttl,
        )

    return await _deliver(envelope, delivery)


async def cancel(
    envelope: Annotated[str, Parameter(help="The id, as `outbox list --waiting` shows it.")],
    /,
    *,
    config: Config = CONFIG,
) -> None:
    """Cancel an envelope that waits in the application's outbox, unless sending has started."""
    application = Application.of(load_config(config))
    said = await application.cancel(envelope)
    print(printable(f"{envelope}: {said}"))
    if said != CANCELLED:
        raise Ended("nothing was cancelled", 1)


async def _deliver(making: Making, delivery: Delivery) -> int:
    """Have the envelope delivered, and show its receipt. Raises as `deliver` does."""
    receipt = await deliver(making, delivery)
    if not delivery.json:
        print(printable(said_of(receipt)))
    return 0


async def deliver(making: Making, delivery: Delivery) -> Receipt:
    """Have the envelope delivered; returns the receipt, and prints it if JSON is asked for.

    Raises `Ended` with code 1 for any ending but a delivery.
    """
    set_up_log(verbose=delivery.verbose)
    loaded = load_config(delivery.config)
    application = Application.of(loaded)
    envelope = making(application)
    if application.running:
        receipt = await application.deliver(envelope, delivery.ttl)
    else:
        # A person must not wait for a suspended account.
        alone = attrs.evolve(accounts_of(loaded), when_suspended="end")
        async with open_gateway(alone) as gateway:
            receipt = await (await gateway.submit(envelope)).receipt()
    application.say()
    if delivery.json:
        print(in_json(to_json(receipt)))
    if receipt.disposition not in GOOD:
        raise Ended(one_line(DeliveryError(receipt=receipt)), 1)
    return receipt


def said_of(receipt: Receipt) -> str:
    """A receipt in one line."""
    where: str = receipt.disposition
    if receipt.external_room_id:  # a call may have none
        where += f" to {receipt.external_room_id}"
    if receipt.disposition is not Disposition.DELIVERED:
        return where
    ids = [
        number
        for part in receipt.parts
        for number in (part.message_id or "(id unknown)", *part.more)
    ]
    notes = [f"{len(ids)} messages" if len(ids) > 1 else "", *receipt.degradations]
    notes += ["it may have arrived twice"] if receipt.possible_duplicate else []
    notes += ["it was sent before, and not again now"] if receipt.replayed else []
    told = "; ".join(note for note in notes if note)
    return f"{where}: {', '.join(ids)}" + (f" ({told})" if told else "")


def text_of(text: str | None, file: str | None) -> str:
    """The text of the message: the argument, a file's text, or standard input."""
    if (text is None) == (file is None):
        raise Ended("give either a TEXT or --file")
    if text is not None:
        return text
    try:
        if file == "-":
            return standard_input("--file")
        return Path(str(file)).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Ended(f"--file {file}: is not UTF-8 at byte {error.start}") from None


def standard_input(option: str) -> str:
    """All of standard input, as text; `option` is the one whose value is `-`."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Ended(f"{option} -: is not UTF-8 at byte {error.start}") from None


def _target(
    ref: str | None, key: str | None, instance: str | None, room: str | None
) -> MessageRef | KeyRef:
    """The message that the options name: by its ref, or by its key."""
    if (ref is None) == (key is None):
        raise Ended("give either --ref or --key")
    if ref is not None:
        return _ref(standard_input("--ref") if ref == "-" else ref)
    if key is None or instance is None or room is None:
        raise Ended("--key needs --instance and --room")
    return KeyRef(instance_id=instance, external_room_id=room, key=key)


def _ref(text: str) -> MessageRef:
    """The ref in this JSON, which is a ref or a receipt that has a ref."""
    try:
        plain: Any = jsonlib.loads(text)
    except ValueError as error:
        raise Ended(f"--ref is not JSON (to read a file: --ref - <FILE): {error}") from None
    except RecursionError:
        raise Ended("--ref is nested too deeply to be a ref") from None
    if isinstance(plain, dict) and "disposition" in plain:
        plain = plain.get("ref")
        if plain is None:
            raise Ended("--ref is a receipt of a message that did not arrive")
    if not isinstance(plain, dict):
        raise Ended("--ref is not the JSON that `send --json` prints")
    try:
        return from_json(MessageRef, plain)
    except Invalid as error:
        raise Ended(f"--ref is not the JSON that `send --json` prints: {error}") from None
