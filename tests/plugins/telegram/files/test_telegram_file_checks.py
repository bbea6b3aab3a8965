"""What of an envelope's files is refused before acceptance, with the limit that it breaks."""

import attrs
import pictures
import pytest

from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_core import Edit, File, Instance, Invalid, MessageRef, PartRef, Secret, Send
from gateway_plugin_telegram import TelegramSettings, hooks

BOT = Instance("support", "telegram", TelegramSettings(token=Secret("1:a")))
MB = 1 << 20
HERE = {"instance_id": "support", "external_room_id": "7"}
PHOTO = {"name": "a.png", "media_type": "image/png", "width": 30, "height": 20}


def looked(size=9, **more):
    """A file as the gateway has looked at it."""
    return File(digest="0" * 64, size=size, **{"name": "a.pdf", **more})


def problems(*files, settings=BOT.settings, text="", **more):
    instance = attrs.evolve(BOT, settings=settings)
    found = hooks.validate(instance, Send(**HERE, text=text, files=files, **more))
    return {problem.place: problem.text for problem in found}


def url(path, **more):
    return File(f"https://example.com/{path}", **more)


@pytest.mark.parametrize(
    ("file", "limit"),
    [
        (looked(50 * MB + 1), "at most 52428800"),
        (looked(10 * MB + 1, **PHOTO), "at most 10485760"),
        (looked(**{**PHOTO, "width": 9_000, "height": 1_001}), "Telegram takes 10000"),
        (looked(**{**PHOTO, "width": 421, "height": 21}), "at most 20 times"),
        (
            looked(**{**PHOTO, "width": 0, "height": 0}),
            "cannot be read as a picture of type image/png",
        ),
        (url("a.png", size=5 * MB + 1), "at most 5242880"),
        (url("a.mp4", size=20 * MB + 1), "at most 20971520"),
        (url("a.ogg", size=MB + 1), "at most 1048576"),
        (url("a.docx"), "PDF, ZIP and GIF"),
        (url("a.png", as_document=True), "PDF, ZIP and GIF"),
        (url("200/300"), "media_type"),
        (File("https://example.com"), "media_type"),
        (File("https://["), "a dot"),
        (File("https://[::1]/a.png"), "a dot"),
        (File("http://localhost/a.png"), "a dot"),
    ],
)
def test_what_is_over_a_limit_is_refused_with_it(file, limit):
    [(place, text)] = problems(looked(), file).items()
    assert "files.1" == place
    assert limit in text


@pytest.mark.parametrize(
    "name",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "https://127.0.0.1/a.png",
        "attach://0",
        "a b",
        "x" * 513,
    ],
)
def test_an_id_is_neither_an_address_nor_a_path(name):
    """A Bot API server of one's own would read what stands there."""
    assert {"files.0.id": "is not a file_id, which has only letters, digits, - and _"} == problems(
        File(id=name)
    )


@pytest.mark.parametrize(
    "file",
    [
        looked(50 * MB),
        looked(50 * MB, name="a.mp4", media_type="video/mp4"),
        looked(10 * MB, **PHOTO),
        looked(10 * MB + 1, **PHOTO, as_document=True),
        looked(**{**PHOTO, "width": 9_000, "height": 1_000}),
        looked(**{**PHOTO, "width": 420, "height": 21}),
        looked(**{**PHOTO, "width": 0, "height": 0}, as_document=True),
        url("a.png", size=5 * MB),
        url("a.mp4", size=20 * MB),
        url("a.PDF?page=7"),
        url("%zz.png#top"),
        url("a.gif", as_document=True),
        url("200/300", media_type="image/png"),
        File(id="AgAD", media_type="image/png"),
    ],
)
def test_what_is_within_them_is_not(file):
    assert {} == problems(file)


def test_each_limit_is_a_setting():
    settings = attrs.evolve(
        BOT.settings,
        upload_bytes=2_000 * MB,
        photo_bytes=30 * MB,
        photo_sides=30_000,
        photo_ratio=50,
        url_bytes=100 * MB,
        url_photo_bytes=30 * MB,
    )
    large = [
        looked(2_000 * MB),
        looked(30 * MB, **{**PHOTO, "width": 29_000, "height": 600}),
        url("a.png", size=30 * MB),
        url("a.mp4", size=100 * MB),
    ]
    assert {} == problems(*large, settings=settings)
    assert 4 == len(problems(*large))


def test_a_text_may_be_blank_beside_files_alone():
    assert {} == problems(looked())
    assert ["text"] == list(problems())
    part = PartRef(message_id="5", files=(File(id="f", media_type="image/png"),))
    for parts, places in (((part,), []), ((PartRef(message_id="5"),), ["text"])):
        ref = MessageRef(**HERE, envelope_id="e", parts=parts)
        edit = Edit(**HERE, target=ref, text="", extra={})
        assert places == [problem.place for problem in hooks.validate(BOT, edit)]


def test_the_fields_of_a_caption_are_the_envelopes():
    extra = {"caption": "x", "caption_entities": [], "media": []}
    places = problems(looked(), text="x", extra=extra)
    assert {f"extra.{name}" for name in extra} == set(places)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"no picture"),
        ("a.png", pictures.png(9_000, 1_001)),
        ("a.png", pictures.png(210, 10)),
        ("a.png", pictures.png(30, 20, size=2_000)),
        ("a.pdf", b"x" * 3_001),
    ],
    ids=["none", "sides", "ratio", "photo", "upload"],
)
async def test_the_platform_would_have_refused_it(
    open_to, instance, make, autojump_clock, name, content
):
    """Each of them, sent all the same, meets the refusal that it is spared."""
    emulator = TelegramEmulator(limits=TelegramLimits(photo_bytes=1_999, upload_bytes=3_000))
    tight = attrs.evolve(instance.settings, photo_bytes=1_999, upload_bytes=3_000)
    wide = attrs.evolve(instance.settings, photo_sides=100_000, photo_ratio=1_000)
    file = File(content, name=name)
    for settings in (tight, wide):
        bot = attrs.evolve(instance, settings=settings)
        async with open_to(instance.settings.base_url, emulator.app, bot) as gateway:
            if settings is tight or content == b"no picture":
                with pytest.raises(Invalid):
                    await gateway.send("support", "7", "x", files=[file])
            else:
                receipt = await gateway.send("support", "7", "x", files=[file], raises=False)
                assert ("rejected", 1) == (receipt.disposition, receipt.attempts)
    assert [] == emulator.rooms.conversation("7")
