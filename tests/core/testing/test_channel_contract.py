"""The contract of a channel notices what it is there for: faults that authors make."""

from __future__ import annotations

import inspect
import subprocess
import sys
from contextlib import nullcontext

import attrs
import pytest
import trio

from gateway_core import GatewayError, Instance, Limit, Part, Secret
from gateway_core.authors import Answer, Edit, Traits, hookimpl
from gateway_core.plugins.loader import bind
from gateway_core.testing import ChannelContract, FakeChannel, FakeSettings
from gateway_core.testing.channel_contract import ALONE


@attrs.frozen
class Leaking:
    """Settings that print what they keep."""

    token: Secret

    def __repr__(self):
        return f"Leaking({self.token.reveal()})"


@attrs.define
class Thawed:
    """Settings that change under the gateway."""

    name: str = ""


class Faulty(FakeChannel):
    """A channel with one fault, by its name."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.asked = 0

    def has(self, fault):
        """Whether it is this one; every question counts."""
        self.asked += 1
        return self.fault == fault

    @hookimpl
    def settings_type(self):
        return {"leaks": Leaking, "thawed": Thawed}.get(self.fault, FakeSettings)

    @hookimpl
    def traits(self):
        return Traits(deduplicates_for=60.0) if self.has("sends twice") else None

    @hookimpl
    def validate(self):
        return ["no problem"] if self.has("validates wrongly") else []

    @hookimpl
    def chunk(self, envelope):
        text = envelope.text
        if self.has("forgets files") and isinstance(envelope, Edit):
            return [Part(payload={"text": text}, span=(0, len(text)))]
        if envelope.files:
            return super().chunk(envelope)
        if self.has("never the same plan"):
            return [Part(payload={"text": f"{self.asked}"}, span=(0, len(text)))]
        if self.has("loses the end"):
            return [Part(payload={"text": text[:1]}, span=(0, 1))]
        if self.has("half a character"):
            return [Part(payload={"text": "\ud83d"}, span=(0, len(text)))]
        digest = {"digest": "0" * 32} if self.has("one digest for all") else {}
        half = len(text) // 2
        spans = [(0, half), (half, len(text))]
        if self.has("backwards"):
            spans.reverse()
        if self.has("overlaps"):
            spans = [(0, half), (0, len(text))]
        signs = "*" if self.has("plain as Markdown") else ""
        return [
            Part(payload={"text": text[start:end].strip(signs)}, span=(start, end), **digest)
            for start, end in spans
        ]

    @hookimpl
    def rate_limit(self, operation):
        if self.has("bursts"):
            return [Limit("all", 30)]
        if self.has("one bucket with two numbers"):
            return [Limit("all", per=5.0 if operation == "typing" else 20.0)]
        twice = self.has("one bucket twice")
        return [Limit("all"), Limit("all")] if twice else [Limit("all"), Limit("room")]

    @hookimpl
    def classify_error(self, error):
        if self.has("looks into errors"):
            return error.verdict
        return super().classify_error(error)

    @hookimpl
    def address(self, event):
        return event["chat"]["id"] if self.has("looks into events") else None

    @hookimpl
    async def send(self, attempt):
        if self.has("holds on"):
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            return Answer(message_id="1")
        answer = await super().send(attempt)
        return Answer(message_id="1") if self.has("one id for all") else answer

    @hookimpl
    async def edit(self, attempt):
        answer = await super().edit(attempt)
        return Answer(message_id="edit-1") if self.has("the edit's own id") else answer


class Contract(ChannelContract):
    """Not collected: its tests are called."""

    channel = "fake"
    room = "r"
    platform = staticmethod(nullcontext)

    def __init__(self, fault):
        self.adapter = Faulty(fault)
        self.fault = fault

    def settings(self):
        if self.fault == "leaks":
            return Leaking(Secret("s3cret-token"))
        return Thawed() if self.fault == "thawed" else FakeSettings()


def outcome_of(fault, name, *more):
    """Calls a test of the contract on a channel with the fault, as pytest would."""
    contract = Contract(fault)
    hooks = bind([("fake", contract.adapter)], ALONE)["fake"]
    fixtures = {
        "hooks": hooks,
        "instance": Instance("contract", "fake", contract.settings()),
        "long_text": "word " * 2_000,
    }
    test = getattr(contract, name)
    rest = iter(more)
    words = inspect.signature(test).parameters
    return test(**{word: fixtures[word] if word in fixtures else next(rest) for word in words})


PLAN = ("as_asked", "plain")
EDITED = "test_a_message_is_sent_edited_and_taken_back"
PURE = [
    ("thawed", "test_its_settings_are_of_its_type", ()),
    ("leaks", "test_no_secret_prints", ()),
    ("never the same plan", "test_any_text_has_a_plan", ("hello", *PLAN)),
    ("loses the end", "test_any_text_has_a_plan", ("hello", *PLAN)),
    ("half a character", "test_any_text_has_a_plan", ("hello", *PLAN)),
    ("backwards", "test_any_text_has_a_plan", ("hello", *PLAN)),
    ("overlaps", "test_any_text_has_a_plan", ("hello", *PLAN)),
    ("one digest for all", "test_another_text_has_another_digest", ()),
    ("plain as Markdown", "test_plain_text_shows_its_signs", ()),
    ("one bucket twice", "test_limits_are_told", ("send", "normal")),
    ("one bucket with two numbers", "test_a_bucket_has_the_same_numbers_everywhere", ()),
    ("bursts", "test_no_pace_bursts_after_a_stall", ("send", "normal")),
    ("looks into errors", "test_an_error_that_nobody_foresaw_has_a_verdict", (OSError(),)),
    ("validates wrongly", "test_any_envelope_is_looked_at", ()),
    ("forgets files", "test_an_edit_of_the_text_keeps_the_files", ()),
    ("looks into events", "test_what_is_no_event_has_no_address", ({},)),
]
AWAITING = [
    ("one id for all", "test_each_part_has_an_id_of_its_own"),
    ("sends twice", "test_a_repeated_key_is_one_message_where_the_traits_say_so"),
    ("holds on", "test_a_cancelled_attempt_ends_there"),
    ("the edit's own id", EDITED),
]


@pytest.mark.parametrize(("fault", "name", "more"), PURE, ids=str)
def test_the_contract_notices(fault, name, more):
    with pytest.raises((AssertionError, GatewayError, pytest.fail.Exception)):
        outcome_of(fault, name, *more)


@pytest.mark.parametrize(("name", "more"), dict(row[1:] for row in PURE).items(), ids=str)
def test_the_contract_has_nothing_against_a_channel_in_order(name, more):
    outcome_of("", name, *more)


@pytest.mark.parametrize(("fault", "name"), AWAITING, ids=str)
async def test_the_contract_notices_at_the_platform(fault, name, autojump_clock):
    with pytest.raises((AssertionError, GatewayError)):
        await outcome_of(fault, name, autojump_clock)


async def test_a_platform_that_gives_edited_messages_new_ids_may_say_so(
    autojump_clock, monkeypatch
):
    monkeypatch.setattr(Contract, "edits_give_new_ids", True)
    await outcome_of("the edit's own id", EDITED, autojump_clock)


@pytest.mark.parametrize("name", [AWAITING[0][1], AWAITING[2][1], EDITED])
async def test_the_contract_has_nothing_against_it_at_the_platform(name, autojump_clock):
    await outcome_of("", name, autojump_clock)


MODEST = """
from contextlib import nullcontext
from gateway_core.testing import ChannelContract, FakeChannel, FakeSettings

