"""Stores what a session learns from Discord's answers, to check before later requests. Sans-I/O.

These are limits that no header names in time: how many answers were invalid, which channels are in
slow mode, and how many requests a webhook's bucket has left.
"""
