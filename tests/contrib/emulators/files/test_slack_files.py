"""The emulated Slack takes files as Slack does: in three steps, shared after a while."""

import json
import math

import attrs
import pictures
import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.files.store import FileStore
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits

URL = "https://slack.com"
CDN = "https://files.slack.com"
TOKEN = "xoxb-1111-2222-abc"
OTHER = "xoxb-1111-3333-abc"
ROOM = "C024BE91L"
PNG = pictures.png(30, 20)
FREE = {"posts": (10_000, 1.0), "tiers": {}}


@attrs.define
class Client:
    emulator: SlackEmulator
    http: object

    async def ask(self, method, *, token=TOKEN, **fields):
        """The body of the answer to a form."""
        form = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
        headers = {"authorization": f"Bearer {token}"}
        return (await self.http.post(f"/api/{method}", data=form, headers=headers)).json()

    async def reserved(self, size, name="cat.png", **fields):
        body = await self.ask("files.getUploadURLExternal", filename=name, length=size, **fields)
        assert body["ok"], body
        return body

    async def uploaded(self, data=PNG, name="cat.png", **fields):
        """The id of a file whose bytes are there."""
        told = await self.reserved(len(data), name, **fields)
        answer = await self.http.post(told["upload_url"], content=data)
        assert (200, f"OK - {len(data)}") == (answer.status_code, answer.text)
        return told["file_id"]

    async def completed(self, *numbers, **fields):
        files = [{"id": number} for number in numbers]
        return await self.ask("files.completeUploadExternal", files=files, **fields)

    async def shared(self, **fields):
        """The id of a file that a room shows."""
        number = await self.uploaded(**fields)
        assert (await self.completed(number, channel_id=ROOM))["ok"]
        await trio.sleep(1)
        return number

    async def info(self, number, **fields):
        return await self.ask("files.info", file=number, **fields)

    async def posted(self, **fields):
        return await self.ask("chat.postMessage", channel=ROOM, **fields)

    def seen(self):
        conversation = self.emulator.rooms.conversation(ROOM)
        return [(message.text, [file.name for file in message.files]) for message in conversation]


@pytest.fixture
async def made(reached):
    async def make(faults=None, **limits):
        emulator = SlackEmulator(limits=SlackLimits(**FREE | limits), faults=faults)
        return Client(emulator, await reached(emulator.app, URL, CDN))

    return make


@pytest.fixture
async def client(made):
    return await made()


def refused(error, *messages):
    body = {"ok": False, "error": error}
    if messages:
        body["response_metadata"] = {"messages": [f"[ERROR] {words}" for words in messages]}
    return body


async def test_a_file_is_shared_only_after_a_while(client, autojump_clock):
    number = await client.uploaded(alt_txt="a cat")
    body = await client.completed(number, channel_id=ROOM, initial_comment="*look* <&")
    assert ([number], {}, "") == (
        [file["id"] for file in body["files"]],
        body["files"][0]["shares"],
        body["files"][0]["mimetype"],
    )
    await trio.sleep(0.9)
    assert {} == (await client.info(number))["file"]["shares"]
    assert [] == client.seen()
    await trio.sleep(0.1)
    file = (await client.info(number))["file"]
    [message] = client.emulator.rooms.conversation(ROOM)
    share = {"ts": message.id, "team_id": "T0EMULATOR"}
    assert ({"public": {ROOM: [share]}}, [ROOM]) == (file["shares"], file["channels"])
    assert ("image/png", 30, 20, len(PNG), "a cat") == tuple(
        file[name] for name in ("mimetype", "original_w", "original_h", "size", "alt_txt")
    )
    assert ("*look* <&", "*look* &lt;&amp;") == (message.text, message.fields["text"])
    assert ["a cat"] == [file.alt for file in message.files]


