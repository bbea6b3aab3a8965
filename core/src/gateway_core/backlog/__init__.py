"""Brings what a durable outbox stores beyond memory into the partitions.

May import `engine` and below.
"""
