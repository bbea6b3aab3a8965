"""What is wrong with a poll whatever its channel, and channels that know of none."""

from __future__ import annotations

import attrs
import pytest

from gateway_core import Invalid, Poll, Send
from gateway_core.authors import Traits
from gateway_core.submission.checks import problems_of
from gateway_core.testing import FakeChannel, open_test_gateway

LUNCH = Poll("Lunch?", ["Pizza", "Sushi"])
WRONG = [
    ({"question": 7}, "poll.question: must be a text, not int"),
    ({"question": " "}, "poll.question: is empty"),
    ({"question": "\ud800"}, "poll.question: has a lone surrogate or NUL"),
    ({"options": "Pizza"}, "poll.options: must be a list of texts, not str"),
    ({"options": ()}, "poll.options: is empty"),
    ({"options": ["x"] * 101}, "poll.options: has 101 options, at most 100"),
    ({"options": ["Pizza", None]}, "poll.options.1: must be a text, not NoneType"),
    ({"multiple": 1}, "poll.multiple: must be true or false, not 1"),
    ({"anonymous": "no"}, "poll.anonymous: must be true or false, not 'no'"),
    (
        {"duration": 0},
        "poll.duration: must be a number of seconds above 0 and at most 1e+09, not 0",
    ),
    (
        {"duration": float("nan")},
        "poll.duration: must be a number of seconds above 0 and at most 1e+09, not nan",
    ),
]


@pytest.mark.parametrize(("fields", "said"), WRONG)
def test_a_mistake_is_named(fields, said):
    poll = attrs.evolve(LUNCH, **fields)
    sent = Send(instance_id="bot", external_room_id="room", text="", poll=poll)
    assert [said] == [*map(str, problems_of(sent))]


def test_what_is_no_poll_is_none():
    sent = Send(instance_id="bot", external_room_id="room", text="", poll="Lunch?")
    assert ["poll: must be a Poll, not str"] == [*map(str, problems_of(sent))]


async def test_a_channel_that_says_nothing_of_polls_is_sent_none(autojump_clock):
    channel = FakeChannel(traits=Traits())
    async with open_test_gateway(channel) as gateway:
        with pytest.raises(Invalid, match="poll: channel 'fake' has no polls"):
            await gateway.send("bot", "room", "hungry", poll=LUNCH)
    assert [] == channel.made