async def test_a_share_has_the_time_at_which_it_was_due(client, autojump_clock):
    await client.completed(await client.uploaded(), channel_id=ROOM)
    await trio.sleep(5)
    client.emulator.people.say(ROOM, "nice")
    shared, said = client.emulator.rooms.conversation(ROOM)
    assert (1.0, 4.0) == (
        pytest.approx(shared.stored_at - (trio.current_time() - 5)),
        pytest.approx(said.stored_at - shared.stored_at),
    )
    assert 4 == int(float(said.id) - float(shared.id))


async def test_sharing_may_take_longer_and_may_never_happen(client, autojump_clock):
    client.emulator.share_after(90)
    late = await client.uploaded()
    await client.completed(late, channel_id=ROOM)
    client.emulator.share_after(math.inf)
    never = await client.uploaded()
    assert (await client.completed(never, channel_id=ROOM))["ok"]
    await trio.sleep(89)
    assert [] == client.seen()
    await trio.sleep(1)
    assert [("", ["cat.png"])] == client.seen()
    await trio.sleep(80_000)
    assert {} == (await client.info(never))["file"]["shares"]
    assert 1 == len(client.seen())


async def test_several_files_are_one_message_in_a_thread(client, autojump_clock):
    parent = (await client.posted(text="parent"))["ts"]
    files = [await client.uploaded(), await client.uploaded(pictures.PDF, "a.pdf")]
    await client.completed(*files, channel_id=ROOM, thread_ts=parent, initial_comment="both")
    await trio.sleep(1)
    assert [("parent", []), ("both", ["cat.png", "a.pdf"])] == client.seen()
    [_, message] = client.emulator.rooms.conversation(ROOM)
    assert parent == message.thread
    [share] = (await client.info(files[1]))["file"]["shares"]["public"][ROOM]
    assert parent == share["thread_ts"]


async def test_a_comment_wins_over_blocks(client, autojump_clock):
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*block*"}}]
    first, second = await client.uploaded(), await client.uploaded()
    await client.completed(first, channel_id=ROOM, blocks=blocks)
    await client.completed(second, channel_id=ROOM, blocks=blocks, initial_comment="comment")
    await trio.sleep(1)
    assert [("*block*", ["cat.png"]), ("comment", ["cat.png"])] == client.seen()
    wrong = await client.completed(
        await client.uploaded(), channel_id=ROOM, blocks=[{"type": "none"}]
    )
    assert "invalid_blocks" == wrong["error"]


async def test_a_file_goes_to_several_rooms_and_to_people(client, autojump_clock):
    number = await client.uploaded()
    await client.completed(number, channels=f"{ROOM},U024BE7LH")
    await trio.sleep(1)
    file = (await client.info(number))["file"]
    assert ([ROOM], ["D024BE7LH"]) == (file["channels"], file["ims"])
    assert {"D024BE7LH"} == set(file["shares"]["private"])


async def test_a_form_carries_the_bytes_too(client, autojump_clock):
    told = await client.reserved(len(PNG))
    answer = await client.http.post(told["upload_url"], files={"filename": ("x.png", PNG)})
    assert 200 == answer.status_code
    assert (await client.completed(told["file_id"], channel_id=ROOM))["ok"]


async def test_a_file_that_the_store_cannot_hold_is_shared_all_the_same(reached, autojump_clock):
    emulator = SlackEmulator(limits=SlackLimits(**FREE), files=FileStore(most_bytes=1_000))
    client = Client(emulator, await reached(emulator.app, URL, CDN))
    number = await client.shared(data=pictures.png(30, 20, size=1_001))
    file = (await client.info(number))["file"]
    assert (1_001, "image/png") == (file["size"], file["mimetype"])
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert 404 == (await client.http.get(file["url_private"], headers=headers)).status_code


async def test_a_name_is_quoted_in_its_address(client, autojump_clock):
    number = await client.shared(name="a cat?/#.png")
    file = (await client.info(number))["file"]
    assert "a cat?_#.png" == file["name"]
    assert file["url_private"].endswith("/a%20cat%3F_%23.png")
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert PNG == (await client.http.get(file["url_private"], headers=headers)).content


