"""Reactions and pins on Slack: the calls that set and remove them."""
