"""The emulated Telegram takes files as Telegram does: kinds, sizes, captions, albums, ids."""

import json

import attrs
import pictures
import pytest

from gateway_contrib.emulators.faults import FaultPlan, Said
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits

URL = "http://127.0.0.1:8081"
TOKEN = "123456:AAbb-cc_dd"
OTHER = "654321:AAbb-cc_dd"
FREE = {"chat_seconds": 0.0, "group_count": 1_000_000, "bot_count": 1_000_000}
PNG = pictures.png(30, 20)
SENT = {
    "photo": ("a.png", PNG),
    "video": ("a.mp4", pictures.MP4),
    "animation": ("a.gif", pictures.gif()),
    "audio": ("a.mp3", pictures.MP3),
    "voice": ("a.ogg", pictures.OGG),
    "document": ("a.pdf", pictures.PDF),
}


@attrs.define
class Client:
    emulator: TelegramEmulator
    http: object

    async def ask(self, method, files=None, *, token=TOKEN, **fields):
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
        path = f"/bot{token}/{method}"
        return (await self.http.post(path, data={"chat_id": "7"} | texts, files=files)).json()

    async def send(self, kind, file=None, **fields):
        files = {kind: file or SENT[kind]} if kind not in fields else None
        return await self.ask(f"send{kind}", files, **fields)

    async def sent(self, kind, file=None, **fields):
        body = await self.send(kind, file, **fields)
        assert body["ok"], body
        return body["result"]

    async def album(self, *items, **fields):
        """An album of (type, content); what is no bytes is an address or a file_id."""
        files, media = {}, []
        for number, (kind, source, *more) in enumerate(items):
            value = source
            if isinstance(source, bytes):
                value = f"attach://part{number}"
                files[f"part{number}"] = (f"{number}", source)
            media.append({"type": kind, "media": value, **(more[0] if more else {})})
        return await self.ask("sendMediaGroup", files or None, media=media, **fields)

    def seen(self, room="7"):
        return [(m.text, [f.name for f in m.files]) for m in self.emulator.rooms.conversation(room)]


@pytest.fixture
async def made(reached):
    async def make(faults=None, **limits):
        emulator = TelegramEmulator(limits=TelegramLimits(**FREE | limits), faults=faults)
        return Client(emulator, await reached(emulator.app, URL))

    return make


@pytest.fixture
async def client(made):
    return await made()


def bad(words):
    return {"ok": False, "error_code": 400, "description": f"Bad Request: {words}"}


TOO_LARGE = {"ok": False, "error_code": 413, "description": "Request Entity Too Large"}


def file_id(message, kind):
    shown = message[kind]
    return (shown[-1] if kind == "photo" else shown)["file_id"]


@pytest.mark.parametrize("kind", SENT)
async def test_each_kind_is_sent_shown_and_downloaded(client, kind):
    name, data = SENT[kind]
    message = await client.sent(kind, caption="<b>look</b> 🙂", parse_mode="HTML")
    assert "text" not in message
    assert ("look 🙂", [{"type": "bold", "offset": 0, "length": 4}]) == (
        message["caption"],
        message["caption_entities"],
    )
    assert [("look 🙂", [name])] == client.seen()
    known = await client.ask("getFile", file_id=file_id(message, kind))
    assert len(data) == known["result"]["file_size"]
    path = known["result"]["file_path"]
    assert data == (await client.http.get(f"/file/bot{TOKEN}/{path}")).content
    assert 404 == (await client.http.get(f"/file/bot{OTHER}/{path}")).status_code


async def test_a_photo_tells_its_sides_and_an_animation_is_a_document_too(client):
    message = await client.sent("photo")
    assert [(30, 20, len(PNG))] == [
        (one["width"], one["height"], one["file_size"]) for one in message["photo"]
    ]
    message = await client.sent("animation", width=4, height=5, duration=6)
    assert message["document"] == message["animation"]
    shown = message["animation"]
    assert (4, 5, 6, "a.gif", "image/gif") == tuple(
        shown[name] for name in ("width", "height", "duration", "file_name", "mime_type")
    )


