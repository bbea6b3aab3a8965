"""Finds plugins, inspects them, and calls a channel's hooks behind the crash boundary."""
