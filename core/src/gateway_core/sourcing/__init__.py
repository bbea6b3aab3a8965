"""Loads accounts when they are needed, and forgets idle ones; may import `backlog` and below."""
