"""Hands over what another process delivers, and answers those; may import `groups` and below."""
