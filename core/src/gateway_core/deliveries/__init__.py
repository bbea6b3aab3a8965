"""Decides, sans-I/O, what becomes of an accepted envelope; may import `text` and below."""
