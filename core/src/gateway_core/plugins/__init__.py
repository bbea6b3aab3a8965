"""Finds and binds plugins, and calls hooks safely; may import `ratelimits` and below."""
