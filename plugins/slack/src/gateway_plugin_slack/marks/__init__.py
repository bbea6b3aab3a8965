"""Reactions and pins on Slack: how they are called."""