async def test_a_spoiler_and_a_caption_above(client):
    message = await client.sent("photo", has_spoiler=True, show_caption_above_media=True)
    assert message["has_media_spoiler"]
    assert message["show_caption_above_media"]
    [stored] = client.emulator.rooms.conversation("7")
    assert stored.files[0].spoiler


@pytest.mark.parametrize("kind", ["video", "animation", "audio", "voice"])
async def test_a_file_of_another_kind_is_sent_as_a_document(client, kind):
    message = await client.sent(kind, ("a.txt", b"hello"))
    assert kind not in message
    assert ("a.txt", "text/plain") == (
        message["document"]["file_name"],
        message["document"]["mime_type"],
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no picture", "IMAGE_PROCESS_FAILED"),
        (pictures.SVG, "IMAGE_PROCESS_FAILED"),
        (pictures.png(5_000, 5_001), "PHOTO_INVALID_DIMENSIONS"),
        (pictures.png(2_001, 100), "PHOTO_INVALID_DIMENSIONS"),
    ],
)
async def test_what_is_no_photo_is_refused(client, data, code):
    assert bad(code) == await client.send("photo", ("a.png", data))
    assert "document" in await client.sent("document", ("a.png", data))


@pytest.mark.parametrize("sides", [(5_000, 5_000), (2_000, 100), (100, 2_000)])
async def test_sides_of_10_000_together_and_a_ratio_of_20_pass(client, sides):
    assert (await client.sent("photo", ("a.png", pictures.png(*sides))))["photo"]


async def test_sizes_of_uploads(made):
    client = await made(photo_bytes=1_000, upload_bytes=2_000)
    assert (await client.sent("photo", ("a.png", pictures.png(size=1_000))))["photo"]
    words = "file of size 1001 bytes is too big for a photo; the maximum size is 1000 bytes"
    assert bad(words) == await client.send("photo", ("a.png", pictures.png(size=1_001)))
    assert (await client.sent("document", ("a", b"x" * 2_000)))["document"]
    assert TOO_LARGE == await client.send("document", ("a", b"x" * 2_001))
    assert TOO_LARGE == await client.send("document", ("a", b"x" * 2_000_000))
    assert bad("file must be non-empty") == await client.send("document", ("a", b""))


async def test_a_body_without_files_is_bounded(client):
    answer = await client.http.post(f"/bot{TOKEN}/sendMessage", json={"text": "x" * 2_000_000})
    assert TOO_LARGE == answer.json()


async def test_a_file_is_needed(client):
    assert bad("there is no photo in the request") == await client.send("photo", photo="")
    missing = await client.send("photo", photo="attach://nothing")
    assert bad("there is no photo in the request") == missing


async def test_captions_of_1024_after_entities_pass(client):
    caption = "<b>" + "é" * 1_024 + "</b>"
    message = await client.sent("photo", caption=caption, parse_mode="HTML")
    assert 1_024 == len(message["caption"])
    assert bad("message caption is too long") == await client.send("photo", caption="x" * 1_025)
    assert "caption" not in await client.sent("photo", caption="   ")


async def test_entities_of_a_caption_are_given_or_parsed(client):
    entities = [{"type": "italic", "offset": 0, "length": 2}]
    message = await client.sent("photo", caption="hi", caption_entities=entities)
    assert entities == message["caption_entities"]


async def test_a_file_id_is_good_again_for_its_bot_and_its_kind(client):
    first = await client.sent("photo")
    again = await client.sent("photo", photo=file_id(first, "photo"))
    assert first["photo"] == again["photo"]
    other = await client.ask("sendPhoto", token=OTHER, photo=file_id(first, "photo"))
    assert bad("wrong file identifier/HTTP URL specified") == other
    assert bad("wrong file identifier/HTTP URL specified") == await client.send("photo", photo="x")
    as_document = await client.send("document", document=file_id(first, "photo"))
    assert bad("can't use file of type Photo as Document") == as_document


