"""The contract of a channel notices what is lost beside a text, and says what to do about it."""

from __future__ import annotations

import inspect
import json
from contextlib import asynccontextmanager, nullcontext, suppress
from urllib.parse import quote

import attrs
import pytest

from gateway_core import Edit, HookContractError, Instance, Part, Problem, Secret, Send
from gateway_core.authors import (
    Answer,
    ErrorClass,
    Reason,
    Sign,
    Traits,
    Verdict,
    hookimpl,
    with_first_part,
)
from gateway_core.http import FormField, Multipart, RawBody, Response, foreign_verdict, open_client
from gateway_core.plugins.loader import bind
from gateway_core.testing import ChannelContract, open_network
from gateway_core.testing.channel_contract import ALONE

URL = "https://platform.example"


class Refused(Exception):
    """The answer reports a failure."""

    def __init__(self, response):
        super().__init__(response.status)
        self.response = response


@attrs.frozen
class Settings:
    """A token, as a secret and as a text."""

    token: Secret | None = None
    plain: str = ""


class Wired:
    """A channel that sends all that it is given, but for one fault, by its name."""

    GATEWAY_CONTRACT = 1

    def __init__(self, fault=""):
        self.fault = fault
        self.sent = 0

    @hookimpl
    def settings_type(self):
        return Settings

    @hookimpl
    def traits(self):
        return Traits(polls=True)

    @hookimpl
    def validate(self, envelope):
        if self.fault == "refuses polls" and getattr(envelope, "poll", None):
            return [Problem("poll", "is none of ours")]
        if self.fault == "needs a text" and isinstance(envelope, Edit) and envelope.only_buttons:
            return [Problem("text", "is empty")]
        prefixed = envelope.external_room_id.startswith("r")
        if self.fault == "quotes no room of its own" and not prefixed:
            return [Problem("external_room_id", "begins with no r")]
        if self.fault == "refuses replies" and getattr(envelope, "reply_to", None):
            return [Problem("reply_to", "is none of ours")]
        return []

    @hookimpl
    def chunk(self, envelope):
        if not isinstance(envelope, Send | Edit):
            return None
        text = envelope.text
        fixed = self.fault == "a fixed text"
        parts = [Part(payload={"text": text}, span=(0, len(text)), fixed=fixed)]
        poll = getattr(envelope, "poll", None)
        if poll is not None:
            return self.with_poll(poll, text, parts if text else [])
        if self.fault == "a file with two parts":
            return [*with_first_part(envelope, parts), *with_first_part(envelope, parts)]
        return with_first_part(envelope, parts)

    def with_poll(self, poll, text, parts):
        asked = attrs.asdict(poll)
        if self.fault == "loses options":
            asked["options"] = asked["options"][:10]
        if self.fault in ("multiple", "anonymous", "duration"):
            del asked[self.fault]
        if self.fault == "no plan" and not text:
            return []
        if self.fault == "loses the text":
            parts = []
        end = 0 if self.fault == "a span" else len(text)
        if self.fault == "a span":
            parts = [attrs.evolve(part, span=(1, len(text))) for part in parts]
        fixed = self.fault != "not fixed"
        return [*parts, Part(payload={"poll": asked}, span=(end, end), fixed=fixed)]

    @hookimpl
    def buttons(self, rows, extra):
        others = {name: value for name, value in extra.items() if name != "rows"}
        named = [[attrs.asdict(button) for button in row] for row in rows]
        return {**others, "rows": named} if rows else others

    @hookimpl
    def open_session(self, instance):
        token = instance.settings.token
        if self.fault == "a plain token":
            token = instance.settings.plain
        return open_client(base_url=URL, headers={"authorization": token} if token else {})

    @hookimpl
    def classify_error(self, error):
        if isinstance(error, BlockingIOError):
            return Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED)
        if isinstance(error, NotImplementedError):
            return Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNSUPPORTED)
        if not isinstance(error, Refused):
            return None
        verdict, status = foreign_verdict(error.response), error.response.status
        if (self.fault, status) in (("rejects outages", 502), ("rejects a 429", 429)):
            return Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_REQUEST)
        if self.fault == "waits for milliseconds" and verdict.retry_after:
            return attrs.evolve(verdict, retry_after=verdict.retry_after * 1000)
        return verdict

    async def asked(self, session, path, **body):
        """Makes a request, and raises unless its answer is a success."""
        response = await session.request("POST", path, **body)
        if response.status >= 300:
            raise Refused(response)

    @hookimpl
    async def send(self, session, attempt):
        self.sent += 1
        if self.fault == "knows its rooms" and attempt.room != "r":
            raise KeyError(attempt.room)
        if self.fault == "asks for a pause" and attempt.number < 3:
            raise BlockingIOError
        if self.fault == "fails with files" and attempt.files:
            raise ValueError("no files")
        if self.fault == "a thread of its own" and attempt.thread:
            raise Refused(Response(status=404, headers={}, body=b"no such thread"))
        if self.fault == "truncates":
            attempt = attrs.evolve(
                attempt, part=Part(payload={"text": attempt.payload["text"][:9]})
            )
        fields = {**attempt.payload, **(attempt.extra or {}), **self.place_of(attempt)}
        if self.fault == "drops the poll":
            fields.pop("poll", None)
        if self.fault == "drops fields":
            fields = attempt.payload
        files = attempt.files
        if self.fault == "drops files":
            files = ()
        if self.fault == "drops the second file":
            files = files[:1]
        ids = tuple(f"file-{number}" for number in range(len(files)))
        ids = ids[:1] if self.fault == "one id for two" else ids
        body = await self.body_of(session, fields, files, ids)
        path = f"/send/{attempt.room}" if self.fault.startswith("quotes no room") else "/send"
        with suppress(Refused) if self.fault == "swallows refusals" else nullcontext():
            await self.asked(session, path, **body)
        return Answer(message_id=f"id/{self.sent}", files=ids)

    async def body_of(self, session, fields, files, ids):
        """The message's body; its files are in it, or are uploaded before it."""
        if self.fault in ("uploads apart", "attaches no files"):
            for name, upload in zip(ids, files, strict=True):
                form = Multipart([FormField(name, upload, filename=upload.file.name)])
                await self.asked(session, "/upload", body=form)
            return {"json": fields if self.fault == "attaches no files" else {**fields, "ids": ids}}
        return await self.form(fields, files) if files else {"json": fields}

    def place_of(self, attempt):
        place = {"to": attempt.room, "in": attempt.thread, "re": attempt.reply}
        dropped = {"another room": "to", "drops threads": "in", "drops replies": "re"}
        return {**place, dropped.get(self.fault, "else"): "another"}

    async def form(self, fields, files):
        form, whole = [FormField("fields", json.dumps(fields))], b""
        for upload in files:
            content = upload
            if self.fault in ("holds files", "reads and drops files", "writes headers"):
                async with upload.open() as pieces:
                    content = b"".join([piece async for piece in pieces])
                whole += content
            form.append(FormField("file", content, filename=upload.file.name))
        if self.fault == "reads and drops files":
            return {"json": fields}
        if self.fault == "writes headers":
            head = f'--x\r\ncontent-disposition: form-data; filename="{files[0].file.name}"\r\n\r\n'
            return {"body": RawBody(head.encode() + whole)}
        return {"body": Multipart(form)}

    @hookimpl
    async def edit(self, session, attempt):
        fields = {**attempt.payload, **(attempt.extra or {})}
        if self.fault == "drops fields of edits":
            fields = attempt.payload
        if self.fault in ("reads the part", "needs a text"):
            fields = {**attempt.part.payload, **(attempt.extra or {})}
        files = () if self.fault == "drops files of edits" else attempt.files
        if files and self.fault == "keeps its files":
            raise NotImplementedError
        body = await self.form(fields, files) if files else {"json": fields}
        if self.fault == "truncates edits":
            body = {"json": {"text": fields["text"][:9]}}
        named = "" if self.fault == "edits another" else attempt.message_id
        named = "id/1" if self.fault == "edits the first" else named
        named = f"id/{self.sent}" if self.fault == "edits the last" else named
        place = named if self.fault == "quotes no id" else quote(named, safe="")
        with suppress(Refused) if self.fault == "swallows those of edits" else nullcontext():
            await self.asked(session, f"/edit/{place}", **body)
        return Answer(message_id=attempt.message_id)

    @hookimpl
    async def delete(self, session, attempt):
        if self.fault == "deletes nothing":
            return Answer()
        named = "" if self.fault == "deletes another" else attempt.message_id
        await session.request("POST", f"/delete/{quote(named, safe='')}")
        return Answer()

    @hookimpl
    def mark(self, mark):
        if mark.what == "unpin":
            return Problem("what", "is none of ours")
        return Sign(method=mark.what, arguments={"emoji": mark.emoji})

    @hookimpl
    async def call(self, session, attempt):
        if self.fault == "takes nothing back" and attempt.method == "unreact":
            return Answer()
        emoji = "👎" if self.fault == "another emoji" else attempt.arguments["emoji"]
        await session.request("POST", f"/{attempt.method}", json={"emoji": emoji})
        return Answer()


