"""Reactions and pins on Telegram: how they are called."""