async def test_the_same_bytes_are_known_as_the_same_by_every_bot(client):
    mine = (await client.sent("document"))["document"]
    theirs = (await client.ask("sendDocument", {"document": SENT["document"]}, token=OTHER))[
        "result"
    ]["document"]
    assert mine["file_unique_id"] == theirs["file_unique_id"]
    assert mine["file_id"] != theirs["file_id"]
    assert len(pictures.PDF) == client.emulator.files.used


WEB = {
    "photo": "https://example.org/a.png",
    "video": "https://example.org/a.mp4",
    "animation": "https://example.org/a.gif",
    "audio": "https://example.org/a.mp3",
    "voice": "https://example.org/a.oga",
    "document": "https://example.org/a.pdf",
}


@pytest.mark.parametrize("kind", WEB)
async def test_each_kind_is_sent_by_its_address_which_nobody_fetches(client, kind):
    client.emulator.serve_url(WEB["voice"], "audio/ogg")
    assert (await client.sent(kind, **{kind: WEB[kind]}))[kind]
    [stored] = client.emulator.rooms.conversation("7")
    assert (WEB[kind], None) == (stored.files[0].url, stored.files[0].digest)
    page = (await client.http.get("/")).text
    assert WEB[kind] in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("kind", "size"), [("photo", 5 << 20), ("video", 20 << 20), ("document", 20 << 20)]
)
async def test_sizes_by_address(client, kind, size):
    types = {"photo": "image/png", "video": "video/mp4", "document": "application/zip"}
    client.emulator.serve_url("https://example.org/x", types[kind], size)
    assert (await client.sent(kind, **{kind: "https://example.org/x"}))[kind]
    client.emulator.serve_url("https://example.org/x", types[kind], size + 1)
    refused = await client.send(kind, **{kind: "https://example.org/x"})
    assert bad("failed to get HTTP URL content") == refused


async def test_a_voice_note_of_an_address_above_1_mb_is_a_file(client):
    client.emulator.serve_url("https://example.org/v", "audio/ogg", (1 << 20) + 1)
    message = await client.sent("voice", voice="https://example.org/v")
    assert "document" in message


async def test_addresses_that_cannot_be_had_or_are_of_another_type(client):
    client.emulator.break_url("https://example.org/gone.png")
    gone = await client.send("photo", photo="https://example.org/gone.png")
    assert bad("failed to get HTTP URL content") == gone
    wrong = "wrong type of the web page content"
    assert bad(wrong) == await client.send("photo", photo="https://example.org/a.html")
    assert bad(wrong) == await client.send("document", document="https://example.org/a.docx")
    assert bad(wrong) == await client.send("document", document="https://example.org/a")
    words = "invalid file HTTP URL specified: Unsupported URL protocol"
    assert bad(words) == await client.send("photo", photo="ftp://example.org/a.png")
    words = "invalid file HTTP URL specified: Wrong HTTP URL"
    assert bad(words) == await client.send("photo", photo="http://localhost/a.png")


async def test_a_fault_may_say_it_word_for_word(made):
    said = Said(status=400, body=bad("failed to get HTTP URL content"))
    client = await made(faults=FaultPlan(script={0: said}))
    assert said.body == await client.send("photo", photo="https://example.org/a.png")
    assert (await client.sent("photo", photo="https://example.org/a.png"))["photo"]


async def test_an_album_is_messages_of_one_group(client):
    body = await client.album(
        ("photo", PNG, {"caption": "*one*", "parse_mode": "Markdown"}),
        ("video", pictures.MP4),
        ("photo", "https://example.org/a.png", {"has_spoiler": True}),
    )
    assert body["ok"], body
    shown = body["result"]
    assert [1, 2, 3] == [one["message_id"] for one in shown]
    assert 1 == len({one["media_group_id"] for one in shown})
    assert ["one", None, None] == [one.get("caption") for one in shown]
    assert [("one", ["0"]), ("", ["1"]), ("", ["a.png"])] == client.seen()
    again = await client.album(("photo", PNG), ("photo", PNG))
    assert again["result"][0]["media_group_id"] != shown[0]["media_group_id"]


