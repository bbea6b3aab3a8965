"""Finds, inspects and binds plugins, and calls a channel's hooks behind the crash boundary.

May import `ratelimits` and below.
"""
