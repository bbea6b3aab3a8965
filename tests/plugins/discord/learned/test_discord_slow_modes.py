"""What is learned of slow modes, and how it is forgotten."""

from gateway_plugin_discord.learned import slow_modes
from gateway_plugin_discord.learned.slow_modes import SlowModes


def test_a_channel_that_was_never_refused_waits_for_nothing():
    assert SlowModes().sent("7", 0.0) is None


def test_a_refusal_without_a_wait_tells_nothing():
    modes = SlowModes()
    modes.refused("7", None, 0.0)
    assert modes.sent("7", 0.0) is None


def test_the_wait_that_is_left_is_rounded_up_to_the_second():
    """The message before it was on its way for a twentieth of one."""
    modes = SlowModes()
    modes.refused("7", 29.95, 0.0)
    assert [30.0, None] == [modes.sent("7", 30.0), modes.sent("8", 30.0)]


def test_what_was_sent_before_tells_the_whole_of_it():
    """Refused 20 s after the message before, with 40 s left: a minute in all."""
    modes = SlowModes()
    modes.refused("7", 3.0, 0.0)
    modes.sent("7", 3.0)
    modes.refused("7", 40.0, 23.0)
    assert 60.0 == modes.sent("7", 63.0)


def test_each_refusal_is_believed_twice_as_long():
    modes = SlowModes()
    modes.refused("7", 60.0, 0.0)
    assert [60.0, None] == [modes.sent("7", 599.0), modes.sent("7", 660.0)]
    modes.refused("7", 60.0, 660.0)
    assert [60.0, None] == [modes.sent("7", 1859.0), modes.sent("7", 1919.0)]


def test_a_message_that_came_early_and_was_taken_ends_it():
    modes = SlowModes()
    modes.refused("7", 60.0, 0.0)
    assert [60.0, None] == [modes.sent("7", 100.0), modes.sent("7", 120.0)]
    modes.refused("7", 60.0, 130.0)
    assert 60.0 == modes.sent("7", 190.0)


def test_so_many_channels_are_remembered(monkeypatch):
    monkeypatch.setattr(slow_modes, "MOST", 2)
    modes = SlowModes()
    for channel in "789":
        modes.refused(channel, 60.0, 0.0)
    assert [None, 60.0, 60.0] == [modes.sent(channel, 60.0) for channel in "789"]
