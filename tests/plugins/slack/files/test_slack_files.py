"""Pictures and files on Slack: shared some time after they were taken, and refused by name."""

import math

import attrs
import pytest
import trio
from pictures import png
from structlog.testing import capture_logs

from gateway_contrib.emulators.faults import Said
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits
from gateway_core import (
    Disposition,
    File,
    GatewayConfig,
    Instance,
    Invalid,
    Reason,
    Secret,
    open_gateway,
)
from gateway_core.testing import open_network
from gateway_plugin_slack.files.uploads import ASKS, SHARES
from gateway_plugin_slack.settings import Settings

ROOM = "C024BE91L"
JSON = {"content-type": "application/json"}
CAT = File(png(), name="cat.png", alt="A cat")


def seen(slack):
    """What stands in the room: text, thread, and the files' names."""
    return [
        (message.text, message.thread, [file.name for file in message.files])
        for message in slack.rooms.conversation(ROOM)
    ]


async def test_a_picture_with_a_bold_text(slack, gateway, autojump_clock):
    receipt = await gateway.send("support", ROOM, "**A cat**", files=[CAT])
    assert [("A cat", None, ["cat.png"])] == seen(slack)
    [message] = slack.rooms.conversation(ROOM)
    assert "A cat" == message.files[0].alt
    [part] = receipt.ref.parts
    assert part.message_id.endswith(message.id)
    assert part.files[0].id.startswith("F")


async def test_its_text_is_edited_and_it_is_deleted(slack, gateway, autojump_clock):
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    edited = await gateway.edit(receipt.ref, "A *grey* cat")
    assert [("A grey cat", None, ["cat.png"])] == seen(slack)
    await gateway.delete(edited.ref)
    assert [] == seen(slack)


async def test_its_files_stay_what_they_are(slack, gateway, autojump_clock):
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    described = attrs.evolve(receipt.ref.parts[0].files[0], alt="A grey cat")
    for files in ((), (File(b"1,2", name="numbers.csv"),), (described,)):
        edited = await gateway.edit(receipt.ref, "A dog", files=files, raises=False)
        assert Disposition.REJECTED is edited.disposition
        assert Reason.UNSUPPORTED is edited.verdict.reason
    assert [("A cat", None, ["cat.png"])] == seen(slack)


@pytest.mark.parametrize("word", ["file_not_found", "internal_error", "ratelimited"])
async def test_the_message_is_looked_for_again(refusing, autojump_clock, word):
    """Right after its upload, Slack may not know the file yet."""
    slack, gateway, answers = refusing
    answers["files.info"] = refused(word)
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    [message] = slack.rooms.conversation(ROOM)
    assert receipt.ref.parts[0].message_id.endswith(message.id)


async def test_a_file_that_slack_does_not_find_at_all_is_shared_nowhere(refusing, autojump_clock):
    _, gateway, answers = refusing
    answers.always["files.info"] = refused("file_not_found")
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], raises=False)
    assert "showed no message with them for 60 s" in receipt.verdict.raw


@pytest.mark.parametrize("word", ["missing_scope", "invalid_auth", "file_deleted"])
async def test_who_may_not_look_has_sent_its_message_all_the_same(refusing, autojump_clock, word):
    """But does not know which one it is."""
    slack, gateway, answers = refusing
    answers.always["files.info"] = refused(word)
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    assert (True, None) == (receipt.delivered, receipt.parts[0].message_id)
    await trio.sleep(5)
    assert [("A cat", None, ["cat.png"])] == seen(slack)


async def test_several_files_without_a_text_answer_in_a_thread(slack, gateway, autojump_clock):
    question = await gateway.send("support", ROOM, "question")
    asked = question.ref.parts[0].message_id
    files = [File(b"1", name="1.txt"), File(b"2", name="2.txt")]
    await gateway.send("support", ROOM, "", files=files, reply_to=asked)
    _, answer = seen(slack)
    assert ("", ["1.txt", "2.txt"]) == (answer[0], answer[2])
    assert asked.endswith(answer[1])