async def test_albums_of_documents_and_of_audio(client):
    documents = await client.album(("document", pictures.PDF), ("document", b"x"))
    audio = await client.album(("audio", pictures.MP3), ("audio", pictures.M4A))
    assert [2, 2] == [len(documents["result"]), len(audio["result"])]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "there are no messages to send"),
        ([("photo", PNG)] * 11, "too many messages to send as an album"),
        (
            [("photo", PNG), ("document", pictures.PDF)],
            "document can't be mixed with other media types",
        ),
        (
            [("audio", pictures.MP3), ("video", pictures.MP4)],
            "audio can't be mixed with other media types",
        ),
        (
            [("photo", PNG), ("animation", pictures.gif())],
            "can't parse InputMedia: type \"animation\" can't be used in sendMediaGroup",
        ),
        (
            [("photo", PNG), ("voice", pictures.OGG)],
            'can\'t parse InputMedia: type "voice" is unsupported',
        ),
        ([("photo", PNG), ("photo", "")], "can't parse InputMedia: media not found"),
        (
            [("photo", PNG), ("photo", "attach://nothing")],
            "can't parse InputMedia: media not found",
        ),
        (
            [("photo", PNG), ("photo", b"no picture")],
            'failed to send message #2 with the error message "IMAGE_PROCESS_FAILED"',
        ),
        (
            [("photo", "https://example.org/a.txt"), ("photo", PNG)],
            'failed to send message #1 with the error message "WEBPAGE_MEDIA_EMPTY"',
        ),
        (
            [("photo", PNG, {"caption": "x" * 1_025}), ("photo", PNG)],
            "message caption is too long",
        ),
        (
            [("photo", PNG, {"show_caption_above_media": True}), ("photo", PNG)],
            "parameter show_caption_above_media must be the same for all messages",
        ),
        ([("photo", PNG), ("photo", "x")], "wrong file identifier/HTTP URL specified"),
    ],
)
async def test_a_refused_album_sends_nothing(client, items, words):
    assert bad(words) == await client.album(*items)
    assert [] == client.seen()


async def test_an_album_of_ten_passes_and_one_file_is_a_message_alone(client):
    assert 10 == len((await client.album(*[("photo", PNG)] * 10))["result"])
    [alone] = (await client.album(("photo", PNG)))["result"]
    assert "media_group_id" not in alone


async def test_an_album_counts_one_for_each_file(made, autojump_clock):
    client = await made(chat_seconds=1.0, group_count=5, group_seconds=60.0)
    album = [("photo", PNG)] * 3
    assert (await client.album(*album, chat_id="-7"))["ok"]
    assert 3 == (await client.send("photo", chat_id="-7"))["parameters"]["retry_after"]
    assert 60 == (await client.album(*album, chat_id="-7"))["parameters"]["retry_after"]
    assert 3 == len(client.seen("-7"))
    assert {"sendMediaGroup": 1, "sendphoto": 1} == dict(client.emulator.limited)


async def test_an_album_counts_once_where_it_is_so_set(made, autojump_clock):
    client = await made(chat_seconds=1.0, album_each=False)
    await client.album(*[("photo", PNG)] * 3)
    assert 1 == (await client.send("photo"))["parameters"]["retry_after"]


async def test_a_bot_s_tokens_are_taken_for_all_of_an_album_or_for_none(made, autojump_clock):
    client = await made(bot_count=4, bot_slides=True)
    assert (await client.album(*[("photo", PNG)] * 3))["ok"]
    assert not (await client.album(*[("photo", PNG)] * 2))["ok"]
    assert (await client.send("photo"))["ok"]
    assert not (await client.send("photo"))["ok"]


async def test_a_caption_is_edited_and_taken_off(client):
    message = await client.sent("photo", caption="one")
    where = {"message_id": message["message_id"]}
    edited = await client.ask(
        "editMessageCaption", **where, caption="<i>two</i>", parse_mode="HTML"
    )
    assert "two" == edited["result"]["caption"]
    assert message["photo"] == edited["result"]["photo"]
    again = await client.ask("editMessageCaption", **where, caption="<i>two</i>", parse_mode="HTML")
    assert again["description"].startswith("Bad Request: message is not modified")
    assert bad("message caption is too long") == await client.ask(
        "editMessageCaption", **where, caption="x" * 1_025
    )
    assert "caption" not in (await client.ask("editMessageCaption", **where))["result"]
    [stored] = client.emulator.rooms.conversation("7")
    assert ["one", "two"] == stored.revisions