async def test_what_an_upload_s_address_refuses(client, autojump_clock):
    told = await client.reserved(len(PNG))
    url = told["upload_url"]
    for body in ({"content": PNG[:-1]}, {"content": PNG + b"x"}, {"data": {"a": "b"}, "files": {}}):
        assert 400 == (await client.http.post(url, **body)).status_code
    assert 404 == (await client.http.post(f"{CDN}/upload/v1/F0NONE", content=PNG)).status_code
    assert refused("file_not_found") == await client.completed(told["file_id"], channel_id=ROOM)
    await client.http.post(url, content=PNG)
    await client.completed(told["file_id"], channel_id=ROOM)
    assert 404 == (await client.http.post(url, content=PNG)).status_code


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"filename": "", "length": 1}, ("missing required field: filename",)),
        ({"filename": "a", "length": 0}, ("missing required field: length",)),
        (
            {"length": "many"},
            ("missing required field: filename", "missing required field: length"),
        ),
    ],
)
async def test_what_an_upload_must_say(client, fields, expected, autojump_clock):
    body = await client.ask("files.getUploadURLExternal", **fields)
    assert refused("invalid_arguments", *expected) == body


async def test_two_methods_read_no_json(client, autojump_clock):
    headers = {"authorization": f"Bearer {TOKEN}"}
    fields = {"filename": "a", "length": 3}
    answer = await client.http.post("/api/files.getUploadURLExternal", json=fields, headers=headers)
    words = ("missing required field: filename", "missing required field: length")
    assert refused("invalid_arguments", *words) == answer.json()
    number = await client.shared()
    answer = await client.http.post("/api/files.info", json={"file": number}, headers=headers)
    assert refused("file_not_found") == answer.json()
    answer = await client.http.get(f"/api/files.info?file={number}", headers=headers)
    assert answer.json()["ok"]


async def test_sizes_and_alternative_texts(made, autojump_clock):
    client = await made(file_bytes=1_000)
    ask = {"filename": "a", "length": 1_000}
    assert (await client.ask("files.getUploadURLExternal", **ask, alt_txt="x" * 1_000))["ok"]
    long = await client.ask("files.getUploadURLExternal", **ask, alt_txt="x" * 1_001)
    assert refused("alt_txt_too_large") == long
    large = await client.ask("files.getUploadURLExternal", filename="a", length=1_001)
    assert refused("file_upload_size_restricted") == large


async def test_a_snippet_has_at_most_a_megabyte(client, autojump_clock):
    snippet = {"filename": "a.py", "snippet_type": "python"}
    fits = await client.ask("files.getUploadURLExternal", **snippet, length=1_000_000)
    large = await client.ask("files.getUploadURLExternal", **snippet, length=1_000_001)
    assert (True, refused("snippet_too_large")) == (fits["ok"], large)


async def test_what_cannot_be_completed(client, autojump_clock):
    number = await client.uploaded()
    missing = refused("invalid_arguments", "missing required field: files")
    assert missing == await client.ask("files.completeUploadExternal", channel_id=ROOM)
    assert refused("file_not_found") == await client.completed("F0NONE", channel_id=ROOM)
    assert refused("channel_not_found") == await client.completed(number, channel_id="#general")
    client.emulator.leave_room(ROOM)
    assert refused("not_in_channel") == await client.completed(number, channel_id=ROOM)
    client.emulator.restore_room(ROOM)
    thread = await client.completed(number, channel_id=ROOM, thread_ts="soon")
    assert refused("invalid_thread_ts") == thread
    many = ",".join(f"C0ROOM{n:03d}" for n in range(101))
    assert refused("channels_limit_exceeded") == await client.completed(number, channels=many)
    theirs = await client.completed(number, channel_id=ROOM, token=OTHER)
    assert refused("file_not_found") == theirs
    assert (await client.completed(number, channel_id=ROOM))["ok"]
    assert refused("file_not_found") == await client.completed(number, channel_id=ROOM)