async def test_bytes_go_nowhere_but_to_slack(slack, gateway, autojump_clock):
    """Whatever stands between may have changed the address that it was given."""
    slack.files_url = "https://elsewhere.example"
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], ttl=5, raises=False)
    assert "the answer has no upload address at Slack" in receipt.verdict.raw
    assert "no" == receipt.verdict.dispatched
    assert not receipt.possible_duplicate
    assert [] == seen(slack)


async def test_what_is_shared_nowhere_is_an_outcome_of_its_own(slack, gateway, autojump_clock):
    slack.share_after(math.inf)
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], raises=False)
    assert Disposition.UNKNOWN is receipt.disposition
    assert Reason.OUTCOME_UNKNOWN is receipt.verdict.reason
    assert ["unknown"] == [part.outcome for part in receipt.parts]
    [file] = slack._world.files._files.values()
    assert (
        f"took the files {file.id}, but showed no message with them for 60 s" in receipt.verdict.raw
    )
    assert not file.deleted
    assert 1 == receipt.attempts


@pytest.mark.parametrize(
    ("room", "files", "said"),
    [
        (ROOM, [File(b"x", name=f"{n}") for n in range(11)], "files: has 11 files, at most 10"),
        (ROOM, [File(id="C1")], "files.0.id: is not the id of a file at Slack, such as F0123ABCD"),
        (ROOM, [File(id="F1", alt="a" * 1001)], "files.0.alt: has 1001 characters"),
        (ROOM, [File(b"x", name="x", alt="a" * 1001)], "files.0.alt: has 1001 characters"),
        ("#general", [CAT], "external_room_id: to send files, Slack needs the conversation's id"),
    ],
)
async def test_what_slack_does_not_take(slack, gateway, autojump_clock, room, files, said):
    with pytest.raises(Invalid) as caught:
        await gateway.send("support", room, "text", files=files)
    assert said in str(caught.value)


class Answers(dict):
    """How a method is answered once; `later`: the next times; `always`: every time."""

    def __init__(self):
        self.always, self.later = {}, {}

    def next(self, method):
        if self.later.get(method):
            return self.later[method].pop(0)
        return self.pop(method, self.always.get(method))


@pytest.fixture
async def refusing(autojump_clock):
    """A gateway to a Slack, and what lets a method be answered so."""
    slack = SlackEmulator()
    answers = Answers()

    async def front(scope, receive, send):
        method = scope["path"].removeprefix("/api").split("/")[1]
        said = answers.next(method)
        await (said.response() if said else slack.app)(scope, receive, send)

    instance = Instance("support", "slack", Settings(token=Secret("xoxb-1")))
    async with open_network() as network:
        network.mount("https://slack.com", front)
        network.mount("https://files.slack.com", front)
        async with open_gateway(GatewayConfig(instances=[instance])) as gateway:
            yield slack, gateway, answers


@pytest.mark.parametrize(
    ("method", "word", "goes"),
    [
        (ASKS, "file_upload_size_restricted", True),
        (ASKS, "file_uploads_disabled", True),
        (ASKS, "storage_limit_reached", True),
        (ASKS, "missing_scope", True),
        (ASKS, "no_permission", True),
        (SHARES, "file_type_not_allowed", True),
        (SHARES, "channel_not_found", False),
        (SHARES, "posting_to_channel_denied", False),
        (ASKS, "account_inactive", False),
    ],
)
async def test_the_text_of_a_refused_upload_goes_alone_if_so_wanted(
    refusing, autojump_clock, method, word, goes
):
    slack, gateway, answers = refusing
    answers[method] = Said(body={"ok": False, "error": word}, headers=JSON)
    receipt = await gateway.send(
        "support", ROOM, "**A cat**", files=[CAT], on_file_error="send_text", ttl=60, raises=False
    )
    assert ((f"files refused: {word}",) if goes else ()) == receipt.degradations
    assert goes == (("A cat", None, []) in seen(slack))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (ASKS, Said(body={"ok": False, "error": "internal_error"}, headers=JSON)),
        (ASKS, Said(body={"ok": False, "error": "fatal_error"}, headers=JSON)),
        (ASKS, Said(status=503, body=b"busy")),
        (ASKS, Said(body=b"<html>Sign in</html>", headers={"content-type": "text/html"})),
        (ASKS, Said(body=b"cut o", headers=JSON)),
        ("upload", Said(status=500, body=b"broken")),
        ("upload", Said(status=403, body=b"no")),
    ],
)
async def test_before_files_are_shared_nothing_can_be_in_the_room(
    refusing, autojump_clock, method, said
):
    """So the upload is made again, and makes no copy."""
    slack, gateway, answers = refusing
    answers[method] = said
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], on_unknown="give_up")
    assert (True, 2, False) == (receipt.delivered, receipt.attempts, receipt.possible_duplicate)
    assert "no" == receipt.verdict.dispatched
    assert [("A cat", None, ["cat.png"])] == seen(slack)


