"""What logs show of rooms, texts and secrets."""

import attrs
import pytest
import structlog

from gateway_core import (
    ErrorClass,
    GatewayConfig,
    Instance,
    Reason,
    Secret,
    TelemetrySettings,
    Verdict,
    open_gateway,
)
from gateway_core.authors import hookimpl
from gateway_core.contract.instances import hidden
from gateway_core.telemetry.privacy import Privacy, pseudonym
from gateway_core.testing import FakeChannel, virtual_wall

TOKEN = "xoxb-never-to-be-seen"


@attrs.frozen
class Nested:
    deep: Secret


@attrs.frozen
class Settings:
    """Secrets in every kind of place."""

    token: Secret = attrs.field(factory=lambda: Secret(TOKEN))
    nested: Nested = attrs.field(factory=lambda: Nested(Secret("deep-secret")))
    many: tuple[Secret, ...] = (Secret("one-of-many"),)
    named: dict[str, Secret] = attrs.field(factory=lambda: {"a": Secret("named-secret")})


class Leaky(FakeChannel):
    """Everything that it raises names its token, its room and its text."""

    @hookimpl
    def settings_type(self):
        return Settings

    @hookimpl
    async def send(self, instance, attempt):
        text = attempt.part.payload["text"]
        raise RuntimeError(f"{instance.settings.token.reveal()} {attempt.room} says {text!r}")

    @hookimpl
    def classify_error(self, instance, attempt, error):
        if "again" in attempt.room:
            raise error
        return Verdict(
            error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_REQUEST, raw=str(error)
        )


async def receipts_and_logs(where, **telemetry):
    config = GatewayConfig(
        instances=[Instance("bot", "leaky", Settings())],
        telemetry=TelemetrySettings(**telemetry),
    )
    with structlog.testing.capture_logs() as logs:
        async with open_gateway(
            config, plugins=[("leaky", Leaky())], wall_clock=virtual_wall
        ) as gateway:
            receipts = [
                await gateway.send("bot", room, "nobody else's business", raises=False)
                for room in where
            ]
    return receipts, [entry for entry in logs if entry["event"] != "gateway.outbox_in_memory"]


@pytest.mark.parametrize("room", ["room-1", "room-again"])
async def test_no_secret_passes_the_boundary(room, autojump_clock):
    receipts, logs = await receipts_and_logs([room], texts=True, rooms="plain")
    assert TOKEN not in repr(receipts)
    assert TOKEN not in repr(logs)
    assert "***" in repr(logs)


async def test_rooms_and_texts_are_withheld_unless_wanted(autojump_clock):
    _, logs = await receipts_and_logs(["room-1", "room-again"])
    assert "room-1" not in repr(logs)
    assert "business" not in repr(logs)
    assert pseudonym("bot", "room-1") in repr(logs)
    _, logs = await receipts_and_logs(["room-1"], texts=True, rooms="plain")
    assert "room-1 says" in repr(logs)
    assert "business" in repr(logs)


@pytest.mark.parametrize("secret", [TOKEN, "deep-secret", "one-of-many", "named-secret"])
def test_secrets_are_found_wherever_settings_have_them(secret):
    instance = Instance("bot", "leaky", Settings())
    assert "a *** b" == hidden(f"a {secret} b", instance)


def words(raw, text="the quick brown fox", **settings):
    return Privacy(TelemetrySettings(**settings)).words(raw, "bot", ("C1", "C2"), text)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("message is too long", "message is too long"),
        ("cannot parse quick brown fox at 4", "cannot parse … at 4"),
        ("cannot parse 'quick' at 4", "cannot parse … at 4"),
        ("the message to quick", "the message to quick"),
    ],
)
def test_only_what_quotes_the_text_is_withheld(raw, shown):
    """Single words that also stand in the text stay: they are the platform's own."""
    assert shown == words(raw)


def test_a_text_of_one_word_is_withheld_where_it_is_long_or_quoted():
    assert "bad …" == words("bad mandragora", text="mandragora")
    assert "bad …" == words('bad "hi"', text="hi")


def test_rooms_in_a_platforms_words_are_named_as_everywhere():
    assert f"no {pseudonym('bot', 'C1')} here" == words("no C1 here")
    assert "no C1 here" == words("no C1 here", rooms="plain")
    assert "no … here" == words("no C1 here", rooms="none")


@pytest.mark.parametrize("room", ["r", "7", ""])
def test_a_short_room_is_not_looked_for_within_words(room):
    """The id of one letter would stand in every word, and none that is empty between all."""
    privacy = Privacy(TelemetrySettings())
    raw = "error 17: the rate limit is reached"
    assert raw == privacy.words(raw, "bot", (room,), "")
    if room:
        told = privacy.words(f"no room '{room}', retry", "bot", (room,), "")
        assert f"no room '{pseudonym('bot', room)}', retry" == told


def test_a_long_room_is_found_wherever_it_stands():
    told = Privacy(TelemetrySettings()).words(
        "chat_-1001234567890x", "bot", ("-1001234567890",), ""
    )
    assert f"chat_{pseudonym('bot', '-1001234567890')}x" == told


def test_errors_of_somebodys_code_show_their_class_alone():
    error = ValueError("about a text")
    assert "ValueError" == Privacy(TelemetrySettings()).error(error)
    assert "ValueError: about a text" == Privacy(TelemetrySettings(texts=True)).error(error)


def test_a_pseudonym_depends_on_instance_and_room_and_on_nothing_else():
    assert pseudonym("bot", "C1") == pseudonym("bot", "C1")
    assert 3 == len({pseudonym("bot", "C1"), pseudonym("bot", "C2"), pseudonym("other", "C1")})