async def test_what_cannot_be_shared_when_its_time_comes_is_not(client, autojump_clock):
    closed, deleted = await client.uploaded(), await client.uploaded()
    await client.completed(closed, channel_id=ROOM)
    await client.completed(deleted, channel_id="C0OTHER01")
    client.emulator.archive_room(ROOM)
    await client.ask("files.delete", file=deleted)
    thread = (await client.ask("chat.postMessage", channel="C0OTHER02", text="parent"))["ts"]
    answer = await client.uploaded()
    await client.completed(answer, channel_id="C0OTHER02", thread_ts=thread)
    await client.ask("chat.delete", channel="C0OTHER02", ts=thread)
    await trio.sleep(1)
    assert ["C0OTHER02"] == client.emulator.rooms.names()
    assert [] == client.emulator.rooms.conversation("C0OTHER02")
    assert {} == (await client.info(closed))["file"]["shares"]


async def test_100_a_minute(made, autojump_clock):
    client = await made(tiers=SlackLimits().tiers)
    for _ in range(100):
        number = await client.uploaded(b"x")
        assert (await client.completed(number))["ok"]
    ask = {"filename": "a", "length": 1}
    assert "ratelimited" == (await client.ask("files.getUploadURLExternal", **ask))["error"]
    assert "ratelimited" == (await client.completed("F0NONE"))["error"]
    assert {"files.getUploadURLExternal": 1, "files.completeUploadExternal": 1} == dict(
        client.emulator.limited
    )
    await trio.sleep(60)
    assert (await client.ask("files.getUploadURLExternal", **ask))["ok"]


async def test_a_message_that_is_deleted_leaves_its_file(client, autojump_clock):
    number = await client.shared()
    [message] = client.emulator.rooms.conversation(ROOM)
    assert (await client.ask("chat.delete", channel=ROOM, ts=message.id))["ok"]
    assert (await client.info(number))["ok"]


async def test_a_file_that_is_deleted_leaves_its_message(client, autojump_clock):
    number = await client.shared()
    assert refused("cant_delete_file") == await client.ask("files.delete", file=number, token=OTHER)
    assert {"ok": True} == await client.ask("files.delete", file=number)
    assert [("", [])] == client.seen()
    assert refused("file_deleted") == await client.info(number)
    assert refused("file_deleted") == await client.ask("files.delete", file=number)
    assert refused("file_not_found") == await client.info("F0NONE")


async def test_an_edit_leaves_the_file(client, autojump_clock):
    await client.shared()
    [message] = client.emulator.rooms.conversation(ROOM)
    body = await client.ask("chat.update", channel=ROOM, ts=message.id, text="look")
    assert [("look", ["cat.png"])] == client.seen()
    assert ["cat.png"] == [file["name"] for file in body["message"]["files"]]


async def test_the_bytes_are_there_for_who_has_a_token(client, autojump_clock):
    number = await client.shared()
    url = (await client.info(number))["file"]["url_private"]
    headers = {"authorization": f"Bearer {TOKEN}"}
    found = await client.http.get(url, headers=headers)
    assert (200, PNG, "image/png", "nosniff") == (
        found.status_code,
        found.content,
        found.headers["content-type"],
        found.headers["x-content-type-options"],
    )
    assert 404 == (await client.http.get(url)).status_code
    await client.ask("files.delete", file=number)
    assert 404 == (await client.http.get(url, headers=headers)).status_code


def image(**fields):
    return [{"type": "image", "alt_text": "a cat", **fields}]


def invalid(words):
    return refused("invalid_blocks", words) | {"errors": [words]}


