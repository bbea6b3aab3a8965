"""What a session learns from Discord's answers and asks before its next request. Sans-I/O.

Limits that no header names in time: how many answers were invalid, which channels are in slow mode,
what is left of a webhook's bucket.
"""