@pytest.mark.parametrize("method", [ASKS, "upload"])
async def test_an_upload_that_fails_while_the_account_works_ends(refusing, autojump_clock, method):
    """It does not try as often as the limits allow, until it expires."""
    _, gateway, answers = refusing
    answers.always[method] = Said(status=503, body=b"busy")
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], raises=False)
    assert Disposition.EXHAUSTED is receipt.disposition
    assert (Reason.PLATFORM_ERROR, "no") == (receipt.verdict.reason, receipt.verdict.dispatched)
    assert receipt.attempts < 20


async def test_the_answer_to_a_command_goes_with_its_files_to_the_room(
    slack, gateway, autojump_clock
):
    """A response_url takes none: not for one person's eyes alone either."""
    slack.hooks_url = "https://hooks.slack.com"
    command = slack.people.command(ROOM, "/chart")
    receipt = await gateway.reply(command, "**A cat**", files=[CAT], instance="support")
    assert [("A cat", None, ["cat.png"])] == seen(slack)
    assert (("to_room",), 2) == (receipt.transforms, receipt.attempts)
    assert receipt.ref.parts[0].message_id
    with pytest.raises(Invalid, match="files: Slack takes no files by a webhook or a response_url"):
        await gateway.reply(command, "A cat", files=[CAT], instance="support", ephemeral=True)


def left(slack):
    """The names of files that Slack has, whoever sees them."""
    files = slack._world.files._files.values()
    return [file.name for file in files if file.digest is not None and not file.deleted]


def refused(word):
    return Said(body={"ok": False, "error": word}, headers=JSON)


@pytest.mark.parametrize(
    ("word", "stay"), [("channel_not_found", 0), ("file_type_not_allowed", 0), ("invalid_auth", 2)]
)
async def test_what_was_uploaded_for_a_refused_message_is_deleted(
    refusing, autojump_clock, word, stay
):
    """But where the account does not work: it could not."""
    slack, gateway, answers = refusing
    answers[SHARES] = refused(word)
    files = [CAT, File(b"1,2", name="numbers.csv")]
    receipt = await gateway.send("support", ROOM, "", files=files, ttl=60, raises=False)
    assert word in receipt.verdict.raw
    assert ["cat.png", "numbers.csv"][:stay] == left(slack)


@pytest.mark.parametrize(
    "said",
    [
        Said(status=429, body=b"", headers={"retry-after": "3"}),
        Said(body={"ok": False, "error": "service_unavailable"}, headers=JSON),
        Said(status=503, body=b"no healthy upstream"),
    ],
)
async def test_what_was_uploaded_is_shared_by_the_next_attempt(refusing, autojump_clock, said):
    slack, gateway, answers = refusing
    answers[SHARES] = said
    files = [CAT, File(b"1,2", name="numbers.csv")]
    receipt = await gateway.send("support", ROOM, "A cat", files=files)
    assert (2, False) == (receipt.attempts, receipt.possible_duplicate)
    assert [("A cat", None, ["cat.png", "numbers.csv"])] == seen(slack)
    assert ["cat.png", "numbers.csv"] == left(slack)


async def test_the_next_attempt_uploads_what_is_not_uploaded_yet(refusing, autojump_clock):
    slack, gateway, answers = refusing
    answers.later["upload"] = [None, Said(status=503, body=b"busy")]
    files = [CAT, File(b"1,2", name="numbers.csv")]
    receipt = await gateway.send("support", ROOM, "A cat", files=files)
    assert 2 == receipt.attempts
    assert [("A cat", None, ["cat.png", "numbers.csv"])] == seen(slack)
    assert ["cat.png", "numbers.csv"] == left(slack)


