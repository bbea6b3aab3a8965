"""Reactions and pins on Telegram: the calls that set and remove them."""
