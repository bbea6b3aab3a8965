"""Brings accounts in as they are needed, and forgets idle ones; may import `backlog` and below."""
