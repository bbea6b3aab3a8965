"""The emulated Discord takes files as Discord does: sizes, descriptions, edits, addresses."""

import json

import attrs
import pictures
import pytest

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits

URL = "https://discord.example"
CDN = "https://cdn.discordapp.com"
ROOM = "1100000000000000001"
MESSAGES = f"/api/v10/channels/{ROOM}/messages"
PNG = pictures.png(30, 20)
WIDE = {"count": 1_000, "global_count": 1_000, "webhook_count": 1_000}


@attrs.define
class Client:
    emulator: DiscordEmulator
    http: object

    async def ask(self, verb, path, payload, *contents):
        """Status and JSON of the answer to a form; files are contents, or (name, content)."""
        named = [
            one if isinstance(one, tuple) else (f"{n}.png", one) for n, one in enumerate(contents)
        ]
        parts = [(f"files[{n}]", one) for n, one in enumerate(named)]
        form = {"payload_json": json.dumps(payload)}
        body = {"data": form, "files": parts} if parts else {"json": payload}
        answer = await self.http.request(verb, path, **body)
        return answer.status_code, answer.json() if answer.content else None

    async def post(self, payload, *contents):
        return await self.ask("POST", MESSAGES, payload, *contents)

    async def posted(self, payload, *contents):
        status, message = await self.post(payload, *contents)
        assert 200 == status, message
        return message

    async def edit(self, message, payload, *contents):
        return await self.ask("PATCH", f"{MESSAGES}/{message['id']}", payload, *contents)

    def seen(self):
        [message] = self.emulator.rooms.conversation(ROOM)
        return [file.name for file in message.files]


@pytest.fixture
async def made(reached):
    async def make(**limits):
        emulator = DiscordEmulator(limits=DiscordLimits(**WIDE, **limits))
        http = await reached(emulator.app, URL, CDN, headers={"authorization": "Bot t"})
        return Client(emulator, http)

    return make


@pytest.fixture
async def client(made):
    return await made()


def names(message):
    return [one["filename"] for one in message["attachments"]]


def refused(place, code, words):
    errors = {"_errors": [{"code": code, "message": words}]}
    for name in reversed(place.split(".")):
        errors = {name: errors}
    return 400, {"message": "Invalid Form Body", "code": 50035, "errors": errors}


async def test_a_picture_comes_back_as_discord_shows_it(client):
    said = [{"id": "0", "filename": "a cat.png", "description": "a cat"}]
    message = await client.posted({"content": "look", "attachments": said}, PNG)
    [shown] = message["attachments"]
    number = shown["id"]
    assert {
        "id": number,
        "filename": "a_cat.png",
        "title": "a cat",
        "description": "a cat",
        "content_type": "image/png",
        "size": len(PNG),
        "url": f"{CDN}/attachments/{ROOM}/{number}/a_cat.png",
        "proxy_url": f"{CDN}/attachments/{ROOM}/{number}/a_cat.png",
        "width": 30,
        "height": 20,
    } == shown
    found = await client.http.get(shown["url"])
    assert (200, "image/png", PNG) == (
        found.status_code,
        found.headers["content-type"],
        found.content,
    )
    assert 404 == (await client.http.get(shown["url"] + "x")).status_code


async def test_a_file_alone_is_a_message_and_none_is_not(client):
    assert ["0.png"] == names(await client.posted({}, PNG))
    status, body = await client.post({"attachments": []})
    assert (400, 50006) == (status, body["code"])


async def test_a_spoiler_is_one_by_its_name_or_by_what_is_said(client):
    said = [{"id": 1, "is_spoiler": True}, {"id": 0}]
    message = await client.posted({"attachments": said}, ("SPOILER_a.png", PNG), ("b.png", PNG))
    assert ["SPOILER_b.png", "SPOILER_a.png"] == names(message)
    assert [8, 8] == [one["flags"] for one in message["attachments"]]
    [stored] = client.emulator.rooms.conversation(ROOM)
    assert [True, True] == [file.spoiler for file in stored.files]


