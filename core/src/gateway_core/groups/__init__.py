"""Feeds members of groups into the gateway as their turn comes; may import `streams` and below.

A group is accepted as a whole; of its members so many have their turn as the account's limits can
use at once, so that nobody waits behind a crowd of them.
"""
