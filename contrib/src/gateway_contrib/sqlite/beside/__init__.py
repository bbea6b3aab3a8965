"""Stores what the file has besides entries: groups, and bytes, large ones in files of their own.

The outbox and its writer are above this package; rows, sealing and the module `failing` are below.
"""