async def test_an_edit_changes_whether_a_file_that_stays_is_a_spoiler(client):
    """The name stays, and an entry that says nothing of it changes nothing."""
    message = await client.posted({}, PNG)
    looks = []
    for look in ({"is_spoiler": True, "description": "a"}, {}, {"is_spoiler": False}):
        said = {"id": message["attachments"][0]["id"], **look}
        status, message = await client.edit(message, {"attachments": [said]})
        assert (200, ["0.png"]) == (status, names(message))
        [stored] = client.emulator.rooms.conversation(ROOM)
        looks += [(file.spoiler, file.alt) for file in stored.files]
    assert [(True, "a"), (True, "a"), (False, "a")] == looks
    assert "flags" not in message["attachments"][0]


async def test_a_file_of_the_limit_passes_and_one_byte_more_is_413(made):
    client = await made(file_bytes=1_000)
    assert ["0.png"] == names(await client.posted({}, b"x" * 1_000))
    refusal = (413, {"message": "Request entity too large", "code": 40005})
    assert refusal == await client.post({}, PNG, b"x" * 1_001)
    assert 1 == client.emulator.counters["stored"]


async def test_each_file_may_be_as_large_as_the_limit_and_no_form_larger_than_all(made):
    client = await made(file_bytes=200_000, max_files=2)
    assert 2 == len((await client.posted({}, b"x" * 200_000, b"y" * 200_000))["attachments"])
    status, body = await client.post({"content": "x" * 3_000_000})
    assert (413, 40005) == (status, body["code"])


async def test_ten_files_pass_and_eleven_do_not(client):
    assert 10 == len((await client.posted({}, *[PNG] * 10))["attachments"])
    words = "Maximum number of attachments in a message reached (10)"
    assert (400, {"message": words, "code": 30015}) == await client.post({}, *[PNG] * 11)
    said = [{"id": n} for n in range(11)]
    expected = refused("attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    assert expected == await client.post({"attachments": said}, *[PNG] * 11)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            [{"id": 0, "description": "x" * 1025}],
            (
                "attachments.0.description",
                "BASE_TYPE_MAX_LENGTH",
                "Must be 1024 or fewer in length.",
            ),
        ),
        ([{"id": 7}], ("attachments.0", "ATTACHMENT_NOT_FOUND", "Attachment data not found")),
        ([{}], ("attachments.0.id", "BASE_TYPE_REQUIRED", "This field is required")),
        (
            ["0"],
            ("attachments.0", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType"),
        ),
        (
            {"id": 0},
            ("attachments", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType"),
        ),
    ],
    ids=["description", "unknown", "no id", "no object", "no list"],
)
async def test_what_is_said_of_files_must_fit(client, said, expected):
    assert refused(*expected) == await client.post({"attachments": said}, PNG)
    assert 0 == client.emulator.counters["stored"]


async def test_a_description_of_1024_passes(client):
    said = [{"id": 0, "description": "x" * 1024}]
    assert 1 == len((await client.posted({"attachments": said}, PNG))["attachments"])


async def test_an_edit_without_attachments_keeps_what_is_there(client):
    message = await client.posted({"content": "a"}, PNG, PNG)
    _, edited = await client.edit(message, {"content": "b"})
    assert ["0.png", "1.png"] == names(edited)
    _, edited = await client.edit(message, {}, ("new.png", PNG))
    assert ["0.png", "1.png", "new.png"] == names(edited)


async def test_an_edit_lists_what_stays_and_what_is_new_and_all_else_goes(client):
    message = await client.posted({"content": "a"}, PNG, PNG)
    first, second = message["attachments"]
    listed = [{"id": second["id"], "description": "second"}, {"id": "0"}]
    _, edited = await client.edit(message, {"attachments": listed}, ("new.png", pictures.gif()))
    assert ["1.png", "new.png"] == names(edited) == client.seen()
    assert "second" == edited["attachments"][0]["description"]
    status, body = await client.edit(message, {"attachments": [{"id": first["id"]}]})
    assert (400, "ATTACHMENT_NOT_FOUND") == (
        status,
        body["errors"]["attachments"]["0"]["_errors"][0]["code"],
    )


