"""Decides what becomes of one accepted envelope: its steps, retries, keys and receipt. Sans-I/O.

May import `text` and below.
"""