async def test_texts_have_no_caption_and_files_no_text(client):
    text = (await client.ask("sendMessage", text="a"))["result"]
    photo = await client.sent("photo")
    assert bad("there is no caption in the message to edit") == await client.ask(
        "editMessageCaption", message_id=text["message_id"], caption="b"
    )
    assert bad("there is no text in the message to edit") == await client.ask(
        "editMessageText", message_id=photo["message_id"], text="b"
    )


async def replaced(client, message, kind, source, **fields):
    files = {"new": ("new", source)} if isinstance(source, bytes) else None
    media = {"type": kind, "media": "attach://new" if files else source, **fields}
    return await client.ask(
        "editMessageMedia", files, message_id=message["message_id"], media=media
    )


async def test_a_file_is_replaced_with_its_caption(client):
    message = await client.sent("photo", caption="one")
    edited = (await replaced(client, message, "video", pictures.MP4, caption="two"))["result"]
    assert ("two", False, "new") == (
        edited["caption"],
        "photo" in edited,
        edited["video"]["file_name"],
    )
    assert [("two", ["new"])] == client.seen()
    edited = (await replaced(client, message, "photo", file_id(message, "photo")))["result"]
    assert "caption" not in edited
    same = await replaced(client, message, "photo", file_id(message, "photo"))
    assert same["description"].startswith("Bad Request: message is not modified")
    assert bad("IMAGE_PROCESS_FAILED") == await replaced(client, message, "photo", b"x")


async def test_a_text_gets_a_file_and_a_voice_note_keeps_its_own(client):
    text = (await client.ask("sendMessage", text="a"))["result"]
    assert "photo" in (await replaced(client, text, "photo", PNG))["result"]
    voice = await client.sent("voice")
    assert bad("message media can't be edited") == await replaced(client, voice, "photo", PNG)
    unknown = await replaced(client, text, "voice", pictures.OGG)
    assert bad('can\'t parse InputMedia: type "voice" is unsupported') == unknown


async def test_a_file_of_an_album_stays_of_its_kind(client):
    [first, _] = (await client.album(("photo", PNG), ("photo", PNG)))["result"]
    video = (await replaced(client, first, "video", pictures.MP4))["result"]
    assert first["media_group_id"] == video["media_group_id"]
    words = "can't change media type in the album"
    assert bad(words) == await replaced(client, first, "document", pictures.PDF)


async def test_an_album_s_messages_are_deleted_together(client):
    await client.album(("photo", PNG), ("photo", PNG))
    assert (await client.ask("deleteMessages", message_ids=[1, 2]))["result"]
    assert [] == client.seen()


async def test_files_that_cannot_be_downloaded(made):
    client = await made(download_bytes=len(pictures.PDF) - 1)
    assert bad("file_id not specified") == await client.ask("getFile")
    unknown = "wrong file_id or the file is temporarily unavailable"
    assert bad(unknown) == await client.ask("getFile", file_id="x")
    message = await client.sent("document")
    large = await client.ask("getFile", file_id=file_id(message, "document"))
    assert bad("file is too big") == large


async def test_a_form_that_breaks_off_is_refused(client):
    answer = await client.http.post(
        f"/bot{TOKEN}/sendPhoto",
        content=b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\nhalf',
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert bad("can't parse multipart/form-data") == answer.json()


async def test_the_page_shows_a_photo_and_never_runs_a_file(client):
    await client.sent("photo", caption="<script>")
    await client.sent("document", ("a.html", pictures.HTML))
    page = (await client.http.get("/")).text
    assert '<img src="/files/' in page
    assert "<script" not in page
    [_, stored] = client.emulator.rooms.conversation("7")
    answer = await client.http.get(f"/files/{stored.files[0].digest}")
    assert "application/octet-stream" == answer.headers["content-type"]