async def test_the_last_file_goes_from_a_text_and_not_from_a_message_without_one(client):
    message = await client.posted({"content": "a"}, PNG)
    _, edited = await client.edit(message, {"attachments": []})
    assert [] == names(edited) == client.seen()
    alone = await client.posted({}, PNG)
    status, body = await client.edit(alone, {"attachments": []})
    assert (400, 50006) == (status, body["code"])


async def test_a_message_that_its_nonce_made_already_stores_nothing(client):
    fields = {"content": "a", "nonce": "7", "enforce_nonce": True}
    first = await client.posted(fields, PNG)
    again = await client.posted(fields, pictures.gif())
    assert first == again
    assert len(PNG) == client.emulator.files.used


async def test_a_webhook_takes_files_and_its_edits_do(client):
    hook = client.emulator.webhook(ROOM)
    path = f"/api/v10/webhooks/{hook.id}/{hook.token}"
    _, message = await client.ask("POST", f"{path}?wait=true", {}, PNG)
    listed = {"attachments": [{"id": "0"}]}
    status, edited = await client.ask(
        "PATCH", f"{path}/messages/{message['id']}", listed, ("b.gif", pictures.gif())
    )
    assert (200, ["b.gif"]) == (status, names(edited))
    assert ["b.gif"] == client.seen()


async def test_an_interaction_is_answered_with_files(client):
    entry = client.emulator.interaction(ROOM)
    data = {"content": "a", "attachments": [{"id": 0, "description": "first"}]}
    callback = f"/api/v10/interactions/{entry.id}/{entry.token}/callback?with_response=true"
    _, told = await client.ask("POST", callback, {"type": 4, "data": data}, PNG)
    [shown] = told["resource"]["message"]["attachments"]
    assert "first" == shown["description"]
    path = f"/api/v10/webhooks/{entry.application}/{entry.token}"
    _, more = await client.ask("POST", path, {}, ("more.png", PNG))
    assert ["more.png"] == names(more)
    original = f"{path}/messages/@original"
    _, edited = await client.ask("PATCH", original, {"attachments": []})
    assert [] == edited["attachments"]


async def test_a_deferred_answer_is_made_with_a_file(client):
    entry = client.emulator.interaction(ROOM)
    callback = f"/api/v10/interactions/{entry.id}/{entry.token}/callback"
    await client.ask("POST", callback, {"type": 5})
    original = f"/api/v10/webhooks/{entry.application}/{entry.token}/messages/@original"
    _, made = await client.ask("PATCH", original, {}, PNG)
    assert ["0.png"] == names(made) == client.seen()


async def test_an_interaction_tells_how_large_a_file_may_be(made):
    client = await made(file_bytes=1_000)
    assert 1_000 == client.emulator.interaction(ROOM).event["d"]["attachment_size_limit"]


async def test_the_page_shows_the_picture_and_never_runs_a_file(client):
    said = [{"id": 0, "description": '"><script>'}]
    await client.posted({"attachments": said}, PNG, ("<b>.svg", pictures.SVG))
    page = (await client.http.get("/")).text
    assert '<img src="/files/' in page
    assert "<script" not in page
    assert "_b_.svg, image/svg+xml" in page
    [stored] = client.emulator.rooms.conversation(ROOM)
    answer = await client.http.get(f"/files/{stored.files[1].digest}")
    assert "application/octet-stream" == answer.headers["content-type"]
    assert "nosniff" == answer.headers["x-content-type-options"]


async def test_a_form_that_breaks_off_is_a_bad_request(client):
    answer = await client.http.post(
        MESSAGES,
        content=b"--b\r\nCont",
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert (400, {"message": "400: Bad Request", "code": 0}) == (answer.status_code, answer.json())
