"""Brings what an outbox stores beyond memory into partitions; may import `engine` and below."""
