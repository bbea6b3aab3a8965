"""What the emulators share about files: the store, kinds, forms, and answers that run nothing."""

import pictures
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.files.forms import (
    FIELD_BYTES,
    TooLarge,
    Unreadable,
    read_body,
    read_form,
)
from gateway_contrib.emulators.files.kinds import UNKNOWN, Kind, recognised
from gateway_contrib.emulators.files.serving import file_response
from gateway_contrib.emulators.files.store import File, FileStore
from gateway_contrib.emulators.page import rooms_page
from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator

EMULATORS = (TelegramEmulator, SlackEmulator, DiscordEmulator)


def test_the_same_bytes_are_held_once():
    store = FileStore()
    assert store.put(b"abc") == store.put(b"abc")
    assert 3 == store.used
    assert b"abc" == store.get(store.put(b"abc"))


def test_what_was_stored_longest_ago_makes_room():
    store = FileStore(most_bytes=10)
    first, second = store.put(b"1" * 5), store.put(b"2" * 5)
    store.put(b"1" * 5)
    third = store.put(b"3" * 5)
    assert (None, b"1" * 5, b"3" * 5) == (store.get(second), store.get(first), store.get(third))
    assert 10 == store.used


def test_what_is_too_large_alone_drives_nothing_out():
    store = FileStore(most_bytes=10)
    kept, never = store.put(b"1" * 10), store.put(b"2" * 11)
    assert (b"1" * 10, None) == (store.get(kept), store.get(never))


