"""Turns a caller's words into an accepted envelope, or refuses it.

May import `backlog` and below.
"""
