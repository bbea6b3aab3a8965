"""Turns a caller's words into an accepted envelope, or refuses; may import `sourcing` and below."""