async def test_uploads_that_slack_has_forgotten_meanwhile_are_made_again(refusing, autojump_clock):
    slack, gateway, answers = refusing
    limited = Said(status=429, body=b"", headers={"retry-after": "3"})
    answers.later[SHARES] = [limited, refused("file_not_found")]
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    assert 2 == receipt.attempts
    assert [("A cat", None, ["cat.png"])] == seen(slack)
    assert 2 == len(slack._world.files._files)


async def test_files_of_an_unknown_outcome_are_not_shared_twice(refusing, autojump_clock):
    """They may be in the room, so that the next attempt uploads others."""
    slack, gateway, answers = refusing
    answers[SHARES] = refused("internal_error")
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT])
    assert receipt.possible_duplicate
    assert 2 == len(slack._world.files._files)


async def test_files_whose_message_somebody_deleted_are_deleted(slack, gateway, autojump_clock):
    sent = await gateway.send("support", ROOM, "A cat", files=[CAT])
    ts = sent.ref.parts[0].message_id
    await gateway.call("support", ROOM, "chat.delete", {"ts": ts})
    assert ["cat.png"] == left(slack)
    await gateway.delete(sent.ref, raises=False)
    assert [] == left(slack)


async def test_a_file_that_cannot_be_deleted_for_now_is_deleted_later(refusing, autojump_clock):
    slack, gateway, answers = refusing
    sent = await gateway.send("support", ROOM, "A cat", files=[CAT])
    answers["files.delete"] = refused("ratelimited")
    assert (await gateway.delete(sent.ref)).delivered
    assert ([], []) == (seen(slack), left(slack))


async def test_a_file_that_stays_is_named_in_the_log(refusing, autojump_clock):
    slack, gateway, answers = refusing
    sent = await gateway.send("support", ROOM, "A cat", files=[CAT])
    answers["files.delete"] = refused("missing_scope")
    with capture_logs() as logs:
        assert (await gateway.delete(sent.ref)).delivered
    [file] = sent.ref.parts[0].files
    told = [entry for entry in logs if entry["event"] == "slack.file_left"]
    assert [(file.id, "missing_scope")] == [(entry["file"], entry["error"]) for entry in told]
    assert ([], ["cat.png"]) == (seen(slack), left(slack))


async def test_an_upload_that_is_too_large_for_what_stands_between(refusing, autojump_clock):
    slack, gateway, answers = refusing
    answers["upload"] = Said(status=413, body=b"<html>Too large</html>")
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], on_file_error="send_text")
    assert [("A cat", None, [])] == seen(slack)
    assert (f"files refused: HTTP 413 for an upload of {len(png())} bytes",) == receipt.degradations


async def test_the_text_of_what_is_shared_nowhere_goes_alone(slack, gateway, autojump_clock):
    slack.share_after(math.inf)
    receipt = await gateway.send("support", ROOM, "A cat", files=[CAT], on_file_error="send_text")
    assert [("A cat", None, [])] == seen(slack)
    assert receipt.possible_duplicate


async def test_each_file_counts_against_the_addresses_that_slack_gives(autojump_clock):
    """With room for five a minute, two messages of three files are a minute apart."""
    limits = SlackLimits(tiers={ASKS: (5, 60.0)})
    slack = SlackEmulator(limits=limits)
    instance = Instance("support", "slack", Settings(token=Secret("xoxb-1"), tier_4=5))
    files = [File(str(n).encode(), name=f"{n}.txt") for n in range(3)]
    async with open_network() as network:
        network.mount("https://slack.com", slack.app)
        network.mount("https://files.slack.com", slack.app)
        async with open_gateway(GatewayConfig(instances=[instance])) as gateway:
            for text in ("one", "two"):
                await gateway.send("support", ROOM, text, files=files)
    first, second = slack.rooms.conversation(ROOM)
    assert 60 < second.stored_at - first.stored_at < 70
    assert 0 == slack.counters["rate_limited"]
