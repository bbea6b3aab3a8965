"""A local Slack: `SlackEmulator(…).app` answers like the Web API, and stores what arrived."""

from gateway_contrib.emulators.slack.content import pings, visible_text
from gateway_contrib.emulators.slack.emulator import SlackEmulator
from gateway_contrib.emulators.slack.limits import SlackLimits

__all__ = ["SlackEmulator", "SlackLimits", "pings", "visible_text"]