async def test_a_block_shows_a_file_that_is_shared_and_no_other(client, autojump_clock):
    unshared = await client.uploaded()
    await client.completed(unshared)
    words = "invalid slack file [json-pointer:/blocks/0/slack_file]"
    assert invalid(words) == await client.posted(blocks=image(slack_file={"id": unshared}))
    assert invalid(words) == await client.posted(blocks=image(slack_file={"id": "F0NONE"}))
    shared = await client.shared()
    url = (await client.info(shared))["file"]["url_private"]
    for named in ({"id": shared}, {"url": url}):
        assert (await client.posted(blocks=image(slack_file=named)))["ok"]
    [_, first, second] = client.emulator.rooms.conversation(ROOM)
    assert [("cat.png", "a cat")] * 2 == [
        (file.name, file.alt) for message in (first, second) for file in message.files
    ]
    text = await client.shared(data=b"hello", name="a.txt")
    assert invalid(words) == await client.posted(blocks=image(slack_file={"id": text}))
    assert invalid(words) == await client.posted(
        blocks=image(slack_file={"id": shared, "url": url})
    )
    await client.ask("files.delete", file=shared)
    assert invalid(words) == await client.posted(blocks=image(slack_file={"id": shared}))


async def test_a_block_keeps_what_it_shows_until_the_file_is_deleted(client, autojump_clock):
    """It is shared nowhere once its message is deleted: no other block shows it any more."""
    number = await client.shared()
    block = image(slack_file={"id": number})
    [of_file] = client.emulator.rooms.conversation(ROOM)
    told = await client.ask("chat.postMessage", channel="C0OTHER", blocks=block)
    await client.ask("chat.delete", channel=ROOM, ts=of_file.id)
    assert {} == (await client.info(number))["file"]["shares"]
    words = "invalid slack file [json-pointer:/blocks/0/slack_file]"
    assert invalid(words) == await client.posted(blocks=block)
    [shown] = client.emulator.rooms.conversation("C0OTHER")
    assert (told["ts"], True) == (shown.id, shown.files[0].digest is not None)
    await client.ask("files.delete", file=number)
    assert [None] == [file.digest for file in shown.files]


async def test_a_block_shows_the_picture_of_an_address_which_nobody_fetches(client, autojump_clock):
    url = "https://example.org/cat.png"
    assert (await client.posted(blocks=image(image_url=url)))["ok"]
    [message] = client.emulator.rooms.conversation(ROOM)
    assert [(url, None)] == [(file.url, file.digest) for file in message.files]
    client.emulator.break_url(url)
    words = "downloading image failed [json-pointer:/blocks/0/image_url]"
    assert invalid(words) == await client.posted(blocks=image(image_url=url))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"alt_text": "", "image_url": "https://x.org"}, "missing required field: alt_text"),
        (
            {"alt_text": "x" * 2001, "image_url": "https://x.org"},
            "must be less than 2001 characters",
        ),
        ({}, "missing required field: image_url"),
        ({"image_url": "https://" + "x" * 2993}, "must be less than 3001 characters"),
        ({"image_url": "javascript:alert(1)"}, "invalid_url"),
    ],
)
async def test_what_a_picture_in_blocks_needs(client, block, words, autojump_clock):
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}
    for blocks in (image(**block), [{**section, "accessory": image(**block)[0]}]):
        body = await client.posted(blocks=blocks)
        assert ("invalid_blocks", True) == (body["error"], body["errors"][0].startswith(words))


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.RATE_LIMITED, 429), (Fault.SERVER_ERROR, 502)]
)
async def test_an_upload_may_fail(made, fault, status, autojump_clock):
    client = await made(faults=FaultPlan(script={0: fault}))
    told = await client.reserved(len(PNG))
    assert status == (await client.http.post(told["upload_url"], content=PNG)).status_code
    assert 1 == client.emulator.counters["faults"]
    assert 200 == (await client.http.post(told["upload_url"], content=PNG)).status_code


async def test_the_page_shows_the_picture_and_never_runs_a_file(client, autojump_clock):
    await client.shared(alt_txt='"><script>')
    await client.shared(data=pictures.HTML, name="<script>.html")
    page = (await client.http.get("/")).text
    assert '<img src="/files/' in page
    assert "<script" not in page
    [_, stored] = client.emulator.rooms.conversation(ROOM)
    answer = await client.http.get(f"/files/{stored.files[0].digest}")
    assert "application/octet-stream" == answer.headers["content-type"]
