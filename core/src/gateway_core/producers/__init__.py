"""Hands over to the owner, and answers processes that hand over; may import `groups` and below."""
