"""Feeds members of groups into the gateway as their turn comes; may import `streams` and below.

A group is accepted as a whole. At a time, only as many members have their turn as the account's
limits can use at once, so that no other message waits for a crowd of them.
"""