class TestModest(ChannelContract):
    adapter, channel, room = FakeChannel(), "modest", "r"
    platform = staticmethod(nullcontext)

    def settings(self):
        return FakeSettings()
"""


WRONG = """
from contextlib import nullcontext
from gateway_core.authors import Answer, hookimpl
from gateway_core.testing import ChannelContract, FakeChannel, FakeSettings, OutboxContract

class Wrong(FakeChannel):
    @hookimpl
    def chunk(self):
        return []

class TestWrong(ChannelContract):
    adapter, channel, room = Wrong(), "wrong", "r"
    platform = staticmethod(nullcontext)

    def settings(self):
        return FakeSettings()
"""


def test_a_fault_is_said_in_words_and_with_its_values(tmp_path):
    """pytest shows no values of a base class in an installed package unless it is asked to."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    (tmp_path / "test_wrong.py").write_text(WRONG)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:asyncio",
        "-k",
        "any_text_has_a_plan",
    ]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (
        "AssertionError: `chunk` answers an empty plan for a text\nE       assert ()"
        in asked.stdout
    )


def test_what_a_channel_does_not_promise_is_not_asked_of_it_and_the_reason_is_printed(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    (tmp_path / "test_modest.py").write_text(MODEST)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:asyncio"]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == asked.returncode, asked.stdout
    for reason in ("the platform deduplicates nothing", "the channel cuts no text"):
        assert reason in asked.stdout