async def platform(scope, receive, send):
    """Says yes to everything."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


class Contract(ChannelContract):
    """Not collected: its tests are called."""

    channel = "wired"
    room = "r"

    def __init__(self, fault):
        self.adapter = Wired(fault)

    def settings(self):
        return Settings(token=Secret("Bearer t0ken"), plain="t0ken-as-it-is")

    @asynccontextmanager
    async def platform(self):
        async with open_network() as network:
            network.mount(URL, platform)
            yield network


async def outcome_of(fault, name):
    """Calls a test of the contract on a channel with the fault, as pytest would."""
    contract = Contract(fault)
    fixtures = {
        "hooks": bind([("wired", contract.adapter)], ALONE)["wired"],
        "instance": Instance("contract", "wired", contract.settings()),
        "clock": None,
        "classifying": None,
    }
    test = getattr(contract, name)
    done = test(**{word: fixtures[word] for word in inspect.signature(test).parameters})
    if inspect.isawaitable(done):
        await done


FILES = "test_a_file_goes_out_whole_and_in_pieces_or_is_refused"
EDITED = "test_the_files_of_an_edit_go_out_or_are_refused"
LAST = "test_a_poll_is_the_last_part_where_the_traits_say_so"
SAID = "test_all_that_a_poll_says_is_in_its_part"
OUT = "test_a_poll_goes_out"
FIELDS = "test_the_fields_of_a_message_go_out_or_are_refused"
PLACE = "test_a_message_goes_to_its_room_thread_and_reply_or_is_refused"
TEXT = "test_a_text_goes_out_whole"
NEW_TEXT = "test_an_edit_goes_out_whole_and_names_its_message"
GONE = "test_a_deletion_names_its_message"
QUOTED = "test_what_stands_in_an_address_is_quoted"
MARKED = "test_a_mark_goes_out"
SECRET = "test_what_authorises_is_a_secret"
REFUSED = "test_a_refusal_is_no_delivery"
OUTAGE = "test_an_outage_is_retried"
PAUSED = "test_a_429_is_waited_for_as_long_as_it_says"
FAULTS = {
    "another room": (PLACE, "'contractroom' of `attempt.room` is in no request: pass on in `send`"),
    "drops threads": (
        PLACE,
        "'contractid' of `attempt.thread` is in no request: pass on in `send`",
    ),
    "drops replies": (
        PLACE,
        "'contractid' of `attempt.reply` is in no request: .* `validate` what",
    ),
    "truncates": (TEXT, "'contractsent0end' of the payload of a text is in no request: pass on in"),
    "truncates edits": (
        NEW_TEXT,
        "'contractedited0end' of the payload of an edit is in no request",
    ),
    "edits another": (
        NEW_TEXT,
        "no request of `edit` names the message 'id/2': take `attempt.mess",
    ),
    "edits the first": (NEW_TEXT, "no request of `edit` names the message 'id/2': take `attempt"),
    "edits the last": (NEW_TEXT, "no request of `edit` names the message 'id/2': take `attempt"),
    "deletes another": (GONE, "no request of `delete` names the message 'id/2': take `attempt.m"),
    "deletes nothing": (
        GONE,
        "no request of `delete` names the message 'id/2': .* delete=False in",
    ),
    "quotes no room": (QUOTED, "`send` puts `attempt.room` into the address .*80/odd.word'"),
    "quotes no room of its own": (QUOTED, "`send` puts `attempt.room` into .*send/r/odd.word'"),
    "quotes no id": (QUOTED, "`edit` puts `attempt.message_id` into the address .* write quote"),
    "takes nothing back": (MARKED, "`call` makes no request for unreact: make it, or answer None"),
    "another emoji": (MARKED, "`call` makes the same request for 👍 and 🔥: take the emoji from"),
    "a thread of its own": (PLACE, "'id/1' of `attempt.thread` is in no request, and `send` fails"),
    "a plain token": (SECRET, "the setting `plain` authorises requests, and is a text that logs"),
    "swallows refusals": (REFUSED, r"`send` returns Answer\(message_id='id/2'.* for HTTP 400, and"),
    "swallows those of edits": (REFUSED, "`edit` returns Answer.* raise an error for each"),
    "rejects outages": (OUTAGE, r"HTTP 502 ends a message as non_retryable \(bad_request\): it is"),
    "rejects a 429": (
        PAUSED,
        r"HTTP 429 is non_retryable \(bad_request\): it says that a limit is",
    ),
    "waits for milliseconds": (PAUSED, "`Retry-After: 7` gives `retry_after=7000.0`: it is in sec"),
    "drops files": (FILES, "never read: send what `attempt.files` has, or name no files in"),
    "drops the second file": (FILES, "of 'contract\"1.txt' were never read"),
    "reads and drops files": (FILES, "were read, and are not whole in any request"),
    "attaches no files": (FILES, "was uploaded as 'file-0', and no request after the upload names"),
    "holds files": (FILES, "were in memory before they went out: give `gateway_core.http` the"),
    "writes headers": (FILES, "where the name's quote ends it: leave it to `Multipart`"),
    "a file with two parts": (FILES, "each of the 2 files in one part, not `Part.files` .0, 1, 0"),
    "one id for two": (FILES, "`Answer.files` cannot be used, and the log says why: give an id"),
    "fails with files": (FILES, "failed with ValueError.'no files'.: send it, or refuse it there"),
    "drops files of edits": (EDITED, "of 'contract\"0.txt' were never read"),
    "not fixed": (LAST, "is not `fixed`: .* make it Part"),
    "refuses polls": (LAST, "`validate` refuses a poll: poll: is none of ours. Let it pass, or"),
    "no plan": (LAST, "a poll without a text has an empty plan: its last part is the poll"),
    "loses the text": (LAST, "the text beside the poll is in no part: plan it as without"),
    "a fixed text": (LAST, "a part of the text is `fixed`, so that it cannot be edited"),
    "a span": (LAST, r"has the span \(0, 0\), and .* begins at 1: give it the text's end"),
    "loses options": (SAID, "'contractoption10of100' is not in the poll's part, and 89 more"),
    "multiple": (SAID, "multiple=True is planned like one with multiple=False: say it in the"),
    "anonymous": (SAID, "anonymous=True is planned like one with anonymous=False"),
    "duration": (SAID, "duration=300.0 is planned like one with duration=None"),
    "drops the poll": (OUT, "'contractquestion' of the payload .* is in no request: pass on in"),
    "drops fields": (FIELDS, "'sentyes' of `extra` is in no request: pass on in `send` all"),
    "drops fields of edits": (FIELDS, "'editedyes' of `extra` is in no request: .* `edit`"),
    "reads the part": (FIELDS, "an edit of buttons alone, which has no `part`, .* refuse it there"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_contract_says_what_is_lost(fault, autojump_clock):
    test, words = FAULTS[fault]
    told = pytest.RaisesExc((AssertionError, HookContractError, pytest.fail.Exception), match=words)
    with pytest.RaisesGroup(told, flatten_subgroups=True, allow_unwrapped=True):
        await outcome_of(fault, test)


IN_ORDER = [
    "",
    "needs a text",
    "asks for a pause",
    "keeps its files",
    "uploads apart",
    "refuses replies",
    "knows its rooms",
]


@pytest.mark.parametrize("fault", IN_ORDER)
@pytest.mark.parametrize(
    "test",
    [
        FILES, EDITED, LAST, SAID, OUT, FIELDS, PLACE, TEXT, NEW_TEXT, GONE, QUOTED, MARKED,
        REFUSED, OUTAGE, PAUSED, SECRET,
    ],
)  # fmt: skip
async def test_the_contract_has_nothing_against_it(fault, test, autojump_clock):
    """One that loses nothing, one that refuses what it cannot do, and one that is slow."""
    await outcome_of(fault, test)