KINDS = {
    "png": (pictures.png(300, 20), Kind("image/png", 300, 20)),
    "gif": (pictures.gif(300, 20), Kind("image/gif", 300, 20)),
    "jpeg": (pictures.jpeg(300, 20), Kind("image/jpeg", 300, 20)),
    "webp": (pictures.webp(300, 20), Kind("image/webp", 300, 20)),
    "webp, lossy": (
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x2c\x01\x14\x00",
        Kind("image/webp", 300, 20),
    ),
    "webp, lossless": (
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (299 | 19 << 14).to_bytes(4, "little"),
        Kind("image/webp", 300, 20),
    ),
    "mp4": (pictures.MP4, Kind("video/mp4")),
    "m4a": (pictures.M4A, Kind("audio/mp4")),
    "ogg": (pictures.OGG, Kind("audio/ogg")),
    "mp3": (pictures.MP3, Kind("audio/mpeg")),
    "mp3 without tags": (pictures.MP3[10:], Kind("audio/mpeg")),
    "wav": (b"RIFF\0\0\0\0WAVEfmt ", Kind("audio/wav")),
    "pdf": (pictures.PDF, Kind("application/pdf")),
    "zip": (pictures.ZIP, Kind("application/zip")),
    "svg": (pictures.SVG, UNKNOWN),
    "html": (pictures.HTML, UNKNOWN),
    "text": (b"hello", UNKNOWN),
    "nothing": (b"", UNKNOWN),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_known_by_its_bytes(name):
    data, kind = KINDS[name]
    assert kind == recognised(data)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_breaks_off_is_no_error(name):
    data, _ = KINDS[name]
    for end in range(len(data)):
        recognised(data[:end])


@pytest.mark.parametrize("data", [pictures.SVG, pictures.HTML, b"alert(1)", pictures.PDF])
@pytest.mark.parametrize("name", ["x.svg", "x.html", 'x".js\r\nSet-Cookie: a=b', "x.png"])
def test_what_could_run_is_saved_and_not_shown(data, name):
    headers = file_response(data, name).headers
    assert "application/octet-stream" == headers["content-type"]
    assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert "nosniff" == headers["x-content-type-options"]
    assert "default-src 'none'; sandbox" == headers["content-security-policy"]
    assert "set-cookie" not in headers


def test_a_picture_is_shown_as_what_it_is_whatever_its_name():
    answer = file_response(pictures.png(), "x.html")
    assert ("image/png", "inline; filename*=UTF-8''x.html") == (
        answer.headers["content-type"],
        answer.headers["content-disposition"],
    )
    assert "nosniff" == answer.headers["x-content-type-options"]


EVIL = '"><script>alert(1)</script>'


def test_the_page_escapes_all_that_is_said_of_a_file():
    files = (
        File(name=EVIL, media_type="image/png", size=3, digest="d1", alt=EVIL),
        File(name=EVIL, media_type=EVIL, size=3, digest="d2", spoiler=True),
        File(name=EVIL, url=f"javascript:alert(1){EVIL}"),
    )
    rooms = Rooms()
    rooms.add(Message(id="1", room="r", text="look", files=files))
    page = rooms_page("x", rooms)
    assert "<script" not in page
    assert '<img src="/files/d1" alt="&quot;&gt;&lt;script' in page
    assert '<summary>spoiler</summary><a href="/files/d2">' in page
    assert 'href="javascript' not in page


def test_a_type_that_is_no_picture_is_a_link():
    rooms = Rooms()
    svg = File(name="x.svg", media_type="image/svg+xml", size=71, digest="d")
    rooms.add(Message(id="1", room="r", text="", files=(svg,)))
    page = rooms_page("x", rooms)
    assert '<a href="/files/d">x.svg, image/svg+xml, 71 bytes</a>' in page
    assert "<img" not in page


@pytest.mark.parametrize("emulator", EMULATORS)
async def test_a_page_runs_nothing_and_shows_its_own_pictures(emulator, reached):
    store = FileStore()
    made = emulator(files=store)
    client = await reached(made.app, "https://emulated.example")
    page = await client.get("/")
    assert "default-src 'none'; img-src 'self'" in page.headers["content-security-policy"]
    found = await client.get(f"/files/{store.put(pictures.png())}")
    assert (200, "image/png", pictures.png()) == (
        found.status_code,
        found.headers["content-type"],
        found.content,
    )
    gone = await client.get(f"/files/{'0' * 64}")
    assert (404, "nosniff") == (gone.status_code, gone.headers["x-content-type-options"])


def test_emulators_may_share_a_store():
    store = FileStore()
    assert [store] * len(EMULATORS) == [emulator(files=store).files for emulator in EMULATORS]


@pytest.fixture
async def reading(reached):
    """Sends to an application that reads a form, and one that reads a body."""

    async def form(request):
        try:
            read = await read_form(request, file_bytes=10, body_bytes=2_000)
        except (TooLarge, Unreadable) as error:
            return JSONResponse(type(error).__name__, 400)
        files = [[u.field, u.name, u.media_type, u.data.decode(), u.size] for u in read.uploads]
        return JSONResponse([read.fields, files])

    async def body(request):
        try:
            return JSONResponse(len(await read_body(request)))
        except TooLarge:
            return JSONResponse("TooLarge", 400)

    routes = [Route("/form", form, methods=["POST"]), Route("/body", body, methods=["POST"])]
    return await reached(Starlette(routes=routes), "https://reading.example")


async def test_a_form_has_fields_and_files_in_their_order(reading):
    files = [("f", ("ä.txt", b"one", "text/plain")), ("f", ("b", b"two"))]
    answer = await reading.post("/form", data={"text": "grüße"}, files=files)
    assert [
        {"text": "grüße"},
        [["f", "ä.txt", "text/plain", "one", 3], ["f", "b", "application/octet-stream", "two", 3]],
    ] == answer.json()


async def test_what_is_beyond_a_file_s_bound_is_counted_and_dropped(reading):
    answer = await reading.post("/form", files={"f": ("f", b"x" * 1_000)})
    assert [["f", "f", "application/octet-stream", "x" * 10, 1_000]] == answer.json()[1]


async def test_a_form_beyond_all_bounds_is_too_large(reading):
    answer = await reading.post("/form", files={"f": ("f", b"x" * 2_000)})
    assert "TooLarge" == answer.json()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no form"),
        ("multipart/form-data; boundary=b", b""),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nhalf of i',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A: b\r\n" * 50 + b"\r\nx\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\r\n' * 101 + b"--b--\r\n",
        ),
    ],
    ids=["no boundary", "no form", "nothing", "half", "headers", "parts"],
)
async def test_what_is_no_form_is_unreadable(reading, kind, body):
    answer = await reading.post("/form", content=body, headers={"content-type": kind})
    assert answer.json() in ("Unreadable", "TooLarge")


async def test_a_body_without_files_is_bounded(reading):
    assert FIELD_BYTES == (await reading.post("/body", content=b"x" * FIELD_BYTES)).json()
    assert "TooLarge" == (await reading.post("/body", content=b"x" * (FIELD_BYTES + 1))).json()
