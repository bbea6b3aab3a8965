"""Whoever writes a test hears of a wrong argument where it is given, and by its name."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest

from gateway_core import DeliveryError, Limit, Verdict
from gateway_core.authors import Attempt, Traits
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    Made,
    MemoryOutbox,
    open_test_gateway,
)

LIMITS = r"a function \(room, operation\) -> Limits, not"
BY_CLASS = r"a function \(priority\) -> Limits, not"
SCRIPT = r"a function \(attempt\) -> an awaitable, not"
REFUSED = Verdict(error_class="fatal", reason="bad_request", raw="no")
ATTEMPT = Attempt(operation="send", envelope_id="1", instance_id="bot", room="r")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("limits", [Limit("account", 1, 1.0)], f"{LIMITS} list"),
        ("limits", Limit("account", 1, 1.0), f"{LIMITS} Limit"),
        ("limits", Limit, f"{LIMITS} the class Limit"),
        ("limits", None, f"{LIMITS} None"),
        ("limits", lambda: (), rf"{LIMITS} one that takes \(\)"),
        ("limits", lambda _room: (), rf"{LIMITS} one that takes \(_room\)"),
        ("limits_by_class", {"bulk": ()}, f"{BY_CLASS} dict"),
        ("limits_by_class", lambda *, priority: priority, f"{BY_CLASS} one that takes"),
        ("latency", "1", "seconds, 0 or more, not str"),
        ("latency", -1.0, r"seconds, 0 or more, not -1\.0"),
        ("latency", float("nan"), "seconds, 0 or more, not nan"),
        ("latency", True, "seconds, 0 or more, not True"),
        ("latency", None, "seconds, 0 or more, not None"),
        ("script", [Failure(REFUSED)], f"{SCRIPT} list"),
        ("script", Failure, f"{SCRIPT} the class Failure"),
        ("script", lambda: None, rf"{SCRIPT} one that takes \(\)"),
        ("traits", {"edit": False}, "a Traits, not dict"),
        ("traits", Traits, "a Traits, not the class Traits"),
        ("traits", None, "a Traits, not None"),
    ],
)
def test_a_fake_channel_names_the_argument_that_is_of_another_kind(name, value, text):
    with pytest.raises(TypeError, match=f"^`{name}` must be {text}"):
        FakeChannel(**{name: value})


async def test_whatever_can_be_called_so_will_do(autojump_clock):
    class Limited:
        def __call__(self, room, operation, more=None):
            return [Limit("account", 1, 1.0)]

        def by_class(self, priority):
            return ()

        async def script(self, prefix, attempt):
            return None

    channel = FakeChannel(
        limits=Limited(),
        limits_by_class=Limited().by_class,
        latency=1,
        script=functools.partial(Limited().script, "a"),
    )
    async with open_test_gateway(channel) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered


async def test_a_script_that_is_not_async_is_named_where_it_runs(autojump_clock):
    async with open_test_gateway(FakeChannel(script=lambda _attempt: None)) as gateway:
        with pytest.raises(DeliveryError, match="`script` must be an async function"):
            await gateway.send("bot", "r", "x")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FakeSettings(5), "`name` must be a text, not 5"),
        (lambda: FakeSettings(None), "`name` must be a text, not None"),
        (lambda: Failure("boom"), "`verdict` must be a Verdict, not str"),
        (lambda: Failure(Verdict), "`verdict` must be a Verdict, not the class Verdict"),
        (lambda: Made("send", 1.0), "`attempt` must be an Attempt, not str"),
        (lambda: Made(ATTEMPT, "now"), "`at` must be a number of seconds, not str"),
    ],
)
def test_the_values_beside_it_name_theirs(make, text):
    with pytest.raises(TypeError, match=f"^{text}$"):
        make()


def test_a_failure_is_copied_with_its_verdict():
    failure = Failure(REFUSED)
    for again in (copy.copy(failure), pickle.loads(pickle.dumps(failure))):  # noqa: S301 - made here
        assert (failure.verdict, str(failure)) == (again.verdict, str(again))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            {"channel": FakeChannel},
            "`channel` must be a FakeChannel or another adapter, not the class FakeChannel",
        ),
        ({"channel": "fake"}, "`channel` must be a FakeChannel or another adapter, not str"),
        ({"instances": "bot"}, r'`instances` must be a list of names, such as \["bot"\], not str'),
        ({"instances": [5]}, "`instances` must be a list of names"),
        ({"plugins": object()}, "`plugins` must be a list of plugins, not object"),
        ({"plugins": "courtesy"}, "`plugins` must be a list of plugins, not str"),
        ({"seed": None}, "`seed` must be a text, not None"),
        ({"outbox": MemoryOutbox}, r"`outbox` must be an Outbox"),
        ({"outbox": []}, r"`outbox` must be an Outbox, not list"),
        ({"outbox": object()}, r"`outbox` must be an Outbox, not object"),
        ({"providers": object()}, "`providers` must be Providers"),
        ({"partitions": 3}, "unexpected keyword argument 'partitions'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_test_gateway_names_the_argument_that_is_of_another_kind(words, text):
    with pytest.raises(TypeError, match=text):
        async with open_test_gateway(**words):
            pass
