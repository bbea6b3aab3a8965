"""Stores what the database has besides entries: groups, and bytes in pieces.

The outbox and its writer are above this package; the names and rows are below it.
"""
